from __future__ import annotations

import torch

from uda.objectives.cdmad import without_bias


def test_a_blank_image_is_undecided_afterwards_and_carries_no_gradient():
    blank = torch.tensor([2.0, -1.0, 0.5], requires_grad=True)
    logits = torch.randn(4, 3, requires_grad=True)
    found = without_bias(torch.cat([logits, blank[None]]), blank)
    torch.testing.assert_close(found[-1].softmax(0), torch.full((3,), 1 / 3))
    without_bias(logits, blank).sum().backward()
    assert blank.grad is None
    assert logits.grad.eq(1).all()
