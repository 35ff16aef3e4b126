"""Training signal annealing against the published table and its rules."""

from __future__ import annotations

import pytest
import torch

from uda.errors import UsageError
from uda.objectives.annealing import mean_over_kept, tsa_mask, tsa_threshold
from uda.objectives.supervised import cross_entropy

PROGRESS = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)
TABLE = {
    (2, "log"): (0.50, 0.70, 0.86, 0.96, 0.99, 0.99, 1.0),
    (2, "linear"): (0.50, 0.55, 0.63, 0.75, 0.88, 0.95, 1),
    (2, "exp"): (0.50, 0.51, 0.51, 0.54, 0.64, 0.80, 1),
    (6, "log"): (0.17, 0.49, 0.76, 0.93, 0.98, 0.99, 0.99),
    (6, "linear"): (0.17, 0.25, 0.38, 0.58, 0.79, 0.92, 1),
    (6, "exp"): (0.17, 0.18, 0.19, 0.24, 0.41, 0.67, 1),
    (10, "log"): (0.10, 0.45, 0.74, 0.93, 0.98, 0.99, 0.99),
    (10, "linear"): (0.10, 0.19, 0.33, 0.55, 0.78, 0.91, 1),
    (10, "exp"): (0.11, 0.11, 0.12, 0.17, 0.36, 0.65, 1),
}


@pytest.mark.parametrize(("num_classes", "schedule"), list(TABLE))
def test_thresholds_are_the_published_ones(num_classes, schedule):
    found = [tsa_threshold(s, num_classes, schedule) for s in PROGRESS]
    assert found == pytest.approx(TABLE[num_classes, schedule], abs=0.0051)


@pytest.mark.parametrize("schedule", ["log", "linear", "exp"])
def test_thresholds_rise_and_progress_outside_is_clipped(schedule):
    values = [tsa_threshold(i / 50, 4, schedule) for i in range(51)]
    assert values == sorted(values)
    assert tsa_threshold(-1, 4, schedule) == values[0]
    assert tsa_threshold(7, 4, schedule) == values[-1]


@pytest.mark.parametrize(
    ("schedule", "crossing"), [("log", 0.29), ("linear", 0.76), ("exp", 0.95)]
)
def test_threshold_reaches_the_confidence_of_the_gate_when_the_docstring_says(
    schedule, crossing
):
    assert tsa_threshold(crossing - 0.01, 6, schedule) < 0.8
    assert tsa_threshold(crossing + 0.01, 6, schedule) > 0.8


def test_unknown_schedule_names_the_known_ones():
    with pytest.raises(UsageError, match="log, linear or exp"):
        tsa_threshold(0.5, 4, "cosine")


def test_the_true_class_decides_not_the_largest_probability():
    # Both rows are 90 % sure of class 0; the second one is wrong about it.
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.9, 0.1]]))
    mask = tsa_mask(logits, torch.tensor([0, 1]), 0.5)
    assert mask.tolist() == [0, 1]


def test_equality_keeps_and_strictly_greater_drops():
    logits = torch.zeros(3, 2, dtype=torch.float64)
    logits[1, 0] = 1e-9
    logits[2, 0] = -1e-9
    mask = tsa_mask(logits, torch.zeros(3, dtype=torch.int64), 0.5)
    assert mask.tolist() == [1, 0, 1]


def test_the_mask_has_no_gradient():
    logits = torch.zeros(2, 3, requires_grad=True)
    mask = tsa_mask(logits, torch.tensor([0, 1]), 0.9)
    assert not mask.requires_grad


def test_the_mean_divides_by_the_number_kept():
    losses = torch.tensor([1.0, 2.0, 30.0, 40.0])
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert mean_over_kept(losses, mask).item() == 1.5
    assert mean_over_kept(losses, torch.ones(4)).item() == losses.mean().item()


def test_a_minimum_share_limits_the_weight_of_the_last_survivors():
    losses = torch.ones(64)
    mask = torch.zeros(64)
    mask[0] = 1
    assert mean_over_kept(losses, mask).item() == 1
    assert mean_over_kept(losses, mask, min_share=0.25).item() == 1 / 16


def test_an_all_masked_batch_gives_zero_and_zero_gradients():
    # Logits so large that exp would overflow: nothing may turn into NaN.
    logits = torch.tensor([[800.0, -800.0], [0.0, 500.0]], requires_grad=True)
    labels = torch.tensor([0, 1])
    mask = tsa_mask(logits, labels, 0.5)
    loss = mean_over_kept(cross_entropy(logits, labels), mask)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.tolist() == [[0, 0], [0, 0]]


def test_a_masked_infinite_loss_does_not_leak():
    losses = torch.tensor([float("inf"), 1.0])
    assert mean_over_kept(losses, torch.tensor([0.0, 1.0])).item() == 1
