"""ACR against a literal version."""

from __future__ import annotations

import math

import pytest
import torch

from tests.objectives.consistency.family import shape
from tests.reference import family as literal
from uda.objectives.acr import Acr, BothHeads, distance_share

PRIOR = (0.7, 0.2, 0.1)


def symmetric_kl(p, q):
    p = [a + 1e-8 for a in p]
    q = [a + 1e-8 for a in q]
    p, q = [a / sum(p) for a in p], [a / sum(q) for a in q]
    forward = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return 0.5 * (forward + sum(b * math.log(b / a) for a, b in zip(p, q, strict=True)))


def literal_share(histogram, prior):
    ranked = sorted(prior)
    reverse = [0.0] * len(prior)
    for place, c in enumerate(sorted(range(len(prior)), key=lambda c: -prior[c])):
        reverse[c] = ranked[place]
    anchors = (prior, [1 / len(prior)] * len(prior), reverse)
    return literal.softmax([symmetric_kl(histogram, a) for a in anchors])[0]


@pytest.mark.parametrize(
    "histogram", [(0.7, 0.2, 0.1), (1 / 3, 1 / 3, 1 / 3), (0.1, 0.2, 0.7)]
)
def test_the_share_equals_the_literal_one(histogram):
    found = distance_share(
        torch.tensor(histogram).double(), torch.tensor(PRIOR).double()
    )
    assert float(found) == pytest.approx(literal_share(histogram, PRIOR), abs=1e-6)


def test_a_mix_unlike_the_labels_adjusts_more():
    prior = torch.tensor(PRIOR).double()
    near = distance_share(prior, prior)
    assert float(near) < float(distance_share(prior.flip(0), prior))


def test_both_losses_equal_loops_over_steps():
    generator = torch.Generator().manual_seed(0)
    method = Acr(PRIOR, threshold=0.8, momentum=0.7)
    memory = method.memory(shape(3))
    histogram = [1 / 3] * 3
    logs = [math.log(p) for p in PRIOR]
    for _ in range(5):
        w, wa, s, sa = (
            torch.randn(10, 3, generator=generator, dtype=torch.float64) * 3
            for _ in range(4)
        )
        leaf, auxiliary, memory = method(BothHeads(w, wa), BothHeads(s, sa), memory)
        sure = [max(literal.softmax(r)) >= 0.8 for r in wa.tolist()]
        if any(sure):
            picked = [
                literal.argmax(r) for r, k in zip(wa.tolist(), sure, strict=True) if k
            ]
            new = [picked.count(c) / len(picked) for c in range(3)]
            histogram = [0.7 * a + 0.3 * b for a, b in zip(histogram, new, strict=True)]
        tau = 2 * literal_share(histogram, PRIOR)
        first = second = 0.0
        rows = zip(w.tolist(), wa.tolist(), s.tolist(), sa.tolist(), strict=True)
        for a, b, c, d in rows:
            soft = [z - tau * g for z, g in zip(a, logs, strict=True)]
            full = [z - 2 * g for z, g in zip(a, logs, strict=True)]
            if max(literal.softmax(soft)) >= 0.8 or max(literal.softmax(a)) >= 0.8:
                first += literal.cross_entropy(literal.argmax(soft), c)
            if max(literal.softmax(full)) >= 0.8 or max(literal.softmax(b)) >= 0.8:
                second += literal.cross_entropy(literal.argmax(full), d)
        assert float(leaf.loss.mean()) == pytest.approx(first / 10, abs=1e-6)
        assert float(auxiliary.loss.mean()) == pytest.approx(second / 10, abs=1e-6)
        assert memory["histogram"].tolist() == pytest.approx(histogram, abs=1e-9)
