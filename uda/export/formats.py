"""Writes a network as one file: ONNX, torch's pt2, or safetensors.

ONNX and pt2 hold the whole way from pixels to probabilities, for any batch size.
Traces of the source code, which name folders of this machine, are taken out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uda.errors import UsageError
from uda.export.description import INPUT, OUTPUT, Kind, Pixels
from uda.models.classifier import Classifier

# The oldest that torch's exporter writes without converting: most programs read it.
OPSET = 18
METADATA_FILE = "uda.json"
Shape = tuple[int, int, int]


class Served(nn.Module):
    """A classifier as others see it: pixels to probabilities.

    Args:
        classifier: of a run.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.link = classifier.link

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, K, H, W) in 0..255, uint8 or float, to (B, C) probabilities.

        The head that decides answers: of a balanced head the auxiliary one.
        """
        logits: Tensor = self.classifier(images).served.float()
        return logits.sigmoid() if self.link == "sigmoid" else logits.softmax(1)


def write_model(
    kind: Kind,
    classifier: Classifier,
    path: Path,
    *,
    shape: Shape,
    pixels: Pixels,
    metadata: Mapping[str, str],
) -> None:
    """Write a classifier as one file.

    Args:
        kind: the format.
        classifier: in evaluation mode, on the CPU.
        path: of the file.
        shape: (K, H, W) of an image.
        pixels: type of the input; weights alone have none.
        metadata: texts to keep inside the file.

    Raises:
        UsageError: a package is missing, or the network cannot be written so.
    """
    if kind == "safetensors":
        _write_safetensors(classifier, path, metadata)
        return
    write = {"onnx": _write_onnx, "pt2": _write_pt2}[kind]
    # Two images: of a batch of one, torch would take the 1 for a constant.
    example = torch.zeros(2, *shape, dtype=getattr(torch, pixels))
    with torch.no_grad():
        write(Served(classifier).eval(), example, path, metadata)


def _write_onnx(
    served: Served, example: Tensor, path: Path, metadata: Mapping[str, str]
) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "ONNX needs further packages: pip install onnx onnxscript onnxruntime"
        ) from error
    program: Any = _traced(
        "onnx",
        lambda: torch.onnx.export(
            served,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=_any_batch(),
            opset_version=OPSET,
            external_data=False,
        ),
    )
    model = program.model
    model.graph.metadata_props.clear()
    values = [*model.graph.inputs, *model.graph.outputs]
    for part in (*model.graph.all_nodes(), *values):
        part.metadata_props.clear()
    model.metadata_props.update(metadata)
    program.save(str(path), external_data=False)


def _write_pt2(
    served: Served, example: Tensor, path: Path, metadata: Mapping[str, str]
) -> None:
    program = _traced(
        "pt2",
        lambda: torch.export.export(served, (example,), dynamic_shapes=_any_batch()),
    )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    # Through memory: for a path, torch insists on the suffix.
    buffer = io.BytesIO()
    texts = json.dumps(dict(metadata))
    torch.export.save(program, buffer, extra_files={METADATA_FILE: texts})
    path.write_bytes(buffer.getvalue())


def _write_safetensors(
    classifier: Classifier, path: Path, metadata: Mapping[str, str]
) -> None:
    from safetensors.torch import save_model

    save_model(classifier, str(path), metadata=dict(metadata))


def _any_batch() -> dict[str, dict[int, Any]]:
    return {INPUT: {0: torch.export.Dim("batch")}}


def _traced(kind: Kind, trace: Callable[[], Any]) -> Any:
    try:
        return trace()
    except Exception as error:  # what a network can do wrong in a trace is open
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"this network cannot be written as {kind} ({reason[0]}); take --format "
            "safetensors, which holds its weights"
        ) from error
