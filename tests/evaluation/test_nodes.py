"""Decisions of a tree, against counts by hand and the flat measurement."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.test_tree import DEEP
from uda.evaluation.decision import DecisionRule
from uda.evaluation.metrics import measure
from uda.evaluation.nodes import node_metrics
from uda.evaluation.predict import Predictions
from uda.intervals import clopper_pearson
from uda.reporting.text import node_lines
from uda.tree import ROOT, Tree

CLASSES = DEEP.classes  # Dent, Good, Grind, Rust, Scratch


def predictions(probs, targets, classes=CLASSES):
    rows = np.asarray(probs, dtype=np.float64)
    return Predictions(
        ids=[f"{i}.png" for i in range(len(rows))],
        targets=np.asarray(targets, dtype=np.int64),
        log_probs=np.log(rows).astype(np.float32),
        classes=classes,
    )


def random_predictions(seed, num=60):
    rng = np.random.default_rng(seed)
    return predictions(rng.dirichlet(np.ones(5), num), rng.integers(-1, 5, num))


def test_every_node_against_a_loop():
    found = random_predictions(3)
    nodes = node_metrics(found, DEEP, draws=50)
    assert [node.name for node in nodes] == list(DEEP.nodes)
    for node, (_, children), groups in zip(
        nodes, DEEP.branches, DEEP.groups, strict=True
    ):
        hits = dict.fromkeys(children, 0)
        total = dict.fromkeys(children, 0)
        for row, target in zip(found.probs, found.targets, strict=True):
            mine = [
                child for child, g in zip(children, groups, strict=True) if target in g
            ]
            if not mine:
                continue
            mass = [sum(row[list(group)]) for group in groups]
            total[mine[0]] += 1
            hits[mine[0]] += children[int(np.argmax(mass))] == mine[0]
        for child in node.children:
            recall = child.recall
            assert (recall.part, recall.whole) == (hits[child.name], total[child.name])
            assert recall.interval == clopper_pearson(recall.part, recall.whole)


def test_the_root_may_know_a_defect_that_no_class_wins():
    found = predictions([[0.2, 0.4, 0.1, 0.1, 0.2]] * 3, [0, 3, -1])
    assert set(found.predicted) == {1}  # Good
    root, defect, marks = node_metrics(found, DEEP, draws=20)
    good, bad = root.children
    assert (good.images, good.recall.value) == (0, None)
    assert (bad.images, bad.recall.value) == (2, 1.0)
    assert defect.classes == (("Rust",), ("Dent", "Grind", "Scratch"))
    assert [child.images for child in marks.children] == [0, 1, 0]


def test_a_rule_has_no_say_at_a_node():
    found = random_predictions(9)
    rule = DecisionRule(CLASSES, 3.0, bias=(9.0, 0.0, 0.0, 0.0, 0.0))
    ruled = replace(found, rule=rule)
    assert set(ruled.predicted) != set(found.predicted)
    assert node_metrics(ruled, DEEP, draws=20) == node_metrics(found, DEEP, draws=20)


def test_a_tree_of_depth_one_measures_what_the_flat_table_does():
    found = random_predictions(5)
    flat = Tree(((ROOT, CLASSES),), CLASSES)
    groups = [i // 3 for i in range(60)]
    (node,) = node_metrics(found, flat, groups=groups, draws=100)
    plain = measure(found, groups=groups, draws=100)
    for one, two in zip(node.children, plain.per_class, strict=True):
        assert one.recall == two.recall


def test_printed_and_as_json():
    found = random_predictions(7)
    metrics = measure(found, draws=20)
    assert node_lines(metrics) == []
    metrics = replace(metrics, nodes=node_metrics(found, DEEP, draws=20))
    lines = node_lines(metrics)
    assert lines[1].startswith(ROOT)
    assert any(line.startswith("  Marks = Dent, Grind, Scratch") for line in lines)
    plain = json.loads(json.dumps(metrics.to_json()))
    assert plain["nodes"][1]["name"] == "Defect"
    assert plain["nodes"][1]["children"][0]["recall"]["whole"] == pytest.approx(
        plain["per_class"][3]["images"]
    )
