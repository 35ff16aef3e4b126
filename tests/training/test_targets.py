"""The table of targets as it is bent to a prior."""

from __future__ import annotations

import pytest
import torch

from uda.objectives.hierarchy import conditionals
from uda.training import targets
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
