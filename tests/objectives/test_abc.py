"""ABC: what is kept, on average, and that the backbone's own loss is untouched."""

from __future__ import annotations

import pytest
import torch

from tests.reference import family as literal
from uda.objectives.abc import abc_labeled, abc_unlabeled, keep_labeled, keep_unlabeled

COUNTS = torch.tensor([952, 115, 32])


def test_chances_are_those_of_the_paper():
    labels = torch.tensor([0, 1, 2])
    wanted = [32 / 952, 32 / 115, 1.0]
    assert keep_labeled(labels, COUNTS).tolist() == pytest.approx(wanted)
    start = keep_unlabeled(labels, COUNTS, progress=0.0)
    end = keep_unlabeled(labels, COUNTS, progress=1.0)
    assert start.tolist() == [1.0, 1.0, 1.0]
    assert end.tolist() == pytest.approx(wanted)


def test_the_kept_share_has_that_expectation():
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(200_000, dtype=torch.int64)
    kept = torch.rand(200_000, generator=generator) < keep_labeled(labels, COUNTS)
    assert abs(float(kept.double().mean()) - 32 / 952) < 0.002


def test_losses_equal_loops():
    generator = torch.Generator().manual_seed(1)
    weak, strong = (
        torch.randn(9, 3, generator=generator, dtype=torch.float64) * 3
        for _ in range(2)
    )
    labels = torch.tensor([0, 1, 2] * 3)
    uniform = torch.rand(9, generator=generator, dtype=torch.float64)
    wanted = 0.0
    for w, y, u in zip(weak.tolist(), labels.tolist(), uniform.tolist(), strict=True):
        wanted += literal.cross_entropy(y, w) * (u < 32 / COUNTS[y].item())
    found = abc_labeled(weak, labels, COUNTS, uniform)
    assert float(found) == pytest.approx(wanted / 9, abs=1e-9)

    wanted = 0.0
    for w, s, u in zip(weak.tolist(), strong.tolist(), uniform.tolist(), strict=True):
        p = literal.softmax(w)
        c = literal.argmax(p)
        chance = 1 - 0.4 * (1 - 32 / COUNTS[c].item())
        wanted += literal.cross_entropy(c, s) * (max(p) >= 0.8) * (u < chance)
    terms = abc_unlabeled(weak, strong, COUNTS, uniform, progress=0.4, threshold=0.8)
    assert float(terms.loss.mean()) == pytest.approx(wanted / 9, abs=1e-9)
