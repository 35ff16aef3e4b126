"""Seeded blocks: repeatable inside, invisible outside."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uda.models.seeding import draws_at_random, seeded


def draw(*key):
    with seeded(*key):
        return torch.rand(3)


def test_the_draw_depends_on_seed_stream_and_counter_alone():
    first = draw(0, "dropout", 7)
    torch.rand(5)
    assert torch.equal(draw(0, "dropout", 7), first)
    for other in [(1, "dropout", 7), (0, "init", 7), (0, "dropout", 8)]:
        assert not torch.equal(draw(*other), first)


def test_the_global_state_comes_back_even_after_an_error():
    before = torch.random.get_rng_state()
    draw(0, "init")
    with pytest.raises(KeyError), seeded(3, "init"):
        torch.rand(9)
        raise KeyError
    assert torch.equal(torch.random.get_rng_state(), before)


def test_random_layers_are_found():
    assert draws_at_random(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))
    assert not draws_at_random(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
