"""Links: softmax as it always was, sigmoid per class."""

from __future__ import annotations

import pytest
import torch

from uda.models.heads import Outputs, log_mean_probs
from uda.models.links import hit_rate, link_of, log_probs, mean_logits


def views():
    generator = torch.Generator().manual_seed(3)
    return [
        torch.randn(5, 4, generator=generator, dtype=torch.float64) * 3 for _ in "123"
    ]


def test_mean_logits_give_the_mean_probability():
    found = views()
    soft = torch.stack([v.softmax(1) for v in found]).mean(0)
    each = torch.stack([v.sigmoid() for v in found]).mean(0)
    torch.testing.assert_close(mean_logits(found, "softmax").exp(), soft)
    torch.testing.assert_close(mean_logits(found, "sigmoid").sigmoid(), each)
    averaged = log_mean_probs([Outputs(v, auxiliary=v) for v in found], "sigmoid")
    torch.testing.assert_close(averaged.leaf.sigmoid(), each)
    torch.testing.assert_close(averaged.auxiliary.sigmoid(), each)


def test_log_probs_by_link():
    logits = views()[0]
    torch.testing.assert_close(log_probs(logits, "softmax").exp(), logits.softmax(1))
    torch.testing.assert_close(log_probs(logits, "sigmoid").exp(), logits.sigmoid())


@pytest.mark.parametrize(("model", "link"), [(object(), "softmax")])
def test_a_model_that_does_not_say_has_one_label(model, link):
    assert link_of(model) == link


def test_hit_rate_counts_images_or_pairs():
    logits = torch.tensor([[1.0, -1.0], [2.0, 3.0]])
    assert hit_rate(logits, torch.tensor([0, 0])) == 0.5
    assert hit_rate(logits, torch.tensor([[1, 0], [1, 0]])) == 0.75
