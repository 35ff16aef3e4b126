"""Running sums of several labels, counted by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from uda.data.streams import Batch
from uda.objectives.consistency.method import ConsistencyTerms
from uda.training.label_statistics import LabelStatistics, statistics_for
from uda.training.statistics import StepStatistics
from uda.training.step import Terms


def test_an_image_counts_for_each_of_its_classes():
    hidden = torch.tensor([[1, 0], [-1, -1], [0, 1], [1, 1]])
    labeled = torch.tensor([False, False, False, True])  # the last one
    sums = LabelStatistics(("a", "b"), torch.device("cpu"), hidden, labeled)
    zero = torch.zeros(())
    entries = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    answers = torch.tensor([[0.9, 0.9], [0.9, 0.1], [0.9, 0.9], [0.9, 0.9]])
    terms = Terms(
        zero, zero, torch.ones(2), zero, consistency=zero,
        unlabeled=ConsistencyTerms(
            entries.mean(1), entries.mean(1), answers, entries=entries
        ),
    )  # fmt: skip
    image = torch.zeros(2, 1, 2, 2)
    batch = Batch(
        image, torch.tensor([[1, 1], [0, 1]]), image, image, torch.arange(2),
        torch.arange(4),
    )  # fmt: skip
    sums.add(batch, terms, zero)
    found = sums.values()
    assert found["unlabeled/mask_rate"] == pytest.approx(2.5 / 3)
    assert found["unlabeled/mask_rate/a"] == 1
    assert found["unlabeled/mask_rate/b"] == pytest.approx(2 / 3)
    # sure and named: a on three images, b on the last; known of images 0 and 2
    assert found["unlabeled/pseudo_share/a"] == 0.75
    assert found["unlabeled/pseudo_right"] == pytest.approx(2 / 3)
    assert found["labeled/kept_share/b"] == 1
    assert sums.drawn.tolist() == [1, 2, 0]


def test_the_shape_of_the_targets_says_which():
    device = torch.device("cpu")
    for shape, kind in (((4,), StepStatistics), ((4, 2), LabelStatistics)):
        targets = np.zeros(shape, dtype=np.int64)
        parts = SimpleNamespace(
            targets=targets,
            hidden=targets,
            pool=SimpleNamespace(images=np.zeros((4, 2, 2, 1))),
            truly_labeled=SimpleNamespace(labeled=np.array([0, 2])),
        )
        sums = statistics_for(parts, ("a", "b"), device)
        assert type(sums) is kind
        assert sums.labeled.tolist() == [True, False, True, False]
