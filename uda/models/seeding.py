"""Seeded use of torch's own random layers: initialisation, dropout, drop path.

Such code draws from torch's global generator and takes no other; it is borrowed
here for the length of a block and given back untouched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from uda.rng import generator

_RANDOM_LAYERS = ("Dropout", "StochasticDepth", "DropPath", "RReLU")


@contextmanager
def seeded(seed: int, stream: str, counter: int = 0) -> Iterator[None]:
    """Seed torch's generators for one block, then restore them.

    What is drawn inside is a function of (seed, stream, counter) alone, and code
    outside the block sees the state it had before.

    Args:
        seed: the run's seed.
        stream: name of the stream, ``"init"`` or ``"dropout"`` for example.
        counter: the step, where the block runs once per step.
    """
    value = int(generator(seed, stream, counter).integers(2**63 - 1))
    devices = list(range(torch.cuda.device_count())) if _on_gpu() else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(value)
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(value)
        yield


def draws_at_random(model: nn.Module) -> bool:
    """Tell whether a forward pass in training mode draws random numbers."""
    return any(
        type(layer).__name__.startswith(_RANDOM_LAYERS) for layer in model.modules()
    )


def _on_gpu() -> bool:
    return torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
