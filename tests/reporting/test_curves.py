"""Training curves from metrics.jsonl: what is drawn, what is left out with a note."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.reports import PLAIN, make_run
from uda.reporting import curves
from uda.reporting.rundata import read_run
from uda.run.layout import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = make_run(tmp_path_factory.mktemp("run"))
    return read_run(RunFolder(made.folder), images=False)


def test_series_are_the_lines_that_have_the_tag(run):
    assert curves.series(run, "loss/total") == [
        (10, 0.2), (20, 0.1), (30, pytest.approx(2 / 30)), (40, 0.05)
    ]  # fmt: skip
    assert curves.series(run, "no/such") == []
    assert curves.last(run, "loss/total") == 0.05
    assert curves.last(run, "no/such") is None


def test_charts_of_what_is_there_alone(run):
    titles = [chart.title for chart in curves.training_charts(run)]
    assert titles == ["Losses", "Validation", "Recall per class, validation",
                      "Learning rate"]  # fmt: skip
    assert curves.training_charts(replace(run, history=[])) == []
    assert curves.branch_chart(replace(run, history=[])) is None
    assert "mask rate" in curves.branch_chart(run).alt


def test_no_more_classes_than_colours(run):
    classes = tuple(f"k{n}" for n in range(12))
    lines = [
        {"step": step, **{f"val_ema/recall/{c}": n / 12 for n, c in enumerate(classes)}}
        for step in (1, 2)
    ]
    many = replace(run, classes=classes, history=lines)
    (chart,) = curves.training_charts(many)
    assert [line.name for line in chart.lines] == list(classes[:8])
    assert chart.note == "4 classes that end higher are not drawn"


def test_pseudo_labels_beside_a_reference(run):
    bars, step = curves.pseudo_bars(run, [0.2, 0.3, 0.5])
    assert [bar.name for bar in bars] == list(PLAIN)
    assert [bar.reference for bar in bars] == [0.2, 0.3, 0.5]
    assert bars[0].value == pytest.approx(1 / 3)
    assert step == "step 40"
    assert curves.pseudo_bars(replace(run, history=[]), None) == ([], "")


def test_a_long_curve_is_thinned_and_keeps_its_end():
    points = [(float(step), step / 7) for step in range(50_001)]
    kept = curves._thinned(points)
    assert len(kept) <= 1000
    assert kept[-1] == points[-1]
    assert set(kept) <= set(points)
    assert curves._thinned(points[:1000]) == points[:1000]
    assert curves._thinned([]) == []
