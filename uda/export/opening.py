"""Opens an exported model file and asks it; for ONNX without torch.

The file is hashed first: a damaged one gives an error and no answer.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.errors import CheckpointError, UsageError
from uda.export.description import (
    AGAIN,
    INPUT,
    OUTPUT,
    Description,
    Pixels,
    beside,
)
from uda.files import sha256_file

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Answer = Callable[[UInt8], Float32]


@dataclass(frozen=True)
class Exported:
    """A model file that can be asked.

    Attributes:
        path: the model file.
        description: what it means.
        answer: (B, K, H, W) uint8 -> (B, C) probabilities, for any B of 1 or more.
    """

    path: Path
    description: Description
    answer: Answer


def open_export(path: Path) -> Exported:
    """Open a model file that `uda export` wrote, with the JSON file beside it.

    Raises:
        CheckpointError: a file is missing, damaged, or not the other's.
        UsageError: a package is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; give the model file that `uda export` wrote"
        )
    description = Description.load(path)
    if sha256_file(path) != description.sha256:
        raise CheckpointError(
            f"{path}: not the file that {beside(path).name} describes (SHA-256 "
            "differs): it is damaged, or the JSON file is of another model; copy "
            f"both again, or {AGAIN}"
        )
    return Exported(path, description, answerer(path, description))


def answerer(path: Path, description: Description) -> Answer:
    """Return what answers, from a model file that is what it should be.

    Args:
        path: the model file.
        description: says which format it has.

    Raises:
        CheckpointError: the file is no such model, or one for other classes.
        UsageError: a package is missing.
    """
    ways = {"onnx": _onnx, "pt2": _pt2, "safetensors": _safetensors}
    return ways[description.kind](path, description)


def _onnx(path: Path, description: Description) -> Answer:
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            f"{path} needs the package onnxruntime: pip install onnxruntime"
        ) from error
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime has a class of its own for each fault
        raise _unreadable(path, description, error) from error
    _check_inside(path, session.get_modelmeta().custom_metadata_map, description)
    kind = np.dtype(description.pixels)

    def answer(images: UInt8) -> Float32:
        pixels = np.ascontiguousarray(images, dtype=kind)
        return np.asarray(session.run([OUTPUT], {INPUT: pixels})[0])

    return answer


def _pt2(path: Path, description: Description) -> Answer:
    import torch

    from uda.export.formats import METADATA_FILE

    extra = {METADATA_FILE: ""}
    try:
        # Through memory: for a path, torch insists on the suffix.
        content = io.BytesIO(path.read_bytes())
        program: Any = torch.export.load(content, extra_files=extra)
        inside = dict(json.loads(extra[METADATA_FILE]))
    except Exception as error:  # torch, zip and JSON have errors of their own
        raise _unreadable(path, description, error) from error
    _check_inside(path, inside, description)
    return torch_answer(program.module(), description.pixels)


def _safetensors(path: Path, description: Description) -> Answer:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_model

    from uda.export.formats import Served
    from uda.models.classifier import ModelSpec, build_classifier

    model = build_classifier(ModelSpec.from_json(description.network or {}))
    try:
        with safe_open(str(path), "pt") as stored:
            inside = stored.metadata() or {}
        load_model(model, str(path))
    except (SafetensorError, RuntimeError) as error:
        raise _unreadable(path, description, error) from error
    _check_inside(path, inside, description)
    return torch_answer(Served(model).eval(), description.pixels)


def torch_answer(model: Any, pixels: Pixels = "uint8") -> Answer:
    """Return what asks a torch module on the CPU.

    Args:
        model: (B, K, H, W) -> (B, C) probabilities.
        pixels: type that it is given.
    """
    import torch

    kind = getattr(torch, pixels)

    def answer(images: UInt8) -> Float32:
        given = torch.from_numpy(np.ascontiguousarray(images)).to(kind)
        with torch.no_grad():
            found: Float32 = model(given).numpy()
        return found

    return answer


def _check_inside(
    path: Path, inside: Mapping[str, str], description: Description
) -> None:
    """Refuse a JSON file that says something else than the model file itself."""
    texts = description.metadata()
    for key in {**texts, "tta": ""}:  # which is there where it is not "none"
        told = texts.get(key)
        if inside.get(key) != told:
            raise CheckpointError(
                f"{beside(path)}: its {key!r} are {told}, but {path.name} itself says "
                f"{inside.get(key)}: it was edited, or is of another model; copy both "
                f"again, or {AGAIN}"
            )


def _unreadable(
    path: Path, description: Description, error: Exception
) -> CheckpointError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return CheckpointError(
        f"{path}: cannot be opened as {description.kind} ({reason[0]}); the "
        f"installed package may be too old for it: update that, or {AGAIN}"
    )
