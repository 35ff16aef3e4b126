"""Cross entropy, class weights and weighted means against formulas and figures."""

from __future__ import annotations

import math

import pytest
import torch

from uda.errors import UsageError
from uda.objectives.supervised import class_weights, cross_entropy, weighted_mean

TILES = (952, 115, 103, 85, 57, 32)


def test_cross_entropy_is_minus_the_log_of_the_softmax():
    logits = [[2.0, -1.0, 0.5], [0.0, 3.0, -3.0]]
    labels = [2, 0]
    wanted = [
        math.log(sum(math.exp(z) for z in row)) - row[label]
        for row, label in zip(logits, labels, strict=True)
    ]
    found = cross_entropy(
        torch.tensor(logits, dtype=torch.float64), torch.tensor(labels)
    )
    assert found.tolist() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("beta", "wanted"),
    [
        (0.99, (0.51, 0.75, 0.80, 0.89, 1.18, 1.87)),
        (0.999, (0.12, 0.66, 0.74, 0.89, 1.30, 2.29)),
        (0.9999, (0.08, 0.65, 0.73, 0.88, 1.31, 2.34)),
    ],
)
def test_effective_numbers_on_the_tile_counts(beta, wanted):
    found = class_weights(TILES, "effective", beta=beta)
    assert found.tolist() == pytest.approx(wanted, abs=0.0051)


def test_effective_number_is_the_inverse_frequency_of_no_class_at_beta_zero():
    assert class_weights(TILES, "effective", beta=0.0).tolist() == [1.0] * 6


def test_square_root_weights_on_the_tile_counts():
    wanted = (0.30, 0.87, 0.92, 1.01, 1.24, 1.65)
    assert class_weights(TILES, "sqrt").tolist() == pytest.approx(wanted, abs=0.0051)


def test_inverse_weights_make_every_class_count_the_same():
    weights = class_weights(TILES, "inverse")
    assert weights.dtype == torch.float32
    mass = weights * torch.tensor(TILES)
    torch.testing.assert_close(mass, mass[:1].expand(6))


@pytest.mark.parametrize("kind", ["inverse", "sqrt", "effective"])
@pytest.mark.parametrize("counts", [TILES, (5, 5, 5), (94, 32, 11, 7), (1, 10**6)])
def test_weights_sum_to_the_number_of_classes(kind, counts):
    weights = class_weights(counts, kind)
    assert float(weights.sum()) == pytest.approx(len(counts), rel=1e-6)
    assert sorted(weights.tolist(), reverse=True) == [
        weights[i].item() for i in sorted(range(len(counts)), key=lambda i: counts[i])
    ]


@pytest.mark.parametrize("kind", ["inverse", "sqrt", "effective"])
def test_an_absent_class_weighs_nothing_and_shifts_nobody(kind):
    with_gap = class_weights((10, 0, 40), kind)
    without = class_weights((10, 40), kind)
    assert with_gap[1] == 0
    torch.testing.assert_close(with_gap[[0, 2]], without)


@pytest.mark.parametrize(
    ("counts", "kind", "beta", "message"),
    [
        ((0, 0), "inverse", 0.9, "no examples"),
        ((3, -1), "inverse", 0.9, "no examples"),
        ((3, 1), "focal", 0.9, "inverse, sqrt or effective"),
        ((3, 1), "effective", 1.0, "below 1"),
    ],
)
def test_wrong_class_weights_say_what_is_possible(counts, kind, beta, message):
    with pytest.raises(UsageError, match=message):
        class_weights(counts, kind, beta=beta)


def test_weighted_mean_is_torchs_weighted_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(6, (7,), generator=generator)
    weights = class_weights(TILES, "sqrt").double()
    torch.testing.assert_close(
        weighted_mean(cross_entropy(logits, labels), weights[labels]),
        torch.nn.functional.cross_entropy(logits, labels, weight=weights),
    )


def test_weighted_mean_of_nothing_is_zero_with_zero_gradients():
    losses = torch.tensor([1.0, 2.0], requires_grad=True)
    mean = weighted_mean(losses, torch.zeros(2))
    mean.backward()
    assert mean.item() == 0
    assert losses.grad.tolist() == [0, 0]
