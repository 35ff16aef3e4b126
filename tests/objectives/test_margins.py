from __future__ import annotations

import pytest
import torch

from uda.errors import UsageError
from uda.objectives.margins import ldam_logits, ldam_margins

TILES = [952, 115, 103, 85, 57, 32]


def test_known_margins_of_the_magnetic_tiles():
    found = ldam_margins(TILES).tolist()
    assert [round(m, 2) for m in found] == [0.21, 0.36, 0.37, 0.39, 0.43, 0.50]


def test_only_the_true_class_loses_its_margin():
    cosines = torch.tensor([[0.9, -0.1, 0.3], [0.2, 0.8, 0.1]])
    margins = torch.tensor([0.1, 0.3, 0.5])
    found = ldam_logits(30 * cosines, torch.tensor([2, 0]), margins, scale=30)
    wanted = [[27.0, -3.0, -6.0], [3.0, 24.0, 3.0]]
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_a_class_without_examples_is_refused():
    with pytest.raises(UsageError, match="LDAM"):
        ldam_margins([3, 0])
