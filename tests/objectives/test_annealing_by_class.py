"""Class-wise annealing against lists, loops and the published form."""

from __future__ import annotations

import math

import pytest
import torch

from uda.objectives.annealing import tsa_mask, tsa_threshold
from uda.objectives.annealing_by_class import (
    exempt_rare,
    mask_by_class,
    prior_thresholds,
    quota_mask,
    quota_memory,
)


@pytest.mark.parametrize("schedule", ["log", "linear", "exp"])
@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_an_even_prior_gives_the_published_threshold(schedule, progress):
    even = torch.full((6,), 1 / 6, dtype=torch.float64)
    found = prior_thresholds(progress, even, schedule)
    assert found.tolist() == pytest.approx([tsa_threshold(progress, 6, schedule)] * 6)


def test_a_network_that_knows_the_mix_alone_masks_nothing():
    prior = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    logits = prior.log().repeat(3, 1)
    labels = torch.tensor([0, 1, 2])
    limits = prior_thresholds(0.0, prior, "log") + 1e-12
    assert mask_by_class(logits, labels, limits).tolist() == [1.0, 1.0, 1.0]
    assert tsa_mask(logits, labels, tsa_threshold(0.0, 3, "log")).tolist() == [0, 1, 1]


def test_rare_classes_are_exempt():
    limits = exempt_rare(torch.tensor([0.1, 0.1]), torch.tensor([100, 7]), below=20)
    logits = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    assert mask_by_class(logits, torch.tensor([0, 1]), limits).tolist() == [0.0, 1.0]


def literal_quota(history, probs, labels, progress, size):
    """Keep by sorted lists; the memory is that from before the batch."""
    quota = min(1.0, max(0.25, progress))
    mask = []
    for p, y in zip(probs, labels, strict=True):
        past = history[y][-size:]
        if len(past) < 8:
            mask.append(1.0)
            continue
        rank = max(0, math.ceil(quota * len(past)) - 1)
        mask.append(float(p <= sorted(past)[rank]))
    for p, y in zip(probs, labels, strict=True):
        history[y].append(p)
    return mask


def test_quota_equals_sorted_lists_over_many_batches():
    generator = torch.Generator().manual_seed(1)
    memory, history = quota_memory(3, remembered=16), {0: [], 1: [], 2: []}
    before = memory["probs"].clone()
    for step in range(30):
        logits = torch.randn(20, 3, generator=generator, dtype=torch.float64)
        labels = torch.multinomial(
            torch.tensor([0.9, 0.07, 0.03]), 20, True, generator=generator
        )
        probs = logits.softmax(1)[torch.arange(20), labels].tolist()
        wanted = literal_quota(history, probs, labels.tolist(), step / 30, 16)
        mask, memory = quota_mask(logits, labels, memory, progress=step / 30)
        assert mask.tolist() == wanted
    assert not before.any()
    assert memory["seen"].sum() == 600


def test_quota_keeps_the_same_share_of_every_class():
    generator = torch.Generator().manual_seed(2)
    memory = quota_memory(2)
    kept = torch.zeros(2)
    seen = torch.zeros(2)
    for _ in range(200):
        logits = torch.randn(32, 2, generator=generator, dtype=torch.float64)
        logits[:, 0] += 3  # class 0 is known, class 1 is not
        labels = (torch.rand(32, generator=generator) < 0.1).long()
        mask, memory = quota_mask(logits, labels, memory, progress=0.5)
        kept += torch.bincount(labels, mask, minlength=2).float()
        seen += torch.bincount(labels, minlength=2)
    share = kept / seen
    assert (share - 0.5).abs().max() < 0.05
