"""Heads: initial weights, cutting outputs apart, averaging views."""

from __future__ import annotations

import pytest
import torch

from uda.models.heads import FlatHead, Outputs, log_mean_probs
from uda.models.seeding import seeded


@pytest.mark.parametrize(("bound", "limit"), [(None, 6**-0.5), (0.01, 0.01)])
def test_flat_head_starts_uniform_within_its_bound(bound, limit):
    with seeded(0, "init"):
        head = FlatHead(500, 6, bound=bound)
    weight = head.linear.weight
    assert weight.shape == (6, 500)
    assert weight.abs().max().item() <= limit
    assert weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.03)
    assert head.linear.bias.tolist() == [0] * 6


def test_flat_head_fills_the_leaf_alone():
    head = FlatHead(4, 3)
    features = torch.randn(2, 4)
    outputs = head(features)
    wanted = features @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(outputs.leaf, wanted)
    assert outputs.nodes is None
    assert outputs.auxiliary is None


def test_split_cuts_every_field_that_is_there():
    leaf, auxiliary = torch.arange(12.0).view(6, 2), torch.arange(6.0).view(6, 1)
    parts = Outputs(leaf, None, auxiliary).split([1, 2, 3])
    assert [len(part.leaf) for part in parts] == [1, 2, 3]
    assert torch.equal(torch.cat([part.leaf for part in parts]), leaf)
    assert torch.equal(parts[2].auxiliary, auxiliary[3:])
    assert all(part.nodes is None for part in parts)


def test_averaged_views_are_logits_of_the_mean_probability():
    views = [Outputs(torch.randn(5, 4) * 3) for _ in range(3)]
    wanted = sum(view.leaf.softmax(1) for view in views) / 3
    torch.testing.assert_close(log_mean_probs(views).leaf.softmax(1), wanted)
    torch.testing.assert_close(log_mean_probs(views).leaf.exp(), wanted)
