"""ACR against a literal version."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.objectives.consistency.family import shape
from tests.reference import family as literal
from uda.objectives.acr import Acr, BothHeads, distance_share
from uda.training.teacher import known_targets

PRIOR = (0.2, 0.7, 0.1)


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
    "histogram", [(0.2, 0.7, 0.1), (1 / 3, 1 / 3, 1 / 3), (0.2, 0.1, 0.7)]
)
def test_the_share_equals_the_literal_one(histogram):
    found = distance_share(
        torch.tensor(histogram).double(), torch.tensor(PRIOR).double()
    )
    assert float(found) == pytest.approx(literal_share(histogram, PRIOR), abs=1e-6)


def test_a_mix_unlike_the_labels_adjusts_more():
    prior = torch.tensor(PRIOR).double()
    near = distance_share(prior, prior)
    unlike = torch.tensor((0.2, 0.1, 0.7)).double()
    assert float(near) < float(distance_share(unlike, prior))


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
        leaf, auxiliary, memory = method(
            BothHeads(w, wa), BothHeads(s, sa), torch.arange(10), memory
        )
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


@pytest.mark.parametrize("ratio", [2, 10, 30, 300])
def test_a_known_label_is_no_guess_to_be_adjusted(ratio):
    """Nearly sure as it is: 30 times rarer, the other class would take it over."""
    prior = (ratio / (ratio + 1), 1 / (ratio + 1))
    known = torch.tensor([True, False])
    row = known_targets(np.array([0]), 2).double()
    weak = BothHeads(row.repeat(2, 1), row.repeat(2, 1))
    strong = BothHeads(torch.zeros(2, 2).double(), torch.zeros(2, 2).double())
    method = Acr(prior, known=known)
    memory = method.memory(shape(2))
    leaf, balanced, after = method(weak, strong, torch.arange(2), memory)
    assert leaf.targets[0].tolist() == balanced.targets[0].tolist() == [1.0, 0.0]
    assert balanced.mask[0] == 1
    # 99.5 to 0.5, and the square of the ratio against it.
    assert balanced.targets[1].argmax() == int(ratio**2 > 199)
    # And it says nothing of the mix: only the guess is counted.
    alone = BothHeads(row, row), BothHeads(*(s[:1] for s in strong))
    _, _, single = method(*alone, torch.tensor([1]), memory)
    assert torch.equal(after["histogram"], single["histogram"])
    _, _, none = method(*alone, torch.tensor([0]), memory)
    assert torch.equal(none["histogram"], memory["histogram"])


def test_an_image_without_an_opinion_says_nothing_of_the_mix():
    sure = torch.tensor([[9.0, 0.0, 0.0]]).double()
    weak = BothHeads(torch.zeros(1, 3).double(), sure)
    method = Acr(PRIOR)
    memory = method.memory(shape(3))
    _, _, after = method(weak, weak, torch.arange(1), memory)
    assert torch.equal(after["histogram"], memory["histogram"])


def test_the_histogram_remembers_as_in_the_published_commands():
    assert Acr(PRIOR).momentum == 0.99
