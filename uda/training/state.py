"""TrainState and its checkpoint: whole or absent, hashed, newest valid first.

Order of writing: temporary file, flush, fsync, rename, SHA-256 side file, then
the oldest are pruned. torch.save does not notice a flipped bit; the hash does.
"""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from uda.data.streams import Batch
from uda.errors import CheckpointError
from uda.files import (
    atomic_path,
    full_disk_told,
    hash_path,
    sha256_file,
    write_hash,
)
from uda.models.classifier import Classifier
from uda.models.ema import Ema

FORMAT = 1
_NAME = re.compile(r"step-(\d{8})\.pt")


@dataclass
class TrainState:
    """Everything that changes from step to step, and nothing else.

    Randomness is absent on purpose: a draw is a function of (seed, stream, step).
    """

    model: Classifier
    ema: Ema
    optimizer: torch.optim.Optimizer
    step: int = 0
    objective_state: dict[str, torch.Tensor] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers of tensors and numbers."""
        return {
            "format": FORMAT,
            "step": self.step,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "objective_state": self.objective_state,
        }

    def load_dict(self, saved: dict[str, Any]) -> None:
        """Take over a saved state; shapes must match."""
        self.model.load_state_dict(saved["model"])
        self.ema.load_state_dict(saved["ema"])
        self.optimizer.load_state_dict(saved["optimizer"])
        device = next(self.model.parameters()).device
        self.objective_state = {
            # The host reads the guards' counters at every step.
            name: value if name.startswith("guard/") else value.to(device)
            for name, value in saved["objective_state"].items()
        }
        self.step = int(saved["step"])


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch's tensors; indices of labelled images stay, for messages alone."""
    if device.type == "cpu":
        return batch
    fields = {
        name: getattr(batch, name).to(device, non_blocking=True)
        for name in ("labeled", "targets", "weak", "strong", "unlabeled_index")
        if getattr(batch, name) is not None
    }
    return replace(batch, **fields)


def save_checkpoint(folder: Path, state: TrainState, *, keep: int) -> Path:
    """Write the state as ``step-XXXXXXXX.pt`` and keep the last ``keep``."""
    path = folder / f"step-{state.step:08d}.pt"
    with atomic_path(path) as temporary, full_disk_told(path):
        torch.save(state.to_dict(), temporary)
    write_hash(path)
    for old in checkpoint_paths(folder)[max(2, keep) :]:
        hash_path(old).unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    return path


def checkpoint_paths(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, newest first."""
    found = [p for p in folder.glob("step-*.pt") if _NAME.fullmatch(p.name)]
    return sorted(found, key=lambda p: p.name, reverse=True)


def clear_remains(folder: Path) -> None:
    """Remove halves of checkpoints that a kill left; only who holds the run may."""
    for remains in folder.glob(".step-*.tmp"):
        remains.unlink(missing_ok=True)


def remove_newer(folder: Path, step: int) -> None:
    """Remove checkpoints after the one that was taken: they are damaged.

    They would count among those that are kept.
    """
    for path in checkpoint_paths(folder):
        if path.name > f"step-{step:08d}.pt":
            hash_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def is_valid(path: Path) -> bool:
    """Tell whether a checkpoint is what was written (SHA-256 side file).

    Raises:
        OSError: it cannot be read now, which says nothing of what it holds.
    """
    try:
        expected = hash_path(path).read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    return expected == sha256_file(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds more than tensors and plain values, so it is refused; "
            "only load checkpoints that `uda train` wrote"
        ) from error
    return saved


def load_newest(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Load the newest checkpoint whose hash verifies.

    Returns:
        The saved dictionary and one warning for each newer one passed over.

    Raises:
        CheckpointError: when none is valid; names all that were tried.
    """
    warnings: list[str] = []
    for path in checkpoint_paths(folder):
        if not is_valid(path):
            warnings.append(f"{path.name}: does not match its SHA-256; passed over")
            continue
        saved = _read(path)
        if saved.get("format") != FORMAT:
            raise CheckpointError(
                f"{path}: checkpoint format {saved.get('format')!r}, this version "
                f"reads {FORMAT}; resume it with the version in the run's env.json"
            )
        return saved, warnings
    tried = "; ".join(warnings) or "the folder holds none"
    raise CheckpointError(
        f"{folder}: no valid checkpoint to resume from ({tried}); start again with "
        "`uda train --config RUN/config.yaml`"
    )
