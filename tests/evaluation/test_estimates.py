"""Estimates print what is known, and names lead to numbers."""

from __future__ import annotations

import pytest

from tests.evaluation.test_metrics import answers
from uda.errors import UsageError
from uda.evaluation.estimates import NOT_AVAILABLE, Estimate, metric_names
from uda.evaluation.metrics import measure
from uda.intervals import Interval


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (NOT_AVAILABLE, "n/a"),
        (Estimate(None, None, 0, 0), "n/a"),
        (Estimate(0.25), "0.250"),
        (Estimate(0.9, Interval(0.555, 0.997), 9, 10), "0.900 (0.555-0.997)"),
    ],
)
def test_text(estimate, text):
    assert str(estimate) == text


def test_every_name_is_found():
    metrics = measure(answers([0, 1, 2], [0, 1, 1]), good_class="Good", draws=20)
    assert metrics.names() == metric_names(metrics.classes, "Good")
    assert all(isinstance(metrics.find(name), Estimate) for name in metrics.names())
    assert "escape" not in metric_names(metrics.classes, None)
    for name in ("recall", "recall:", ":Good", "images:Good", "macro_f1:Good", ""):
        with pytest.raises(UsageError, match="known: "):
            metrics.find(name)
