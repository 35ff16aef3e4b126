"""Constants are made once, and equal what indexing with a list gives."""

from __future__ import annotations

import torch

from uda.objectives.constants import columns, constant

CPU = torch.device("cpu")


def test_a_constant_is_made_once_for_each_type_and_device():
    one = constant((1.0, 2.0), torch.float32, CPU)
    assert one is constant((1.0, 2.0), torch.float32, CPU)
    assert one.tolist() == [1.0, 2.0]
    assert constant((1.0, 2.0), torch.float64, CPU).dtype == torch.float64
    assert constant((1.0, 2.0), torch.float32, torch.device("meta")).is_meta


def test_columns_and_their_gradient_are_those_of_a_list():
    table = torch.randn(5, 4, dtype=torch.float64)
    one, two = table.clone().requires_grad_(), table.clone().requires_grad_()
    columns(one, (2, 0, 2)).exp().sum().backward()
    two[:, [2, 0, 2]].exp().sum().backward()
    assert torch.equal(columns(table, (3, 1)), table[:, [3, 1]])
    assert torch.equal(one.grad, two.grad)
