from __future__ import annotations

import torch

from tests.objectives.consistency.family import check_gradients, shape, steps, total
from tests.reference import family as literal
from uda.objectives.consistency.pi_model import MeanSquare


def test_equals_the_literal_form():
    method = MeanSquare()
    for weak, strong, index in steps(3):
        terms, _ = method(weak, strong, index, method.memory(shape(4)))
        rows = weak.tolist()
        value = total(terms)
        assert abs(value.item() - literal.mean_square(rows, strong.tolist())) < 1e-6
        assert terms.mask.all()
        check_gradients(
            value, weak, strong, lambda s, rows=rows: literal.mean_square(rows, s)
        )


def test_the_student_has_a_gradient_also_where_it_equals_nobody():
    weak = torch.tensor([[2.0, 0.0]])
    strong = torch.tensor([[0.0, 1.0]], requires_grad=True)
    terms, _ = MeanSquare()(weak, strong, torch.zeros(1), {})
    terms.loss.mean().backward()
    assert strong.grad.abs().sum() > 0.01
