"""A run folder as plain values for its report; nothing outside the folder is read."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from uda.data.splits import Split
from uda.errors import CheckpointError, DataError
from uda.evaluation.out_of_fold import OutOfFold
from uda.evaluation.predict import Predictions
from uda.evaluation.reads import past_reads
from uda.files import read_json
from uda.reporting.thumbnails import FILE
from uda.run.layout import RunFolder, read_metrics

_VIEWS = "unlabeled/views"
_WIDEST = 1400  # pixels of the picture of views
Json = dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """What ``uda evaluate`` left in one folder.

    Attributes:
        name: of the folder, such as ``test``.
        facts: metrics.json.
        predictions: of the main weights.
        warm: those of the supervised warm start, where the run has one.
        pictures: by row of the predictions.
        kept: whether thumbnails were kept; None where nobody was asked.
        no_maps: why there are no saliency maps; empty where there are.
    """

    name: str
    facts: Json
    predictions: Predictions
    warm: Predictions | None = None
    pictures: dict[int, Json] = field(default_factory=dict)
    kept: bool | None = None
    no_maps: str = ""

    @property
    def main(self) -> Json:
        """The numbers of the main weights."""
        found: Json = self.facts["weights"][self.facts["main_weights"]]
        return found


@dataclass(frozen=True)
class RunData:
    """Everything that a report shows.

    Attributes:
        folder: the run.
        config: config.yaml as values, and as text.
        classes: (C,) names in the order of the logits.
        kind: "network", "texture", or nothing before there are weights.
        history: the lines of metrics.jsonl.
        skipped: (path, reason) of files left out of training.
        evaluations: test first, then by name.
        views: the last picture of weak and strong views, as a data address.
        reads: how often the test part was read.
        out_of_fold: answers of the fold trainings; None without folds, or before
            they are done.
    """

    folder: Path
    config: Json
    config_text: str
    classes: tuple[str, ...]
    kind: str
    status: Json
    environment: Json
    history: list[Json]
    split: Split | None
    skipped: list[tuple[str, str]]
    decision: Json | None
    evaluations: list[Evaluated]
    views: str
    reads: int
    out_of_fold: OutOfFold | None = None


def read_run(run: RunFolder, *, images: bool = True) -> RunData:
    """Read what a run folder has; what is not there yet is empty.

    Args:
        run: the run.
        images: off leaves out thumbnails, maps and views.

    Raises:
        CheckpointError: config.yaml cannot be read.
        DataError: another file is damaged; it is named.
    """
    text, config = _config(run)
    split = Split.load(run.split) if run.split.is_file() else None
    model = _optional(run.model)
    evaluations = _evaluations(run, images)
    confidential = any(found.kept is False for found in evaluations)
    return RunData(
        folder=run.path,
        config=config,
        config_text=text,
        classes=_classes(model, split),
        kind=str(model.get("kind", "")),
        status=_optional(run.status),
        environment=_optional(run.environment),
        history=read_metrics(run.metrics),
        split=split,
        skipped=_skipped(run.skipped),
        decision=_optional(run.decision) or None,
        evaluations=evaluations,
        views=views_uri(run.path / "tb") if images and not confidential else "",
        reads=len(past_reads(run)),
        out_of_fold=(
            OutOfFold.load(run.out_of_fold) if run.out_of_fold.is_file() else None
        ),
    )


def _config(run: RunFolder) -> tuple[str, Json]:
    try:
        text = run.config.read_text(encoding="utf-8")
        config = yaml.safe_load(text)
        if not isinstance(config, dict):
            raise TypeError("it is not a table of settings")
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"{run.config}: cannot be read ({error}); copy the run folder again"
        ) from error
    return text, config


def _optional(path: Path) -> Json:
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise DataError(f"{path}: is damaged (no table); copy the run folder again")
    return found


def _classes(model: Json, split: Split | None) -> tuple[str, ...]:
    if model:
        return tuple(str(name) for name in model["spec"]["classes"])
    labels = {row.label for row in split.rows if row.label} if split else set()
    return tuple(sorted(labels))


def _skipped(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = list(csv.DictReader(io.StringIO(text)))
    return [(row.get("path") or "", row.get("reason") or "") for row in rows]


def _evaluations(run: RunFolder, images: bool) -> list[Evaluated]:
    parent = run.path / "evaluation"
    folders = [f for f in sorted(parent.glob("*")) if (f / "metrics.json").is_file()]
    folders.sort(key=lambda folder: folder.name != "test")
    return [_evaluation(folder, images) for folder in folders]


def _evaluation(folder: Path, images: bool) -> Evaluated:
    facts, stored = _optional(folder / "metrics.json"), _optional(folder / FILE)
    predictions = Predictions.load(folder / "predictions.npz")
    warm = folder / "warm.npz"
    try:
        main = facts["weights"][facts["main_weights"]]
        if len(main["per_class"]) != len(predictions.classes):
            raise ValueError("metrics.json and predictions.npz differ in classes")
        pictures = _pictures(stored, predictions)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder}: is damaged ({error}); run `uda evaluate` again"
        ) from error
    return Evaluated(
        folder.name,
        facts,
        predictions,
        Predictions.load(warm) if warm.is_file() else None,
        pictures if images else {},
        stored.get("kept"),
        str(stored.get("no_maps", "")),
    )


def _pictures(stored: Json, predictions: Predictions) -> dict[int, Json]:
    """Return pictures by row; those of an earlier evaluation are left out."""
    found = {}
    for one in stored.get("pictures", []):
        addresses = [one["image"], *(entry["image"] for entry in one["maps"])]
        if not all(uri.startswith("data:image/jpeg;base64,") for uri in addresses):
            raise ValueError(f"{FILE} names pictures elsewhere")
        if predictions.ids[int(one["row"])] == one["id"]:
            found[int(one["row"])] = one
    return found


def views_uri(folder: Path) -> str:
    """Return the last picture of views in TensorBoard's files as a data address.

    Args:
        folder: ``RUN/tb``. Without such a picture the answer is empty.
    """
    import numpy as np
    from PIL import Image

    from uda.reporting.thumbnails import jpeg_uri

    if not any(folder.glob("events.*")):
        return ""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 1})
    events.Reload()
    if _VIEWS not in events.Tags()["images"]:
        return ""
    raw = events.Images(_VIEWS)[-1].encoded_image_string
    with Image.open(io.BytesIO(raw)) as picture:
        plain = picture.convert("RGB")
    if plain.width > _WIDEST:
        plain = plain.resize((_WIDEST, round(plain.height * _WIDEST / plain.width)))
    return jpeg_uri(np.asarray(plain))
