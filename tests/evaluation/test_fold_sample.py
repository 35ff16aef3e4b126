"""What of a run's out-of-fold answers a rule may be fitted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.fakes import make_run
from tests.evaluation.test_out_of_fold import CLASSES, pooled
from uda.data.splits import Split, SplitRow
from uda.errors import DataError
from uda.evaluation.escape import EscapeLimit
from uda.evaluation.fold_sample import check_limit, fold_sample
from uda.evaluation.tuning import Sample
from uda.run.layout import RunFolder


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    rows = [
        SplitRow(f"{n}.png", "validation" if n == 3 else "labeled", "Good", None, "")
        for n in range(8)
    ]
    Split(tuple(rows)).save(folder.split)
    pooled(
        ([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], 0, 0, 0), ([0, 0, 1], [0, 0, 1], 0, 1, 5)
    ).save(folder.out_of_fold)
    return folder


@pytest.fixture
def bundle(tmp_path):
    found = make_run(tmp_path / "fake", per_part=1)
    return replace(found.load_bundle(found.folder), classes=CLASSES)


def test_validation_images_and_other_kinds_are_left_out(run, bundle):
    whole, why = fold_sample(run, bundle, spare_validation=False)
    assert (whole.images, why) == (5, "")
    assert "3 of 8" in whole.notes[0]
    spared, _ = fold_sample(run, bundle, spare_validation=True)
    assert spared.sample.groups == tuple(f"\0{n}.png" for n in (0, 1, 2, 4))
    texture, _ = fold_sample(
        run, replace(bundle, kind="texture"), spare_validation=True
    )
    assert texture.images == 3


def test_no_folds_is_no_reason_and_other_classes_are_an_error(run, bundle):
    with pytest.raises(DataError, match="other classes"):
        fold_sample(run, replace(bundle, classes=("A", "B")), spare_validation=False)
    run.out_of_fold.unlink()
    assert fold_sample(run, bundle, spare_validation=False) == (None, "")


def test_a_limit_is_tried_by_hand():
    # Log-odds of a defect -2 to 2; groups of two, the lower counts.
    odds = np.array([-2.0, 1.0, 0.0, 2.0, 1.0, 2.0, 3.0])
    good = 1 / (1 + np.exp(odds))
    logs = np.log(np.stack([good, 1 - good], axis=1))
    targets = np.array([1, 1, 1, 1, 1, 1, 0])
    sample = Sample(logs, targets, ("a", "a", "b", "b", "c", "c", "d"), CLASSES)
    limit = EscapeLimit("Good", 0.5, 0.5, "confidence", 0.95, 9, 0, False)
    check = check_limit(limit, sample)
    assert (check.groups, check.missed) == (3, 2)
    # P(at most 2 of 3 missed) = 1 - p^3 is 5 % at this share.
    assert check.bound == pytest.approx(0.95 ** (1 / 3))
    assert check_limit(limit, None).bound == 1
