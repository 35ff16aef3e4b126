"""Details of an evaluation, against scikit-learn and counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix

from uda.evaluation.metrics import measure
from uda.evaluation.multilabel import measure_labels
from uda.evaluation.predict import Predictions
from uda.reporting import detail
from uda.reporting.rundata import Evaluated


def drawn(count=60, size=3, several=False) -> Predictions:
    generator = np.random.default_rng(size)
    probs = generator.dirichlet(np.ones(size), count)
    targets = generator.integers(0, size, count)
    if several:
        targets = generator.integers(0, 2, (count, size))
    link = "sigmoid" if several else "softmax"
    classes = tuple(f"k{n}" for n in range(size))
    names = [f"{n}.png" for n in range(count)]
    return Predictions(names, targets, np.log(probs).astype(np.float32), classes, link)


def evaluated(found: Predictions) -> Evaluated:
    measured = measure_labels(found, draws=5) if found.several else (
        measure(found, draws=5)
    )  # fmt: skip
    facts = {"main_weights": "ema", "weights": {"ema": measured.to_json()}}
    pictures = {2: {"image": "data:x", "maps": [{"class": "k0", "image": "data:y",
                                                "empty": False}]}}  # fmt: skip
    return Evaluated("test", facts, found, None, pictures)


def test_the_matrix_is_scikit_learns():
    found = drawn()
    table = detail.matrix(evaluated(found), "m")
    counts = [[cell.count for cell in row] for row in table]
    expected = confusion_matrix(found.targets, found.predicted)
    np.testing.assert_array_equal(counts, expected)
    assert table[0][0].css.startswith("right r")
    assert table[0][1].css.startswith("wrong w")
    assert table[1][2].anchor == "m-1-2"
    shown = [cell.pictures for row in table for cell in row if cell.pictures]
    assert len(shown) == 1
    assert shown[0][0].name == "2.png"
    assert shown[0][0].maps == [("k0", "data:y", False)]


def test_too_many_classes_are_no_table():
    assert detail.matrix(evaluated(drawn(80, 31)), "m") == []


def test_every_image_with_several_labels_is_missed_or_false():
    found = drawn(several=True)
    one = evaluated(found)
    assert detail.matrix(one, "m") == []
    counts = sum(cell.count for cell in detail.label_cells(one, "m"))
    assert counts == int((found.targets != found.predicted).sum())


@pytest.mark.parametrize("several", [False, True])
def test_curves_have_scikit_learns_average_precision(several):
    found = drawn(several=several)
    charts = detail.pr_charts(evaluated(found))
    assert [chart.title for chart in charts] == list(found.classes)
    for label, chart in enumerate(charts):
        true = found.targets[:, label] if several else found.targets == label
        area = average_precision_score(true, found.log_probs[:, label])
        assert f"average precision {area:.2f}" in chart.alt
        assert len(chart.lines[0].marks) == 1


def test_only_so_many_curves_are_drawn_the_lowest():
    one = evaluated(drawn(120, 30))
    charts = detail.pr_charts(one)
    assert len(charts) == 24
    areas = sorted(e["ap"]["value"] for e in one.main["per_class"] if e["images"])
    assert all(f"{areas[-1]:.4f}" not in chart.note for chart in charts)


@pytest.mark.parametrize("several", [False, True])
def test_calibration(several):
    one = evaluated(drawn(several=several))
    chart = detail.calibration_chart(one)
    marks = chart.lines[1].marks
    assert len(marks) == 10
    assert [x for x, _ in marks] == sorted(x for x, _ in marks)
    assert 0 <= detail.calibration_number(one) <= 1


def test_calibration_is_the_one_of_the_numbers():
    one = evaluated(drawn())
    known = one.main["calibration_error"]["value"]
    assert detail.calibration_number(one) == pytest.approx(known)


def test_without_a_known_class_there_is_nothing():
    found = drawn(4)
    blank = Predictions(
        found.ids, np.full(4, -1), found.log_probs, found.classes, found.link
    )
    one = evaluated(blank)
    assert detail.calibration_chart(one) is None
    assert detail.calibration_number(one) is None
    assert detail.pr_charts(one) == []
    assert detail.worst(one) == []
    assert detail.number_wrong(one) == 0


def test_the_area_below_a_curve_is_the_average_precision():
    found = drawn()
    one = evaluated(found)
    for label, chart in enumerate(detail.pr_charts(one)):
        path = chart.lines[0].paths[0].split()
        points = np.array([[float(v) for v in point.split(",")] for point in path])
        x = (points[:, 0] - chart.left) / (chart.right - chart.left)
        y = (chart.bottom - points[:, 1]) / (chart.bottom - chart.top)
        area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
        true = found.targets == label
        expected = average_precision_score(true, found.log_probs[:, label])
        assert area == pytest.approx(expected, abs=0.01)
