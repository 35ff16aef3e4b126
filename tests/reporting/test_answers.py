"""Answers as rows: the columns, several classes in one cell, no drawing needed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from tests.evaluation.test_metrics import answers
from uda.evaluation.predict import Predictions
from uda.reporting.answers import header, rows


def test_columns():
    classes = ("Good", "a,b")
    assert header(classes) == [
        "path", "class", "confidence", "prob:Good", "prob:a,b", "error",
    ]  # fmt: skip
    assert header(classes, with_target=True)[1] == "target"
    assert header(classes, with_decision=True)[1:3] == ["decision", "class"]


def test_a_row_per_image():
    found = answers([0, 1], [0, 1], ("Good", "Rust"))
    got = list(rows(found))
    assert [index for index, _ in got] == [0, 1]
    for (_, cells), probs, name in zip(got, found.probs, ("Good", "Rust"), strict=True):
        assert cells[0] == name
        assert cells[1] == f"{probs.max():.6f}"
        assert cells[2:] == [f"{value:.6f}" for value in probs]


def test_several_classes_and_none():
    probs = np.array([[0.9, 0.6], [0.4, 0.1]])
    found = Predictions(
        ["a", "b"],
        np.full((2, 2), -1),
        np.log(probs).astype(np.float32),
        ("Pit", "Rust"),
        "sigmoid",
    )
    assert [cells[0] for _, cells in rows(found)] == ["Pit|Rust", "none"]


def test_neither_torch_nor_drawing_is_imported():
    code = (
        "import sys; import uda.reporting.answers;"
        "assert not {'torch', 'matplotlib', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
