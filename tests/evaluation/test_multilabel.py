"""Multi-label metrics: scikit-learn's, number by number."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from uda.errors import DataError, UsageError
from uda.evaluation.multilabel import measure_labels
from uda.evaluation.predict import Predictions
from uda.intervals import clopper_pearson

CLASSES = ("Dent", "Rust", "Scratch", "Absent")


def predictions(seed=0, num=60, thresholds=(), unknown=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((num, 4)) < [0.5, 0.3, 0.1, 0.0]).astype(np.int64)
    targets[:unknown] = -1
    z = 2.0 * (targets - 0.5) + rng.normal(0, 1.5, targets.shape)
    z[: num // 3] = np.round(z[: num // 3])  # some ties
    log_probs = (-np.logaddexp(0, -z)).astype(np.float32)
    ids = [f"{i}.png" for i in range(num)]
    return Predictions(ids, targets, log_probs, CLASSES, "sigmoid", thresholds)


@pytest.mark.parametrize("thresholds", [(), (0.3, 0.6, 0.2, 0.5)])
def test_every_number_is_scikit_learns(thresholds):
    found = predictions(thresholds=thresholds, unknown=3)
    measured = measure_labels(found, draws=50)
    assert (measured.images, measured.unknown) == (57, 3)
    true, named = found.targets[3:], found.predicted[3:]
    scores = found.log_probs[3:]
    recall = sk.recall_score(true, named, average=None, zero_division=np.nan)
    precision = sk.precision_score(true, named, average=None, zero_division=np.nan)
    f1 = sk.f1_score(true, named, average=None, zero_division=np.nan)
    for c, entry in enumerate(measured.per_class[:3]):
        ap = sk.average_precision_score(true[:, c], scores[:, c])
        assert entry.ap.value == pytest.approx(ap, abs=1e-6)
        assert entry.recall.value == pytest.approx(recall[c])
        assert entry.precision.value == pytest.approx(precision[c])
        assert entry.f1.value == pytest.approx(f1[c])
        hits = int((true[:, c] * named[:, c]).sum())
        assert entry.recall.interval == clopper_pearson(hits, int(true[:, c].sum()))
        for estimate in (entry.f1, entry.ap):
            assert estimate.interval.low <= estimate.value <= estimate.interval.high
    macro = sk.f1_score(true[:, :3], named[:, :3], average="macro", zero_division=0)
    assert measured.macro_f1.value == pytest.approx(macro)
    ap = sk.average_precision_score(true[:, :3], scores[:, :3], average="macro")
    assert measured.macro_ap.value == pytest.approx(ap, abs=1e-6)
    micro = sk.f1_score(true, named, average="micro")
    assert measured.micro_f1.value == pytest.approx(micro)
    exact = sk.accuracy_score(true, named)
    assert measured.exact_match.value == pytest.approx(exact)


def test_a_class_that_no_image_shows_has_no_number():
    absent = measure_labels(predictions(), draws=20).per_class[3]
    assert absent.images == 0
    for name in ("recall", "f1", "ap"):
        assert getattr(absent, name).value is None
    assert str(absent.recall) == "n/a"


def test_perfect_answers_still_have_an_interval():
    found = predictions()
    sure = np.where(found.targets > 0, -1e-4, -9).astype(np.float32)
    perfect = Predictions(found.ids, found.targets, sure, CLASSES, "sigmoid")
    measured = measure_labels(perfect, draws=50)
    for estimate in (measured.exact_match, measured.micro_f1, measured.macro_f1):
        assert estimate.value == 1
        assert estimate.interval.low < 1


def test_groups_widen_intervals():
    found = predictions()
    groups = [f"g{i // 6}" for i in range(60)]
    alone, together = measure_labels(found), measure_labels(found, groups=groups)
    assert together.per_class[0].groups == 10
    one, two = alone.exact_match.interval, together.exact_match.interval
    assert two.low <= one.low
    assert two.high >= one.high
    with pytest.raises(DataError, match="2 groups for 60"):
        measure_labels(found, groups=["a", "b"])


def test_numbers_are_found_by_name_and_written():
    measured = measure_labels(predictions(), draws=20)
    assert measured.find("ap:Rust").value == measured.per_class[1].ap.value
    assert measured.find("macro_ap") is measured.macro_ap
    assert "exact_match" in measured.names()
    with pytest.raises(UsageError, match="balanced_accuracy"):
        measured.find("balanced_accuracy")
    json.dumps(measured.to_json(), allow_nan=False)


def test_nothing_known_is_no_crash():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure_labels(predictions(num=4, unknown=4), draws=5)
    assert measured.images == 0
    assert measured.macro_ap.value is None


def test_predictions_of_several_labels_come_back(tmp_path):
    found = predictions(thresholds=(0.3, 0.6, 0.2, 0.5), unknown=1)
    found.save(tmp_path / "p.npz")
    again = Predictions.load(tmp_path / "p.npz")
    assert (again.link, again.thresholds) == ("sigmoid", found.thresholds)
    np.testing.assert_array_equal(again.predicted, found.predicted)
    np.testing.assert_array_equal(again.targets, found.targets)
    assert again.known.sum() == 59
    answers = np.where(again.predicted > 0, again.probs, 1 - again.probs)
    np.testing.assert_allclose(found.confidence, answers.min(1))
    with pytest.raises(DataError, match="do not fit"):
        Predictions(found.ids, found.targets[:, 0], found.log_probs, CLASSES, "sigmoid")
    with pytest.raises(DataError, match="2 thresholds"):
        Predictions(
            found.ids, found.targets, found.log_probs, CLASSES, "sigmoid", (0.5, 0.5)
        )


def test_perfect_photos_of_few_parts_prove_few_parts():
    found = predictions()
    sure = np.where(found.targets > 0, -1e-4, -9).astype(np.float32)
    perfect = Predictions(found.ids, found.targets, sure, CLASSES, "sigmoid")
    measured = measure_labels(perfect, groups=[i % 2 for i in range(60)], draws=50)
    two = clopper_pearson(2, 2)
    assert measured.exact_match.interval == two
    for entry in measured.per_class[:3]:
        assert entry.recall.interval == entry.ap.interval == two
    assert measured.micro_f1.interval.low == pytest.approx(2 * two.low / (1 + two.low))


def test_a_perfect_class_beside_others_widens_the_mean():
    """It adds no spread to the bootstrap; Zou and Donner's combination has it."""
    found = predictions()
    log_probs = found.log_probs.copy()
    log_probs[:, 2] = np.where(found.targets[:, 2] > 0, -1e-4, -9)
    mixed = Predictions(found.ids, found.targets, log_probs, CLASSES, "sigmoid")
    measured = measure_labels(mixed)
    assert measured.per_class[2].ap.value == pytest.approx(1)
    for mean, name in ((measured.macro_ap, "ap"), (measured.macro_f1, "f1")):
        each = [getattr(entry, name) for entry in measured.per_class[:3]]
        down = sum((e.value - e.interval.low) ** 2 for e in each) ** 0.5 / 3
        assert mean.interval.low <= mean.value - down + 1e-9
