"""Running sums of steps, counted by hand."""

from __future__ import annotations

import json

import pytest
import torch

from tests.test_tree import DEEP
from uda.data.streams import Batch
from uda.objectives.consistency.by_node import TreeConsistency
from uda.objectives.consistency.fixmatch import FixMatch
from uda.objectives.consistency.method import ConsistencyTerms
from uda.training import targets
from uda.training.statistics import StepStatistics
from uda.training.step import Terms

CPU = torch.device("cpu")
ZERO = torch.zeros(())


def terms_of(found):
    return Terms(ZERO, ZERO, torch.ones(2), ZERO, consistency=ZERO, unlabeled=found)


def batch_of(rows):
    image = torch.zeros(2, 1, 2, 2)
    index = torch.tensor(rows)
    return Batch(image, torch.tensor([0, 1]), image, image, torch.arange(2), index)


def answers(mask, classes, num_classes=2):
    targets = torch.nn.functional.one_hot(torch.tensor(classes), num_classes).float()
    return ConsistencyTerms(torch.tensor(mask), torch.tensor(mask), targets)


def test_labelled_images_of_the_unlabelled_stream_count_for_nothing():
    """Their target is their label, nearly sure: they would never let the rate fall.

    Rows 0 and 1 are labelled. Of the others, rows 2 to 5, one in four is sure.
    """
    labeled = torch.tensor([True, True, False, False, False, False])
    hidden = torch.tensor([0, 0, 1, 1, -1, 1])
    sums = StepStatistics(("a", "b"), CPU, hidden, labeled)
    sums.add(batch_of([0, 1, 2]), terms_of(answers([1.0, 1.0, 1.0], [0, 0, 1])), ZERO)
    sums.add(
        batch_of([1, 3, 4, 5]),
        terms_of(answers([1.0, 0.0, 0.0, 0.0], [0, 0, 0, 1])),
        ZERO,
    )
    found = sums.values()
    assert found["unlabeled/mask_rate"] == 0.25
    assert found["unlabeled/pseudo_share/a"] == 0.0
    assert found["unlabeled/pseudo_share/b"] == 1.0
    assert found["unlabeled/pseudo_right"] == 1.0


def test_where_only_labelled_images_were_drawn_there_is_no_value():
    labeled = torch.tensor([True, True, False])
    sums = StepStatistics(("a", "b"), CPU, torch.tensor([0, 1, 0]), labeled)
    sums.add(batch_of([0, 1]), terms_of(answers([1.0, 1.0], [0, 1])), ZERO)
    found = sums.values()
    assert not [tag for tag in found if tag.startswith("unlabeled/")]
    assert "loss/consistency" in found
    sums.add(batch_of([0, 2]), terms_of(answers([1.0, 0.0], [0, 1])), ZERO)
    assert sums.values()["unlabeled/mask_rate"] == 0.0


def test_of_a_tree_a_class_counts_where_all_decisions_on_its_way_are_sure():
    """Dent, Good, Grind, Rust, Scratch; a defect of unknown type is none of them."""
    probs = torch.tensor(
        [
            [0.24, 0.02, 0.25, 0.25, 0.24],  # a defect, nothing more
            [0.01, 0.96, 0.01, 0.01, 0.01],  # good
            [0.01, 0.02, 0.01, 0.95, 0.01],  # rust
            [0.32, 0.02, 0.33, 0.01, 0.32],  # a mark, nothing more
            [0.01, 0.02, 0.01, 0.01, 0.95],  # a scratch
            [0.01, 0.02, 0.01, 0.01, 0.95],  # a scratch with a label
        ]
    )
    method = TreeConsistency(FixMatch(0.9), DEEP)
    found, _ = method(probs.log(), torch.zeros(6, 5), torch.arange(6), {})
    labeled = torch.arange(6) == 5
    truth = torch.tensor([0, 1, 3, 0, 3, 4])
    sums = StepStatistics(("Dent", "Good", "Grind", "Rust", "Scratch"), CPU, truth,
                          labeled)  # fmt: skip
    sums.add(batch_of(list(range(6))), terms_of(found), ZERO)
    assert sums.pseudo.tolist() == [0, 1, 0, 1, 1]
    values = sums.values()
    assert values["unlabeled/pseudo_share/Dent"] == 0.0
    assert values["unlabeled/pseudo_right"] == pytest.approx(2 / 3)
    # Of those that get there: all five at the root, not the last at "Marks".
    assert values["unlabeled/mask_rate/all"] == pytest.approx(1.0)
    marks = [0.73, 0.03, 0.03, 0.97, 0.97]
    assert values["unlabeled/mask_rate/Marks"] == pytest.approx(0.97 / sum(marks))


def test_a_run_tells_the_mask_rate_of_the_pile_alone(quick, monkeypatch):
    """With targets that nobody is sure of, labelled images are all that is kept."""

    def unsure(trainer, table, *_, **__):
        return torch.full_like(table, 1 / table.shape[1]).log(), False

    monkeypatch.setattr(targets, "_agreed", unsure)
    folder, _ = quick()
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    rates = [x["unlabeled/mask_rate"] for x in lines if "unlabeled/mask_rate" in x]
    assert rates
    assert set(rates) == {0.0}


def test_a_mask_of_weights_counts_by_weight():
    sums = StepStatistics(
        ("a", "b"), CPU, torch.full((4,), -1), torch.zeros(4, dtype=torch.bool)
    )
    found = answers([0.5, 0.25, 0.25, 1.0], [0, 1, 1, 1])
    sums.add(batch_of([0, 1, 2, 3]), terms_of(found), ZERO)
    values = sums.values()
    assert values["unlabeled/mask_rate"] == 0.5
    assert values["unlabeled/pseudo_share/a"] == 0.25
