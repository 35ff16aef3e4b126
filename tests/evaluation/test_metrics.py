"""Metrics: known answers, missing classes, intervals that do not collapse."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from sklearn import metrics as reference

from uda.errors import DataError, UsageError
from uda.evaluation.estimates import metric_names
from uda.evaluation.metrics import confusion_matrix, measure
from uda.evaluation.predict import Predictions
from uda.evaluation.rates import rates
from uda.intervals import clopper_pearson


def make(targets, logits, classes=("Good", "Rust", "Scratch")):
    logits = np.asarray(logits, dtype=np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Predictions(
        [f"{i}.png" for i in range(len(targets))],
        np.asarray(targets, dtype=np.int64),
        log_probs.astype(np.float32),
        classes,
    )


def answers(targets, predicted, classes=("Good", "Rust", "Scratch")):
    return make(targets, 4 * np.eye(len(classes))[predicted], classes)


def random_predictions(num=300, size=3, seed=0, names=("Good", "Rust", "Scratch")):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, size, num)
    return make(
        targets, rng.normal(size=(num, size)) + 2 * np.eye(size)[targets], names
    )


def test_values_equal_scikit_learn():
    predictions = random_predictions()
    found = measure(predictions, draws=200)
    true, answer = predictions.targets, predictions.predicted
    report = reference.classification_report(
        true, answer, target_names=predictions.classes, output_dict=True
    )
    for index, entry in enumerate(found.per_class):
        row = report[entry.name]
        assert entry.images == row["support"]
        assert entry.recall.value == pytest.approx(row["recall"])
        assert entry.precision.value == pytest.approx(row["precision"])
        assert entry.f1.value == pytest.approx(row["f1-score"])
        ap = reference.average_precision_score(
            true == index, predictions.log_probs[:, index]
        )
        assert entry.ap.value == pytest.approx(ap)
        for estimate in (entry.recall, entry.precision, entry.f1, entry.ap):
            assert estimate.interval.low < estimate.value < estimate.interval.high
    assert found.balanced_accuracy.value == pytest.approx(
        reference.balanced_accuracy_score(true, answer)
    )
    assert found.macro_f1.value == pytest.approx(
        reference.f1_score(true, answer, average="macro")
    )
    assert np.array_equal(found.counts, reference.confusion_matrix(true, answer))
    assert found.counts.sum() == 300


def test_proportions_have_exact_intervals():
    found = measure(answers([1] * 10 + [0] * 5, [1] * 9 + [0] * 6), draws=50)
    recall = found.find("recall:Rust")
    assert recall.interval == clopper_pearson(9, 10)
    assert (recall.part, recall.whole) == (9, 10)
    assert str(recall) == "0.900 (0.555-0.997)"


def test_bootstrap_intervals_equal_a_literal_loop():
    predictions = random_predictions(120)
    groups = [f"g{i // 2}" for i in np.argsort(np.argsort(predictions.targets))]
    found = measure(predictions, groups=groups, draws=2000)
    rng = np.random.default_rng(4)
    names = np.array(groups)
    stratum = {
        g: np.bincount(predictions.targets[names == g]).argmax() for g in set(groups)
    }
    draws = []
    for _ in range(800):
        rows: list[int] = []
        for label in range(3):
            of_label = sorted(g for g in stratum if stratum[g] == label)
            for pick in rng.integers(0, len(of_label), len(of_label)):
                rows += np.flatnonzero(names == of_label[pick]).tolist()
        draws.append(
            reference.f1_score(
                predictions.targets[rows], predictions.predicted[rows], average="macro"
            )
        )
    expected = np.quantile(draws, (0.025, 0.975))
    assert found.macro_f1.interval == pytest.approx(tuple(expected), abs=0.02)


def test_alike_images_widen_the_interval_of_a_proportion():
    # Ten photos of each of six parts: all right or all wrong together.
    targets = np.repeat([0, 1], 60)
    predicted = np.where(np.arange(120) // 10 % 3 == 0, 1 - targets, targets)
    predictions = answers(targets, predicted, ("a", "b"))
    alone = measure(predictions, draws=500).find("recall:a").interval
    grouped = measure(predictions, groups=list(np.arange(120) // 10), draws=500)
    wide = grouped.find("recall:a").interval
    assert wide.low < alone.low - 0.1
    assert wide.high > alone.high
    assert grouped.per_class[0].groups == 6


def test_a_class_without_images_is_not_available():
    found = measure(answers([0, 0, 2, 2], [0, 1, 2, 2]), draws=100)
    rust = found.per_class[1]
    assert rust.images == 0
    assert rust.recall.value is None
    assert rust.f1.value is None
    assert rust.ap.value is None
    assert str(rust.recall) == "n/a"
    assert rust.precision.value == 0  # predicted once, wrongly
    assert found.balanced_accuracy.value == pytest.approx((0.5 + 1) / 2)
    assert found.find("recall:Rust") is rust.recall


@pytest.mark.parametrize("targets", [[], [-1, -1]])
def test_nothing_known_is_not_available(targets):
    found = measure(answers(targets, [0] * len(targets)) if targets else empty())
    assert found.balanced_accuracy.value is None
    assert found.calibration_error.value is None
    assert found.unknown == len(targets)
    assert [entry.recall.value for entry in found.per_class] == [None] * 3


def empty():
    return Predictions(
        [], np.zeros(0, np.int64), np.zeros((0, 3), np.float32), tuple("abc")
    )


def test_unknown_targets_count_for_nothing():
    known = measure(answers([0, 1, 2], [0, 1, 1]), draws=50)
    mixed = measure(answers([0, -1, 1, 2, -1], [0, 0, 1, 1, 2]), draws=50)
    assert mixed.unknown == 2
    assert np.array_equal(mixed.counts, known.counts)
    assert mixed.macro_f1 == known.macro_f1


@pytest.mark.parametrize("right", [True, False])
def test_intervals_do_not_collapse(right):
    targets = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    predicted = targets if right else (targets + 1) % 3
    found = measure(answers(targets, predicted), draws=200)
    for name in found.names():
        estimate = found.find(name)
        if name == "calibration_error":
            continue
        if name.startswith("ap:") and not right:
            continue
        assert estimate.value == (1.0 if right else 0.0), name
        assert estimate.interval.high - estimate.interval.low > 0.2, name


def test_two_classes_and_a_good_class():
    predictions = answers(
        [0] * 10 + [1] * 5, [0] * 8 + [1] * 2 + [1] * 4 + [0], ("ok", "bad")
    )
    found = measure(predictions, good_class="ok", draws=50)
    assert (found.escape.part, found.escape.whole) == (1, 5)
    assert (found.escape_shipped.part, found.escape_shipped.whole) == (1, 9)
    assert (found.overkill.part, found.overkill.whole) == (2, 10)
    assert found.escape.interval == clopper_pearson(1, 5)
    assert found.find("escape") is found.escape


def test_a_single_class_and_a_single_image():
    found = measure(answers([0], [0], ("only",)), draws=20)
    assert found.accuracy.value == 1
    assert found.accuracy.interval == clopper_pearson(1, 1)


def test_no_good_parts_or_no_defects():
    good = measure(answers([0, 0], [0, 1]), good_class="Good", draws=20)
    assert good.escape.value is None
    assert good.overkill.value == 0.5
    bad = measure(answers([1, 2], [1, 1]), good_class="Good", draws=20)
    assert bad.overkill.value is None
    assert bad.escape_shipped.value is None


def test_names_are_found_and_others_refused():
    found = measure(random_predictions(60), draws=50)
    assert found.names() == metric_names(found.classes, None)
    with pytest.raises(UsageError, match="recall:Rust"):
        found.find("recal:Rust")
    with pytest.raises(UsageError, match="known: "):
        found.find("recall:rust")
    with pytest.raises(UsageError, match="--good-class"):
        found.find("escape")
    with pytest.raises(UsageError, match="good class 'good' is not one of"):
        measure(random_predictions(9), good_class="good")
    with pytest.raises(DataError, match="2 groups for 9"):
        measure(random_predictions(9), groups=["a", "b"])


def test_a_class_name_with_a_colon():
    found = measure(answers([0, 1], [0, 1], ("a", "b:c")), draws=20)
    assert found.find("recall:b:c").value == 1


def test_json_is_plain():
    found = measure(random_predictions(60), good_class="Good", draws=50)
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["counts"] == found.counts.tolist()
    assert plain["per_class"][1]["recall"]["interval"][0] < 1


def test_confusion_matrix_is_shared():
    counts = confusion_matrix([0, 1], [1, 1], 2)
    assert rates(counts)["accuracy"] == 0.5


def test_fast_enough():
    predictions = random_predictions(1000, 6, names=tuple("abcdef"))
    measure(predictions, draws=10)
    start = time.process_time()
    measure(predictions, draws=2000)
    assert time.process_time() - start < 3  # 0.5 s on one idle core


def test_a_small_class_that_is_all_right_keeps_the_mean_unsure():
    """94 common and 2 rare images, all right: the rare recall may still be .16."""
    targets = np.array([0] * 94 + [1] * 2)
    found = measure(answers(targets, targets, ("Good", "Rare")), draws=200)
    rare = clopper_pearson(2, 2)
    common = clopper_pearson(94, 94)
    reach = ((1 - rare.low) ** 2 + (1 - common.low) ** 2) ** 0.5 / 2
    assert found.balanced_accuracy.interval.low == pytest.approx(1 - reach)
    assert found.accuracy.interval == clopper_pearson(96, 96)
    # One error among the common ones must not make the mean look sure again.
    predicted = targets.copy()
    predicted[0] = 1
    worse = measure(answers(targets, predicted, ("Good", "Rare")), draws=200)
    assert worse.balanced_accuracy.interval.low < 0.7


@pytest.mark.parametrize(
    "counts", [(0, 1, 2), (1, 0, 0), (99, 1, 0), (297, 2, 1), (1, 1, 1)]
)
@pytest.mark.parametrize("good_class", [None, "Good"])
def test_odd_class_counts_never_crash(counts, good_class):
    """F20: classes with 0, 1 and 2 images, one class alone, one class 99 %."""
    targets = np.repeat([0, 1, 2], counts)
    predicted = (targets + (np.arange(targets.size) % 5 == 0)) % 3
    found = measure(answers(targets, predicted), good_class=good_class, draws=50)
    for name in found.names():
        estimate = found.find(name)
        if estimate.value is not None and estimate.interval is not None:
            low, high = estimate.interval
            assert 0 <= low <= estimate.value <= high <= 1, name
    for count, entry in zip(counts, found.per_class, strict=True):
        assert (entry.recall.value is None) == (count == 0)
        assert (entry.ap.value is None) == (count == 0)


def test_photos_of_two_parts_prove_no_more_than_two_parts():
    """All right: no bootstrap spreads, and thirty photos are one part."""
    targets = np.repeat([0, 1, 2], 60)
    groups = [f"{label}-{i % 2}" for i, label in enumerate(targets)]
    found = measure(answers(targets, targets), groups=groups, good_class="Good")
    two, four = clopper_pearson(2, 2), clopper_pearson(0, 4)
    for entry in found.per_class:
        assert entry.groups == 2
        assert entry.recall.interval == entry.precision.interval == two
        assert entry.ap.interval == two
        assert entry.f1.interval.low == pytest.approx(2 * two.low / (1 + two.low))
    assert found.escape.interval == four  # of four defective parts
    assert found.accuracy.interval == clopper_pearson(6, 6)
    # The mean of three independent classes: their distances add up as squares.
    low = 1 - np.sqrt(3 * (1 - two.low) ** 2) / 3
    assert found.balanced_accuracy.interval.low == pytest.approx(low)


@pytest.mark.parametrize("parts", [2, 20])
def test_a_mistake_never_makes_an_interval_narrower(parts):
    """One in few parts does not show that the photos of a part are independent."""
    targets = np.array([0] * 60 + [1] * 60)
    groups = [f"{i // 60}-{i % parts}" for i in range(120)]
    names, widths = ("Good", "Rust"), []
    for wrong in range(4):
        predicted = targets.copy()
        predicted[60 : 60 + wrong] = 0
        found = measure(answers(targets, predicted, names), groups=groups, draws=300)
        entry = found.per_class[1]
        of_parts = clopper_pearson((60 - wrong) / 60 * parts, parts)
        assert entry.recall.interval.low <= of_parts.low + 1e-12
        assert entry.recall.interval.high >= of_parts.high - 1e-12
        widths.append(
            [
                estimate.interval.high - estimate.interval.low
                for estimate in (entry.recall, entry.f1, found.balanced_accuracy)
            ]
        )
    assert (np.diff(widths, axis=0) > -1e-9).all()


def test_many_mistakes_show_how_far_photos_go_together():
    """Alternating answers in each part: the photos are as good as independent."""
    targets = np.array([0] * 60 + [1] * 60)
    groups = [f"{i // 60}-{i // 6}" for i in range(120)]
    predicted = np.where(np.arange(120) % 3 == 0, 0, targets)
    names = ("Good", "Rust")
    found = measure(answers(targets, predicted, names), groups=groups).per_class[1]
    alone = clopper_pearson(40, 60)
    assert found.recall.interval.low == pytest.approx(alone.low, abs=0.02)
    assert found.recall.interval.low > clopper_pearson(40 / 6, 10).low + 0.1


def test_half_of_one_part_says_little():
    targets = np.array([0] * 30 + [1] * 30)
    predicted = np.array([0, 1] * 15 + [1] * 30)
    names = ("Good", "Rust")
    one = measure(answers(targets, predicted, names), groups=["a"] * 30 + ["b"] * 30)
    assert one.per_class[0].recall.interval == clopper_pearson(0.5, 1)
    alone = measure(answers(targets, predicted, names))
    assert alone.per_class[0].recall.interval == clopper_pearson(15, 30)
