"""The page's contents for runs of every kind: rules, trees, several labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.test_out_of_fold import pooled
from tests.support.reports import make_run
from uda.evaluation.conformal import UnsureLane
from uda.evaluation.decided import measure_decision
from uda.evaluation.decision import DecisionRule
from uda.evaluation.metrics import measure
from uda.evaluation.multilabel import measure_labels
from uda.evaluation.nodes import node_metrics
from uda.evaluation.predict import Predictions
from uda.reporting.page import render
from uda.reporting.report import contents, write_report
from uda.reporting.rundata import Evaluated, RunData, read_run
from uda.run.layout import RunFolder
from uda.tree import Tree

CLASSES = ("Good", "Rust", "Scratch")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunData:
    made = make_run(tmp_path_factory.mktemp("run"), warm=False)
    return read_run(RunFolder(made.folder))


def answers(link="softmax", count=40) -> Predictions:
    generator = np.random.default_rng(1)
    probs = generator.dirichlet(np.ones(3), count)
    targets = generator.integers(0, 3, count)
    if link == "sigmoid":
        targets = generator.integers(0, 2, (count, 3))
    names = [f"{n}.png" for n in range(count)]
    return Predictions(names, targets, np.log(probs).astype(np.float32), CLASSES, link)


def page(run: RunData, found: Predictions, metrics, **more) -> str:
    facts = {"main_weights": "ema", "weights": {"ema": metrics.to_json()}, "notes": [],
             "images": len(found.ids), "skipped": [["a.png", "empty"]]}  # fmt: skip
    one = Evaluated("test", facts, found, kept=True)
    text = render("report.html", **contents(replace(run, evaluations=[one], **more)))
    return " ".join(text.split())


def test_out_of_fold_numbers_are_there_where_there_are_some(run):
    text = " ".join(render("report.html", **contents(run)).split())
    assert "Out of fold" not in text
    found = pooled(([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], 0, 0, 0))
    text = render("report.html", **contents(replace(run, out_of_fold=found)))
    text = " ".join(text.split())
    assert "5 labelled images of 5 groups in 1 folds; each image answered by a" in text
    assert "balanced accuracy: 0.58 <span" in text
    found.save(run.folder / "out_of_fold.npz")
    again = read_run(RunFolder(run.folder)).out_of_fold
    (run.folder / "out_of_fold.npz").unlink()
    assert again.predictions.ids == found.predictions.ids


def test_a_decision_rule_is_told(run):
    lane = UnsureLane(0.9, (0.5, 0.5, 0.5), (True, True, True), "Good")
    rule = DecisionRule(CLASSES, temperature=2.0, lane=lane)
    found = replace(answers(), rule=rule)
    metrics = replace(
        measure(found, good_class="Good", draws=5),
        decision=measure_decision(found, good_class="Good", draws=5),
    )
    text = page(run, found, metrics, decision={"rule": rule.to_json()})
    assert "A decision rule answers here: temperature 2.00, unsure lane" in text
    assert "of all parts go to a person" in text
    assert "Parts whose answer is unsure go to a person" in text
    assert ", unsure" in text


def test_the_nodes_of_a_class_tree(run):
    tree = Tree(
        (("root", ("Good", "defect")), ("defect", ("Rust", "Scratch"))), CLASSES
    )
    found = answers()
    metrics = replace(measure(found, draws=5), nodes=node_metrics(found, tree))
    text = page(run, found, metrics)
    assert "Decision at the node defect" in text


def test_several_labels_have_no_matrix(run):
    found = answers("sigmoid")
    text = page(run, found, measure_labels(found, draws=5))
    assert 'class="matrix"' not in text
    assert "Rust, missed:" in text
    assert "Rust, named without being there:" in text
    assert "exact match" in text
    assert ">threshold</th>" in text


def test_a_texture_run_says_that_it_has_no_map(run):
    found = answers()
    weights = {"ema": measure(found, draws=5).to_json()}
    facts = {"main_weights": "ema", "weights": weights, "notes": [], "images": 40,
             "skipped": []}  # fmt: skip
    one = Evaluated("test", facts, found, kept=True, no_maps="it has none")
    found_run = replace(run, evaluations=[one], kind="texture")
    text = render("report.html", **contents(found_run))
    assert "No maps: it has none." in text
    assert "texture model" in text
    assert ">ema<" not in text
    assert "ema weights" not in text


def test_files_left_out_are_counted(run):
    many = [(f"{n}.png", "empty") for n in range(500)]
    found = answers()
    text = page(run, found, measure(found, draws=5), skipped=many)
    assert "301 more are in the run folder" in text  # one of the evaluation
    assert text.count(">training</td>") == 200


def test_writing_twice_replaces_whole(tmp_path):
    made = make_run(tmp_path, warm=False)
    first = write_report(made.folder)
    first.write_text("old")
    assert write_report(made.folder) == first
    assert first.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not list(made.folder.glob(".report*"))


def test_numbers_that_are_out_of_date_are_told(run):
    found = answers()
    weights = {"ema": measure(found, draws=5).to_json()}
    facts = {"main_weights": "ema", "weights": weights, "notes": [], "images": 40,
             "skipped": [], "time": "2026-01-02T04:04:04+0100"}  # fmt: skip
    rule = {"rule": DecisionRule(CLASSES).to_json()}

    def text(time: str) -> str:
        one = Evaluated("test", {**facts, "time": time}, found, kept=True)
        changed = replace(run, evaluations=[one], decision=rule)
        return render("report.html", **contents(changed))

    earlier, later = text("2026-01-02T04:04:04+0100"), text("2026-01-02T04:04:06+0100")
    assert "The run went on after this evaluation" in earlier  # by one second
    assert "The run went on after this evaluation" not in later
    assert "decision.json is not in these numbers" in later
