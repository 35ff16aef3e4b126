"""What is shared by the methods: the moving average and its constants."""

from __future__ import annotations

import torch

from uda.objectives.consistency.method import moving


def test_moving_average_by_hand_and_without_gradient():
    new = torch.tensor([1.0, 3.0], requires_grad=True)
    found = moving(torch.tensor([0.0, 1.0]), new, 0.9)
    torch.testing.assert_close(found, torch.tensor([0.1, 1.2]))
    assert not found.requires_grad
