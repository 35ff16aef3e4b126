"""The table of targets as it is bent to a prior."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from uda.data.sampling import UnlabeledSampler
from uda.objectives.hierarchy import conditionals
from uda.training import length, step, targets
from uda.training.configure import build_config
from uda.tree import good_against_rest

TREE = good_against_rest("Good", ("Good", "Rust", "Scratch"))


def skewed(num, first):
    """Rows (num, 2) that lean to the first class, with as many degrees of doubt."""
    chance = torch.linspace(0.05, 0.95, num) ** (1 - first)
    return torch.stack([chance, 1 - chance], 1)


def test_a_refined_table_leaves_those_without_opinion_alone():
    table = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]).log()
    found = targets._refined(table, (0.9, 0.1), None)
    assert torch.equal(found[0], table[0])
    assert found[2, 0] > table[2, 0]


@pytest.mark.parametrize("prior", [(0.5, 0.5), (0.3, 0.7)])
def test_the_rows_with_an_opinion_have_the_mix_of_the_prior(prior):
    """400 rows of which two teachers disagree about 160: those must not pay for it."""
    probs = torch.full((400, 2), 0.5)
    probs[160:] = skewed(240, 0.7)
    assert probs[160:].mean(0)[0] > 0.7
    found = targets._refined(probs.log(), prior, None).exp()
    assert torch.equal(found[:160], probs.log().exp()[:160])
    torch.testing.assert_close(
        found[160:].mean(0), torch.tensor(prior), atol=1e-5, rtol=0
    )
    alone = targets._refined(probs[160:].log(), prior, None)
    assert torch.equal(found[160:], alone.exp())


def test_with_a_tree_the_opinion_is_that_of_the_root():
    """Undecided at the root, an image has no share in the mix, whatever is below."""
    defects = skewed(40, 0.7)
    good = torch.linspace(0.1, 0.9, 40)
    told = torch.cat([good[:, None], (1 - good)[:, None] * defects], 1)
    undecided = torch.cat([torch.full((20, 1), 0.5), 0.5 * defects[:20]], 1)
    table = torch.cat([undecided, told]).log()
    prior = (0.8, 0.15, 0.05)
    found = targets._refined(table, prior, TREE)
    assert torch.equal(found[:20], table[:20])
    torch.testing.assert_close(
        found[20:].exp().mean(0), torch.tensor(prior), atol=1e-4, rtol=0
    )
    root = conditionals(found, TREE)[0]
    torch.testing.assert_close(root[:20].exp(), torch.full((20, 2), 0.5))


def test_where_nobody_has_an_opinion_nothing_is_bent():
    table = torch.full((5, 3), 1 / 3).log()
    assert torch.equal(targets._refined(table, (0.8, 0.1, 0.1), None), table)


def trainer_of(num, *, batch=4, accumulation=1, step=0):
    """A run of ``num`` unlabelled images, every second row of its pool."""
    config = build_config(
        {"optimizer.accumulation": accumulation, "consistency.refresh_steps": 5}
    )
    rows = np.arange(0, 2 * num, 2)
    sampler = UnlabeledSampler(num, batch=batch, seed=3)
    return SimpleNamespace(
        config=config,
        parts=SimpleNamespace(unlabeled=rows),
        state=SimpleNamespace(step=step),
        stream=SimpleNamespace(unlabeled_sampler=sampler),
    )


@pytest.mark.parametrize(("at", "accumulation"), [(0, 1), (50, 1), (20, 3)])
def test_of_a_large_pile_what_is_drawn_next_gets_a_target(
    monkeypatch, at, accumulation
):
    monkeypatch.setattr(targets, "WHOLE", 200)
    trainer = trainer_of(201, step=at, accumulation=accumulation)
    sampler, drawn = trainer.stream.unlabeled_sampler, set()
    for later in range(at, at + 5):  # until the next renewal
        for micro in range(accumulation):
            picked = sampler.indices(later * accumulation + micro)
            drawn |= {2 * int(i) for i in picked}
    found = targets.renewed_rows(trainer)
    assert found.tolist() == sorted(drawn)
    small = trainer_of(200, step=at)
    assert targets.renewed_rows(small) is small.parts.unlabeled


def test_a_run_on_a_large_pile_draws_no_image_without_a_target(quick, monkeypatch):
    """With texture off every target is the network's; none may be the filling."""
    monkeypatch.setattr(targets, "WHOLE", 8)
    seen, plain = [], step.table_outputs

    def watched(memory, rows):
        found = plain(memory, rows)
        seen.append(float(found.leaf.amax(1).min()))
        return found

    monkeypatch.setattr(step, "table_outputs", watched)
    monkeypatch.setattr(length, "WHOLE", 8)
    folder, _ = quick({"consistency.refresh_steps": 2})
    assert len(seen) >= 3
    assert min(seen) > -math.log(3) + 1e-6
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    assert not any("unlabeled/target_flips" in line for line in lines)
    assert any("unlabeled/target_entropy[nats]" in line for line in lines)
