"""The files of an evaluation: complete, plain, safe for a spreadsheet."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.test_metrics import answers
from uda.evaluation.conformal import UnsureLane
from uda.evaluation.decision import DecisionRule
from uda.evaluation.evaluate import Evaluation
from uda.evaluation.metrics import measure
from uda.evaluation.parts import EvaluationSet
from uda.evaluation.predict import Predictions
from uda.reporting.results import header, write_evaluation


@pytest.fixture
def evaluation():
    predictions = answers([0, 1, 2, -1], [0, 1, 1, 2], ("=Good", "NO", "a,b"))
    predictions.ids[0] = "=cmd()\n.png"
    images = EvaluationSet(
        "test",
        [(name, Path(name)) for name in ("bad.png", *predictions.ids)],
        np.array([0, *predictions.targets]),
        ["z", "b", "a", "b", "c"],
    )
    metrics = {name: measure(predictions, draws=20) for name in ("ema", "raw")}
    both = {"ema": predictions, "raw": predictions}
    return Evaluation(images, both, metrics, [("bad.png", "the file is empty")])


def test_everything_is_written(evaluation, tmp_path):
    for _ in range(2):  # a second time replaces the first
        write_evaluation(tmp_path / "test", evaluation)
    names = sorted(path.name for path in (tmp_path / "test").iterdir())
    assert names == [
        "confusion_matrix.png",
        "metrics.json",
        "pr_curves.png",
        "predictions.csv",
        "predictions.npz",
    ]
    stored = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert stored["images"] == 4
    assert stored["groups"] == [0, 1, 0, 2]
    assert stored["skipped"] == [["bad.png", "the file is empty"]]
    assert stored["main_weights"] == "ema"
    assert set(stored["weights"]) == {"ema", "raw"}
    assert stored["weights"]["raw"]["unknown"] == 1
    again = Predictions.load(tmp_path / "test" / "predictions.npz")
    assert again.ids == evaluation.predictions["ema"].ids


def test_the_table_has_a_row_per_image(evaluation, tmp_path):
    write_evaluation(tmp_path, evaluation)
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 5
    assert list(rows[0]) == header(("=Good", "NO", "a,b"), with_target=True)
    assert rows[0]["path"] == "'=cmd()\n.png"
    assert rows[0]["target"] == rows[0]["class"] == "'=Good"
    assert rows[3]["target"] == ""
    assert rows[4] == {
        **dict.fromkeys(rows[4], ""),
        "path": "bad.png",
        "error": "the file is empty",
    }
    probs = [
        [float(row[f"prob:{c}"]) for c in ("=Good", "NO", "a,b")] for row in rows[:4]
    ]
    assert np.sum(probs, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert float(rows[1]["confidence"]) == max(probs[1])


def test_a_rule_adds_its_decision(evaluation, tmp_path):
    classes = ("=Good", "NO", "a,b")
    lane = UnsureLane(0.9, (9.0, 9.0, -1.0), (True,) * 3)
    rule = DecisionRule(classes, bias=(0.0, 0.0, 99.0), lane=lane)
    main = replace(evaluation.predictions["ema"], rule=rule)
    ruled = replace(evaluation, predictions={"ema": main, "raw": main})
    write_evaluation(tmp_path, ruled)
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert list(found[0])[:4] == ["path", "target", "decision", "class"]
    # The bias answers a,b, which is in no set: nothing stands.
    assert [row["decision"] for row in found] == ["unsure"] * 4 + [""]
    assert [row["class"] for row in found] == ["'=Good", "NO", "NO", "a,b", ""]
    assert found[-1]["error"] == "the file is empty"
    no_lane = replace(main, rule=replace(rule, lane=None))
    write_evaluation(tmp_path, replace(ruled, predictions={"ema": no_lane}))
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["decision"] for row in found] == ["a,b"] * 4 + [""]
