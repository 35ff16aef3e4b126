from __future__ import annotations

import torch

from uda.objectives.consistency.class_thresholds import class_thresholds


def table(confidences):
    """Logits (N, 2) with the given probability of a class: (class, p) pairs."""
    rows = []
    for number, p in confidences:
        odds = torch.tensor(p / (1 - p)).log()
        rows.append([odds, 0.0] if number == 0 else [0.0, odds])
    return torch.tensor(rows, dtype=torch.float64)


def test_a_hard_class_keeps_the_same_share_as_the_whole():
    easy = [(0, 0.99)] * 60
    hard = [(1, 0.60 + 0.002 * i) for i in range(40)]
    found = class_thresholds(table(easy + hard), threshold=0.9, floor=0.5)
    assert float(found[0]) == 0.9
    kept = [p for _, p in hard if p > float(found[1])]
    assert abs(len(kept) / 40 - 0.6) < 0.03


def test_the_floor_holds_and_small_classes_keep_the_common_threshold():
    hard = [(1, 0.55)] * 40
    found = class_thresholds(table([(0, 0.99)] * 60 + hard), threshold=0.9, floor=0.7)
    assert found.tolist() == [0.9, 0.7]
    few = class_thresholds(table([(0, 0.99)] * 60 + hard[:3]), threshold=0.9, floor=0.5)
    assert few.tolist() == [0.9, 0.9]
