"""Pooled answers: every image of every repeat, and nothing that is not the fold's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.study.fakes import CLASSES, FakeStudy, right
from uda.errors import DataError
from uda.evaluation.predict import Predictions
from uda.study import verdict
from uda.study.findings import find


@pytest.fixture
def study(tmp_path):
    fake = FakeStudy(tmp_path / "out")
    fake.add("a", right(1.0))
    fake.add("b", right(0.5), lacking=[(1, 2)])
    return fake


def test_counts_and_groups_of_the_classes(study):
    answers = study.answers()
    assert answers.classes == CLASSES
    assert answers.counts == (24, 12, 9)
    assert answers.groups == (8, 4, 3)
    assert answers.classes[answers.rarest] == "Scratch"


def test_every_image_once_a_repeat_with_its_group(study):
    answers = study.answers()
    folds = answers.shared("a")
    asked = answers.asked(folds, "Good")
    assert asked.targets.size == 2 * 45
    assert asked.good == 0
    for repeat in range(2):
        mine = asked.groups[asked.repeats == repeat]
        assert sorted(mine) == sorted(row.group for row in study.rows)
    np.testing.assert_array_equal(answers.predicted("a", folds), asked.targets)


def test_a_failed_cell_is_told_and_left_out(study):
    answers = study.answers()
    assert answers.told["b"].errors == {(1, 2): "TrainingError: NaN"}
    assert (1, 2) not in answers.shared("a", "b")
    assert len(answers.shared("a", "b")) == 5


def test_an_image_that_cannot_be_read_costs_that_image_alone(study):
    path = study.folder / "cells/a/r0-f1/predictions.npz"
    found = Predictions.load(path)
    Predictions(
        found.ids[1:], found.targets[1:], found.log_probs[1:], found.classes
    ).save(path)
    answers = study.answers()
    assert answers.unread == (found.ids[0],)
    folds = answers.shared("a", "b")
    targets = answers.asked(folds, None).targets
    for name in ("a", "b"):  # both without it
        assert answers.told[name].predictions[0, 1].ids == found.ids[1:]
        assert answers.predicted(name, folds).size == targets.size
    lines = verdict.lines(find(answers, reference="a"))
    told = f"1 image could not be read and is in no number: {found.ids[0]}."
    assert told in lines


def test_answers_about_other_images_are_refused(study):
    path = study.folder / "cells/a/r0-f1/predictions.npz"
    found = Predictions.load(path)
    Predictions(
        found.ids[::-1], found.targets[::-1], found.log_probs[::-1], found.classes
    ).save(path)
    with pytest.raises(DataError, match="not about what the fold holds"):
        study.answers()


class KeptStudy(FakeStudy):
    """No fold holds Scratch out, as where all of it is one group."""

    def _fold_of(self, row, repeat):
        return -1 if row.label == "Scratch" else super()._fold_of(row, repeat)


def test_a_class_that_no_fold_holds_out_is_known_and_not_asked(tmp_path):
    study = KeptStudy(tmp_path / "out")
    for name, share in (("a", 1.0), ("b", 0.5)):
        study.add(name, right(share))
    answers = study.answers()
    assert answers.classes == CLASSES
    assert answers.counts == (24, 12, 0)
    assert answers.classes[answers.rarest] == "Rust"
    found = find(answers, reference="a", good_class="Good")
    assert found.row("a").values["balanced_accuracy"] == 1.0
    assert not any(np.isnan(gap.value) for gap in found.row("b").gaps.values())
