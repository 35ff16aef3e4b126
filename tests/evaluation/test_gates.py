"""Gates: how they are written, what passes, what the message says."""

from __future__ import annotations

import pytest

from tests.evaluation.test_metrics import answers
from uda.errors import GateError, UsageError
from uda.evaluation.gates import Gate, check_names, enforce
from uda.evaluation.metrics import measure


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("recall:Rust>=0.8", ("recall:Rust", ">=", 0.8)),
        ("  macro_f1 > 0.5 ", ("macro_f1", ">", 0.5)),
        ("escape<=5e-3", ("escape", "<=", 0.005)),
        ("recall:a>=b<1", ("recall:a>=b", "<", 1.0)),
        ("ap:New Class<0.1", ("ap:New Class", "<", 0.1)),
    ],
)
def test_parse(text, expected):
    gate = Gate.parse(text)
    assert (gate.metric, gate.sign, gate.limit) == expected


@pytest.mark.parametrize(
    "text",
    ["", "recall:Rust", "recall:Rust=0.8", ">=0.8", "f1:a>=80", "a>=nan", "a>=x"],
)
def test_parse_refuses(text):
    with pytest.raises(UsageError, match="write a metric"):
        Gate.parse(text)


@pytest.fixture(scope="module")
def metrics():
    predictions = answers([1] * 10 + [0] * 10, [1] * 9 + [0] + [0] * 10)
    return measure(predictions, good_class="Good", draws=50)


def test_met(metrics):
    gates = [Gate.parse("recall:Rust>=0.9"), Gate.parse("escape<0.11")]
    lines = enforce(gates, metrics)
    assert lines[0].startswith(
        "recall:Rust>=0.9 met: 0.900 (95 % interval 0.555 to 0.997"
    )
    assert "9 of 10" in lines[0]


def test_not_met_names_value_and_interval(metrics):
    with pytest.raises(
        GateError, match=r"recall:Rust>0\.9 not met: 0\.900 .*0\.555 to"
    ):
        enforce([Gate.parse("recall:Rust>0.9")], metrics)
    with pytest.raises(GateError, match=r"escape.*overkill"):
        enforce([Gate.parse("escape<0"), Gate.parse("overkill>0")], metrics)


def test_what_the_data_cannot_say_is_not_met(metrics):
    for text in ("recall:Scratch>=0", "recall:Scratch<=1"):
        with pytest.raises(GateError, match="n/a"):
            enforce([Gate.parse(text)], metrics)


def test_names_are_checked_with_the_known_ones(metrics):
    classes = metrics.classes
    check_names([Gate.parse("escape<1")], classes, "Good")
    with pytest.raises(UsageError, match=r"recall:Rust.*--good-class"):
        check_names([Gate.parse("escape<1")], classes, None)
    with pytest.raises(UsageError, match="'recall:rust' is not a metric"):
        check_names([Gate.parse("recall:rust>0.5")], classes, "Good")
