"""The device that ``--device`` names."""

from __future__ import annotations

import torch

from uda.errors import UsageError


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``1`` and such.

    Raises:
        UsageError: when torch does not know the name or has no such device.
    """
    if name.isdecimal():  # the number of a GPU, as other trainers take it
        name = f"cuda:{name}"
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise UsageError(
            f"--device {name}: not usable here ({first}); try --device cpu"
        ) from error
    return device
