from __future__ import annotations

import pytest
import torch

from uda.objectives.crest import crest_prior, crest_select, crest_shares


def test_known_shares_of_the_magnetic_tiles():
    shares = crest_shares(torch.tensor([952, 115, 103, 85, 57, 32]))
    assert float(shares[5]) == 1.0
    assert float(shares[0]) == pytest.approx((32 / 952) ** (1 / 3))
    assert round(100 * float(shares[0]), 1) == 32.3
    assert float(shares[1]) == pytest.approx((57 / 952) ** (1 / 3))


def test_shares_keep_the_order_of_the_classes():
    shares = crest_shares(torch.tensor([32, 952, 115]))
    wanted = [1.0, (32 / 952) ** (1 / 3), (115 / 952) ** (1 / 3)]
    assert shares.tolist() == pytest.approx(wanted)


def test_the_most_confident_share_of_each_class_is_chosen():
    probs = torch.tensor(
        [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55]]
    )
    places, classes = crest_select(probs, torch.tensor([0.5, 1.0]))
    assert places.tolist() == [0, 1, 4, 5]
    assert classes.tolist() == [0, 0, 1, 1]


def test_a_share_of_three_tenths_takes_three_of_ten():
    shares = crest_shares(torch.tensor([1000, 27]))  # cube root of 27 / 1000
    probs = torch.tensor([[0.9, 0.1]]).expand(10, 2)
    assert len(crest_select(probs, shares)[0]) == 3


def test_the_prior_is_flattened_over_generations():
    prior = torch.tensor([0.8, 0.2])
    first = crest_prior(prior, generation=0, num_generations=6)
    last = crest_prior(prior, generation=5, num_generations=6)
    torch.testing.assert_close(first, prior.double())
    root = prior.double().sqrt()
    torch.testing.assert_close(last, root / root.sum())
