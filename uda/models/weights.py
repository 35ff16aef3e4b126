"""Backbone weights from a file, matched by name and shape, with a report.

Files may come from anywhere, so nothing but tensors is ever unpickled.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uda.errors import CheckpointError

_WRAPPERS = ("model", "state_dict", "model_state_dict", "model_ema", "ema")
_HEADS = ("head", "heads", "fc", "classifier", "mean", "std", "logit_offset")
_SHOWN = 3
_LEVELS = 4


@dataclass(frozen=True)
class WeightReport:
    """What became of the tensors of a weight file.

    Attributes:
        path: the file.
        matched: names of the backbone that were filled.
        missing: names of the backbone that the file lacks, or has in another shape.
        unexpected: names in the file that the backbone has no place for.
        ignored: names of the file's own head, left out on purpose.
    """

    path: Path
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.path}: {len(self.matched)} tensors matched, {len(self.missing)} "
            f"missing, {len(self.unexpected)} unexpected, {len(self.ignored)} of "
            "the file's head ignored"
        )


def load_backbone_weights(backbone: nn.Module, path: Path) -> WeightReport:
    """Fill a backbone from a weight file.

    A prefix that all names share (``module.``, ``backbone.``, …) is found and taken
    off. A first convolution for 3 channels is summed for 1, one for 1 channel is
    spread over 3: the same response to a grey image.

    Args:
        backbone: changed in place; also gets the attribute ``weight_report``.
        path: safetensors, or a torch checkpoint that ``weights_only`` can read: a
            state dict, or a dict that holds one under ``model`` or ``state_dict``.

    Raises:
        CheckpointError: unreadable file, or less than half of the backbone matched.
    """
    path = Path(path)
    tensors = read_tensors(path)
    target = {
        name: tensor
        for name, tensor in backbone.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    prefix = _shared_prefix(tensors, target)
    found = {name.removeprefix(prefix): value for name, value in tensors.items()}
    fitting = {
        name: value
        for name, value in ((n, _fitted(found.get(n), target[n])) for n in target)
        if value is not None
    }
    others = [
        name
        for name in found
        if name not in target and not name.endswith("num_batches_tracked")
    ]
    report = WeightReport(
        path=path,
        matched=tuple(fitting),
        missing=tuple(name for name in target if name not in fitting),
        unexpected=tuple(name for name in others if not _of_head(name)),
        ignored=tuple(name for name in others if _of_head(name)),
    )
    if 2 * len(fitting) < len(target):
        raise CheckpointError(_too_few(report, target, found))
    backbone.load_state_dict(fitting, strict=False)
    backbone.weight_report = report  # type: ignore[assignment]
    return report


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a weight file, on the CPU.

    Raises:
        CheckpointError: missing, damaged, or holding something else than tensors.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder; give a file, of a run its weights/ema.safetensors"
        )
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    # A safetensors file is eight bytes of length, then JSON.
    content = _safetensors(path) if start[8:9] == b"{" else _torch(path)
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise CheckpointError(
            f"{path}: holds no tensors by name; a state dict is needed, alone or "
            f"under one of the keys {', '.join(_WRAPPERS)}"
        )
    return tensors


def widen_or_narrow(weight: Tensor, channels: int) -> Tensor:
    """Adapt a first convolution (O, K, h, w) to 1 or 3 input channels.

    3 -> 1 sums over the colours, 1 -> 3 spreads a third to each: the response to a
    grey image stays the same.
    """
    if weight.shape[1] == channels:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight.expand(-1, channels, -1, -1) / channels


def _safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path, device="cpu")
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path}: damaged safetensors file ({error}); copy it again"
        ) from error
    return tensors


def _torch(path: Path) -> Mapping[str, Any]:
    try:
        with warnings.catch_warnings():
            # What torch remarks about odd files is said below, with the way out.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, since it is no torch checkpoint or holds more than "
            "tensors, and reading that could run code. Save its state dict as "
            "safetensors where it was made, and give that file"
        ) from error
    except Exception as error:  # the parser of a damaged file may raise anything
        raise CheckpointError(
            f"{path}: not a readable weight file ({_first_line(error)}); give a "
            "safetensors file or a torch checkpoint"
        ) from error
    # A few levels only: a hostile file may hold a dict that contains itself.
    for _ in range(_LEVELS):
        if not isinstance(content, Mapping):
            return {}
        inner = next((content[k] for k in _WRAPPERS if _is_dict(content.get(k))), None)
        if inner is None:
            return content
        content = inner
    return {}


def _shared_prefix(tensors: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> str:
    """Return the prefix under which the file holds most of the target's names."""
    probes = list(target)[:: max(1, len(target) // 8)]
    prefixes = {
        name.removesuffix(probe)
        for probe in probes
        for name in tensors
        if name.endswith("." + probe)
    }
    return max(
        ["", *sorted(prefixes)],
        key=lambda prefix: sum(prefix + name in tensors for name in target),
    )


def _fitted(value: Tensor | None, target: Tensor) -> Tensor | None:
    """Return the value in the target's shape, or None where it does not fit."""
    if value is None or value.ndim != target.ndim:
        return None
    if value.ndim == 4 and {value.shape[1], target.shape[1]} == {1, 3}:
        value = widen_or_narrow(value, target.shape[1])
    return value if value.shape == target.shape else None


def _too_few(
    report: WeightReport, target: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> str:
    return (
        f"{report.path}: only {len(report.matched)} of {len(target)} tensors of the "
        f"backbone are in this file, so it belongs to another network. The backbone "
        f"needs {_examples(report.missing, target)}; the file holds "
        f"{_examples(tuple(found), found)}. Choose the backbone it was made for"
    )


def _examples(names: tuple[str, ...], tensors: Mapping[str, Tensor]) -> str:
    shown = [f"{name} {tuple(tensors[name].shape)}" for name in names[:_SHOWN]]
    return ", ".join(shown) + (", …" if len(names) > _SHOWN else "")


def _of_head(name: str) -> bool:
    return name.split(".", 1)[0] in _HEADS or ".head." in f".{name}"


def _is_dict(value: object) -> bool:
    return isinstance(value, Mapping)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
