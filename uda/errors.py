"""The exceptions a user can meet; each carries the exit code of the command.

UdaError                 1   anything this package refuses or cannot do
├── UsageError           2   a wrong option, configuration key or combination
├── DataError            3   images, manifests, splits or policies that are wrong
│   └── CheckpointError  3   a run, checkpoint or weight file that is wrong
├── GateError            4   a quality gate that was asked for and not met
└── TrainingError        1   training cannot go on (NaN loss, out of memory)
"""

from __future__ import annotations


class UdaError(Exception):
    """Base of every error a user can cause; the message says the way out."""

    exit_code = 1


class UsageError(UdaError):
    """A wrong option, configuration key or combination of them."""

    exit_code = 2


class DataError(UdaError):
    """Images, manifests, splits or policies that cannot be used."""

    exit_code = 3


class CheckpointError(DataError):
    """A run folder, checkpoint or weight file that cannot be used."""


class GateError(UdaError):
    """A quality gate that the user asked for and that was not met."""

    exit_code = 4


class TrainingError(UdaError):
    """Training cannot go on: a NaN loss, memory that does not suffice."""
