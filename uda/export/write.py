"""Exports a run: one model file and the JSON that says what it means.

The file takes its name only after it has answered like the run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uda.errors import UsageError
from uda.evaluation.decision import DecisionRule
from uda.evaluation.predict import predict_pool
from uda.evaluation.rulefile import own_rule, require_tta
from uda.evaluation.thresholds import own_thresholds
from uda.evaluation.tta import NONE, Tta, tta_of
from uda.export.description import (
    Description,
    Kind,
    Pixels,
    beside,
    is_description,
    require_exportable,
    versions,
)
from uda.export.formats import write_model
from uda.export.opening import Answer, Float32, UInt8, answerer
from uda.export.parity import RealImages, differences, real_images, require_parity
from uda.export.predict import averaged
from uda.files import atomic_path, read_json, sha256_file, writing
from uda.run.bundle import Bundle, load_bundle
from uda.run.layout import NETWORK, RunFolder, open_run


def export_run(
    folder: Path,
    *,
    kind: Kind = "onnx",
    out: Path | None = None,
    weights: str = "ema",
    pixels: Pixels = "uint8",
    data: Path | None = None,
    overwrite: bool = False,
    decision: bool = True,
    tta: str | None = None,
) -> tuple[Path, Description]:
    """Write a run's model for other programs.

    Args:
        folder: of the run.
        kind: format of the model file.
        out: the model file; None for ``RUN/export/KIND/model.KIND``. The JSON file
            beside it has the same name with the suffix ``.json``.
        weights: ``ema`` or ``raw``.
        pixels: type of the model's input.
        data: where the run's images are now; None for where the run found them.
        overwrite: replace an export that is there.
        decision: take the run's decision rule along, where it has one.
        tta: label of the views that whoever asks the file averages over; None for
            those of the rule, or none.

    Returns:
        The model file and its description.

    Raises:
        UsageError: a run or a file that cannot be exported to, or views that cannot
            be made elsewhere or are not the rule's.
        CheckpointError: the file does not answer like the run; it is gone again. Or
            the run's decision.json is damaged, or of other weights.
        DataError: no image to check that with, or the file cannot be written.
    """
    run = open_run(folder)
    path = run.path / "export" / kind / f"model.{kind}" if out is None else Path(out)
    if kind == "safetensors" and pixels != "uint8":
        raise UsageError(
            f"--pixels {pixels} has no effect on safetensors, which holds weights and "
            "takes either; leave it out"
        )
    _check_target(path, kind, overwrite=overwrite)
    bundle = _network(run, load_bundle(run.path, weights=weights))
    rule = own_rule(bundle, weights) if decision else None
    views = _views(run, bundle, rule, tta)
    images = real_images(run, bundle.preprocessing, data)
    described = _describe(run, bundle, path.name, kind, pixels, weights)
    described = replace(described, rule=rule, tta=views.label)
    with writing(path):
        return path, _write(path, bundle, images, described, views)


def _check_target(path: Path, kind: Kind, *, overwrite: bool) -> None:
    if path.suffix != f".{kind}":
        raise UsageError(
            f"--out {path}: the file is told by its suffix: let it end in .{kind}, or "
            "choose another --format"
        )
    side = beside(path)
    if side.exists() and not is_description(side):
        raise UsageError(
            f"{side}: is no description of an export, and would be replaced by one; "
            "choose another --out"
        )
    there = [str(one) for one in (path, side) if one.exists()]
    if there and not overwrite:
        raise UsageError(
            f"{' and '.join(there)}: there already; add --overwrite, or choose "
            "another --out"
        )


def _network(run: RunFolder, bundle: Bundle) -> Bundle:
    """Return a bundle with a network; of texture say how to get one."""
    if bundle.kind != "texture":
        return bundle
    status = run.read_status()
    way_out = "train a network (`uda train --method supervised` or `uda`)"
    if status.get("handed_over") == "texture" and run.network.is_file():
        way_out = (
            "keep the network though it was not clearly ahead on validation "
            "(`uda evaluate RUN --weights network` says what it does): --weights "
            "network,"
        )
    raise UsageError(
        f"{run.path}: this run hands over texture descriptors that only this package "
        "computes, and no network that could be exported. Classify with `uda predict "
        f"RUN`, or {way_out} and export that"
    )


def _views(
    run: RunFolder, bundle: Bundle, rule: DecisionRule | None, tta: str | None
) -> Tta:
    """Return the views asked for, else the rule's, where an export can have them."""
    own = NONE if rule is None else rule.tta
    if tta is None:
        require_exportable(
            own,
            f"decision.json was fitted under it; `uda tune {run.path}` with another "
            "--tta, or export with --no-decision",
        )
        return tta_of(own, bundle)
    require_exportable(tta, "choose one of them")
    if rule is not None:
        require_tta(rule, tta, run.decision, str(run.path))
    return tta_of(tta, bundle)


def _describe(
    run: RunFolder, bundle: Bundle, name: str, kind: Kind, pixels: Pixels, weights: str
) -> Description:
    spec: dict[str, Any] = read_json(run.network if weights == NETWORK else run.model)[
        "spec"
    ]
    return Description(
        file=name,
        sha256="",
        kind=kind,
        pixels=pixels,
        classes=bundle.classes,
        link=bundle.link,
        preprocessing=bundle.preprocessing,
        tree=bundle.tree,
        thresholds=own_thresholds(run.thresholds, bundle.classes, bundle.link),
        network=spec if kind == "safetensors" else None,
        made={
            **versions(torch=str(torch.__version__)),
            "run": run.path.name,
            "weights": weights,
        },
    )


def _write(
    path: Path,
    bundle: Bundle,
    images: RealImages,
    description: Description,
    views: Tta,
) -> Description:
    model: Any = bundle.model
    height, width = bundle.preprocessing.size
    with atomic_path(path) as temporary:
        write_model(
            description.kind,
            model,
            temporary,
            shape=(bundle.preprocessing.channels, height, width),
            pixels=description.pixels,
            metadata=description.metadata(),
        )
        found = differences(
            _run_answer(bundle, views),
            averaged(answerer(temporary, description), views),
            images.pixels,
        )
        require_parity(found, str(path))
        digest = sha256_file(temporary)
    check = {
        "part": images.part,
        "images": len(images.pixels),
        "largest_difference": {str(size): value for size, value in found.items()},
    }
    described = replace(description, sha256=digest, check=check)
    described.save(beside(path))
    return described


def _run_answer(bundle: Bundle, views: Tta) -> Answer:
    """Return what answers as `uda predict` with the run does."""

    def answer(images: UInt8) -> Float32:
        found = predict_pool(
            bundle.model,
            images.transpose(0, 2, 3, 1),
            range(len(images)),
            ids=[""] * len(images),
            classes=bundle.classes,
            tta=views,
        )
        probs: Float32 = np.exp(found.log_probs)
        return probs

    return answer
