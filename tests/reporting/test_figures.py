"""Figures: right numbers drawn, hostile names, no display and no pyplot."""

from __future__ import annotations

import io
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_curve

from tests.evaluation.test_metrics import answers, random_predictions
from uda.reporting import figures

HOSTILE = ("$x_{", "new\nline" + "z" * 300, "日本\udcff", "<img onerror>", "NO")


def test_confusion_matrix_shows_counts_over_row_shares():
    counts = np.array([[90, 10], [1, 3]])
    figure = figures.confusion_matrix(counts, ("Good", "Rust"), title="test")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["90", "10", "1", "3"]
    shares = axes.images[0].get_array()
    assert np.asarray(shares) == pytest.approx(np.array([[0.9, 0.1], [0.25, 0.75]]))
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["Good (100)", "Rust (4)"]


def test_hostile_names_and_empty_classes_are_drawn():
    size = len(HOSTILE)
    figure = figures.confusion_matrix(np.zeros((size, size), int), HOSTILE, title="$")
    with Image.open(io.BytesIO(figures.png_bytes(figure))) as picture:
        assert len(picture.convert("RGB").getcolors(2**24)) > 2
    names = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert len(set(names)) == size
    assert names[2] == "#2 ???"
    predictions = answers([0, 1, 1], [0, 1, 0], HOSTILE)
    assert figures.png_bytes(figures.pr_curves(predictions))[:4] == b"\x89PNG"


def test_many_classes_have_colours_only():
    figure = figures.confusion_matrix(
        np.eye(40, dtype=int), [str(i) for i in range(40)]
    )
    assert not figure.axes[0].texts


def test_pr_points_equal_scikit_learn():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 9, 50).astype(np.float32)
    positive = rng.uniform(size=50) < 0.4
    recall, precision = figures.pr_points(scores, positive)
    expected_precision, expected_recall, _ = precision_recall_curve(positive, scores)
    full = len(recall)
    assert recall == pytest.approx(expected_recall[:-1][::-1][:full])
    assert precision == pytest.approx(expected_precision[:-1][::-1][:full])


def test_pr_curves_leave_out_classes_without_images():
    predictions = answers([0, 0, 2, -1], [0, 2, 2, 1])
    legend = figures.pr_curves(predictions).axes[0].get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert [text.split()[0] for text in texts] == ["Good", "Scratch"]
    nothing = figures.pr_curves(answers([-1], [0]))
    assert nothing.axes[0].get_legend() is None


def test_png_is_repeatable_and_readable():
    predictions = random_predictions(40)
    first, second = (figures.png_bytes(figures.pr_curves(predictions)) for _ in "ab")
    assert first == second
    assert Image.open(io.BytesIO(first)).size[0] > 300


def test_works_in_a_thread():
    done = []
    thread = threading.Thread(
        target=lambda: done.append(
            figures.png_bytes(figures.confusion_matrix(np.eye(2, dtype=int), "ab"))
        )
    )
    thread.start()
    thread.join()
    assert done[0][:4] == b"\x89PNG"


def test_no_pyplot_and_no_matplotlib_at_import():
    code = (
        "import sys, numpy; from uda.reporting import figures;"
        "assert 'matplotlib' not in sys.modules;"
        "figures.png_bytes(figures.confusion_matrix(numpy.eye(2, dtype=int), 'ab'));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_of_many_classes_the_worst_curves_are_drawn_beside_their_legend():
    size = 40
    right = answers(
        range(size), range(size), classes=tuple(f"k{n}" for n in range(size))
    )
    wrong = list(range(size))
    wrong[33] = 0
    poor = answers(range(size), wrong, classes=right.classes)
    figure = figures.pr_curves(poor)
    assert len(figure.axes[0].get_lines()) == 24
    (legend,) = figure.legends
    names = [text.get_text().split()[0] for text in legend.get_texts()]
    assert len(names) == 24
    assert "k33" in names
    assert "the 24 lowest of 40" in legend.get_title().get_text()
    assert figures.png_bytes(figure)[:4] == b"\x89PNG"  # warnings are errors
