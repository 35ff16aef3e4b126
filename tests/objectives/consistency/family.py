"""Steps of random logits for the tests of the family."""

from __future__ import annotations

import torch

from uda.objectives.consistency.method import Shape

NUM_ROWS = 40
ROWS = torch.arange(5, 35)


def shape(num_classes):
    return Shape(num_classes, NUM_ROWS, ROWS, torch.device("cpu"))


def steps(seed, num_classes=4, num=12, scale=4.0, count=6):
    """Yield (weak, strong, index) of several steps; strong wants gradient."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        weak, strong = (
            torch.randn(num, num_classes, generator=generator, dtype=torch.float64)
            * scale
            for _ in range(2)
        )
        picked = torch.randperm(len(ROWS), generator=generator)[:num]
        yield weak.requires_grad_(), strong.requires_grad_(), ROWS[picked]


def total(terms):
    penalty = 0.0 if terms.penalty is None else terms.penalty
    return terms.loss.mean() + penalty


def check_gradients(value, weak, strong, literal):
    """Compare the strong gradient with central differences of a literal loss."""
    found_weak, found = torch.autograd.grad(value, (weak, strong), allow_unused=True)
    assert found_weak is None or not found_weak.any()
    rows, step = strong.detach().tolist(), 1e-6
    for i in (0, len(rows) - 1):
        for c in range(len(rows[0])):
            up, down = ([list(r) for r in rows] for _ in range(2))
            up[i][c] += step
            down[i][c] -= step
            wanted = (literal(up) - literal(down)) / (2 * step)
            assert abs(float(found[i, c]) - wanted) < 1e-6
