"""Tables of plain text: aligned, safe for a terminal, n/a where nothing is known."""

from __future__ import annotations

from dataclasses import replace

from tests.evaluation.test_metrics import answers, random_predictions
from uda.evaluation.conformal import UnsureLane
from uda.evaluation.decided import measure_decision
from uda.evaluation.decision import DecisionRule
from uda.evaluation.metrics import measure
from uda.evaluation.nodes import node_metrics
from uda.reporting import text
from uda.tree import good_against_rest


def test_columns_are_aligned():
    assert text.table([["a", "1"], ["long", "100"]]) == ["a       1", "long  100"]


def test_confusion_lines_hold_every_count():
    metrics = measure(answers([0, 0, 1, 2], [0, 1, 1, 1]), draws=20)
    lines = text.confusion_lines(metrics)
    assert [line.split() for line in lines[1:]] == [
        ["0", "Good", "1", "1", "0", "2"],
        ["1", "Rust", "0", "1", "0", "1"],
        ["2", "Scratch", "0", "1", "0", "1"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_class_lines_show_intervals_and_what_is_unknown():
    metrics = measure(answers([0] * 10, [0] * 9 + [1]), draws=20)
    good, rust, _ = text.class_lines(metrics)[1:]
    assert "0.900 (0.555-0.997)" in good
    assert rust.split()[:3] == ["Rust", "0", "n/a"]
    assert "groups" in text.class_lines(metrics, grouped=True)[0]


def test_overall_lines_have_a_column_per_weights():
    both = {
        name: measure(random_predictions(60, seed=seed), good_class="Good", draws=50)
        for seed, name in enumerate(("ema", "raw"))
    }
    lines = text.overall_lines(both)
    assert "ema weights" in lines[0]
    assert "raw weights" in lines[0]
    assert sum(line.startswith("escape") for line in lines) == 2
    assert any(line.startswith("overkill") for line in lines)
    assert f"{both['raw'].escape.part}/{both['raw'].escape.whole} = " in "\n".join(
        lines
    )
    assert "texture" in text.overall_lines({"ema": both["ema"]}, "texture")[0]
    assert text.asked_words("ema", "flips", "texture") == "texture, TTA flips"
    without = text.overall_lines({"ema": measure(random_predictions(30), draws=20)})
    assert not any("escape" in line for line in without)
    assert len(text.recall_lines(both)) == 4


def test_names_cannot_steer_the_terminal():
    assert text.short("\x1b[31mred\n") == "\\x1b[31mred\\n"
    assert len(text.short("x" * 200)) == 22


def test_decision_lines_say_who_looks():
    predictions = random_predictions(60)
    lane = UnsureLane(0.9, (1.0,) * 3, (True,) * 3)
    rule = DecisionRule(predictions.classes, 1.2, lane=lane)
    ruled = replace(predictions, rule=rule)
    metrics = replace(
        measure(ruled, draws=20),
        decision=measure_decision(ruled, good_class="Good", draws=20),
    )
    lines = text.decision_lines(metrics)
    assert lines[0].startswith("Decision: temperature 1.20, unsure lane")
    assert lines[0].endswith(". The numbers above are of its answers.")
    tree = good_against_rest("Good", predictions.classes)
    nodes = node_metrics(ruled, tree, draws=20)
    assert text.decision_lines(replace(metrics, nodes=nodes))[0].endswith(
        "are of its answers, but the decisions at a node, which are the model's own."
    )
    unsure = int(ruled.unsure.sum())
    assert f"{unsure}/60 = " in lines[1]
    assert [line.split()[0] for line in lines[2:5]] == ["of", "of", "of"]
    assert any(line.startswith("escape, unsure parts not passed") for line in lines)
    assert not any("cost" in line for line in lines)
    assert text.decision_lines(measure(predictions, draws=20)) == []
