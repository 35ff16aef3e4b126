"""Weights are what was written, or the error says what to do about it."""

from __future__ import annotations

import pytest
from torch import nn

from uda.errors import CheckpointError
from uda.files import folder_lock
from uda.run.bundle import _check_hash, save_weights


def test_damaged_weights_and_those_that_are_being_written(tmp_path):
    path = save_weights(tmp_path / "weights", "ema", nn.Linear(2, 2))
    _check_hash(path)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="damaged"):
        _check_hash(path)
    # Training renews the file first and its hash after it.
    with (
        folder_lock(tmp_path),
        pytest.raises(
            CheckpointError, match="being written by the training; try again"
        ),
    ):
        _check_hash(path)
    path.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        _check_hash(path)
