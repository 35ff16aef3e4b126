"""Thumbnails of an evaluation: the worst errors with their maps, a few of each answer.

One file of bounded size beside the numbers, so that a report needs no image folder, and
so that whoever must not pass images on has one file to delete.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from uda.data.images import BadImage
from uda.data.preprocessing import Preprocessing
from uda.evaluation.evaluate import Evaluation
from uda.evaluation.predict import Predictions
from uda.evaluation.saliency import Saliency, grad_cam
from uda.files import write_json
from uda.run.bundle import Bundle

FILE = "thumbnails.json"
WORST = 24  # errors that get a map
PER_CELL = 6  # images of each pair of true class and answer
MOST = 160  # pictures in all
MAX_BYTES = 4_000_000  # of the file
_SIDE = 160  # pixels of the longer side
_WEIGHT = 0.55  # of the map's colours over the image

Cell = tuple[int, int]
UInt8 = npt.NDArray[np.uint8]


def write_thumbnails(
    folder: Path,
    evaluation: Evaluation,
    bundle: Bundle,
    *,
    wanted: bool = True,
    device: str = "cpu",
) -> None:
    """Write thumbnails.json; without thumbnails a file that says so.

    Args:
        folder: for example ``RUN/evaluation/test``.
        evaluation: its first kind of weights is shown.
        bundle: the model with these weights.
        wanted: off where images are confidential.
        device: where the model is.
    """
    if not wanted:
        write_json(folder / FILE, {"kept": False, "pictures": []})
        return
    predictions = next(iter(evaluation.predictions.values()))
    files = dict(evaluation.images.files)
    worst = worst_rows(predictions)
    maps, reason = _maps(predictions, worst, files, bundle, device)
    pictures: list[dict[str, Any]] = []
    size = 0
    for row in chosen_rows(predictions, worst):
        found = _picture(predictions, row, files, bundle.preprocessing, maps.get(row))
        size += sum(len(text) for text in _uris(found))
        if size > MAX_BYTES:
            break
        pictures += [found] if found else []
    write_json(folder / FILE, {"kept": True, "no_maps": reason, "pictures": pictures})


def worst_rows(predictions: Predictions) -> list[int]:
    """Return the wrong answers, most confident first, at most WORST."""
    wrong = np.flatnonzero(predictions.wrong)
    order = np.argsort(-predictions.confidence[wrong], kind="stable")
    return [int(row) for row in wrong[order][:WORST]]


def cells(predictions: Predictions) -> dict[Cell, list[int]]:
    """Return images by (true class, answer), the most telling ones first.

    Wrong answers come by falling confidence, right ones by rising. With several labels
    per image the pairs are (class, 0) for missed and (class, 1) for named without
    being there.
    """
    found: dict[Cell, list[int]] = {}
    known, predicted = predictions.known, predictions.predicted
    for row in np.argsort(-predictions.confidence, kind="stable").tolist():
        if not known[row]:
            continue
        truth, answer = predictions.targets[row], predicted[row]
        if predictions.several:
            for label in np.flatnonzero(truth != answer).tolist():
                found.setdefault((label, int(answer[label])), []).append(row)
        else:
            found.setdefault((int(truth), int(answer)), []).append(row)
    if not predictions.several:
        for pair, rows in found.items():
            rows[:] = rows[::-1] if pair[0] == pair[1] else rows
    return found


def chosen_rows(predictions: Predictions, worst: Sequence[int]) -> list[int]:
    """Return which images get a picture: the worst, then of each cell in turn."""
    by_cell = cells(predictions)
    several = predictions.several
    ordered = sorted(by_cell, key=lambda pair: not several and pair[0] == pair[1])
    turns = [
        by_cell[pair][turn]
        for turn in range(PER_CELL)
        for pair in ordered
        if turn < len(by_cell[pair])
    ]
    return list(dict.fromkeys([*worst, *turns]))[:MOST]


def asked_classes(predictions: Predictions, row: int) -> list[int]:
    """Return of which classes a wrong answer gets a map: what was said, what is true.

    With several labels the one class that is most clearly wrong.
    """
    truth, answer = predictions.targets[row], predictions.predicted[row]
    if predictions.several:
        gap = np.where(truth != answer, np.abs(predictions.probs[row] - truth), -1.0)
        return [int(gap.argmax())]
    return [int(answer), int(truth)]


def _maps(
    predictions: Predictions,
    rows: Sequence[int],
    files: Mapping[str, Path],
    bundle: Bundle,
    device: str,
) -> tuple[dict[int, list[tuple[int, npt.NDArray[np.float32]]]], str]:
    """Return by row (class, map) of each class that it is asked about."""
    images, asked = [], []
    for row in rows:
        image = _read(files[predictions.ids[row]], bundle.preprocessing)
        for label in asked_classes(predictions, row) if image is not None else []:
            images.append(image)
            asked.append((row, label))
    found = Saliency(np.zeros((0, 1, 1), np.float32))
    if images:
        stack = np.stack([image for image in images if image is not None])
        labels = [label for _, label in asked]
        found = grad_cam(bundle.model, stack, labels, device=device)
    by_row: dict[int, list[tuple[int, npt.NDArray[np.float32]]]] = {}
    if found.maps is not None:
        for (row, label), one in zip(asked, found.maps, strict=True):
            by_row.setdefault(row, []).append((label, one))
    return by_row, found.reason


def _picture(
    predictions: Predictions,
    row: int,
    files: Mapping[str, Path],
    preprocessing: Preprocessing,
    maps: list[tuple[int, npt.NDArray[np.float32]]] | None,
) -> dict[str, Any]:
    """Return one entry; nothing where the file is gone meanwhile."""
    name = predictions.ids[row]
    height, width = preprocessing.size
    scale = _SIDE / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    image = _read(files[name], replace(preprocessing, size=size))
    if image is None:
        return {}
    shown = [
        {
            "class": predictions.classes[label],
            "image": jpeg_uri(overlay(image, one)),
            "empty": not bool(one.any()),
        }
        for label, one in maps or []
    ]
    return {"row": row, "id": name, "image": jpeg_uri(image), "maps": shown}


def _read(path: Path, preprocessing: Preprocessing) -> UInt8 | None:
    try:
        return preprocessing.read(path)
    except (BadImage, OSError):
        return None


def _uris(picture: Mapping[str, Any]) -> list[str]:
    return [picture.get("image", ""), *(m["image"] for m in picture.get("maps", []))]


def overlay(image: UInt8, strength: npt.NDArray[np.float32]) -> UInt8:
    """Return (H, W, 3): the image in grey under the colours of a map in 0..1.

    Args:
        image: (H, W, K).
        strength: of any size; it is stretched over the image.
    """
    from matplotlib import colormaps

    height, width = image.shape[:2]
    stretched = Image.fromarray(np.asarray(strength, np.float32), mode="F")
    heat = np.asarray(stretched.resize((width, height), Image.Resampling.BILINEAR))
    heat = np.clip(heat, 0, 1)[:, :, None]
    colours = np.asarray(colormaps["inferno"](heat[:, :, 0]))[:, :, :3] * 255
    grey = image.mean(axis=2, keepdims=True)
    share = _WEIGHT * heat
    return np.asarray(np.rint(grey * (1 - share) + colours * share), dtype=np.uint8)


def jpeg_uri(image: UInt8) -> str:
    """Return (H, W, K) pixels as a ``data:`` address of a JPEG without metadata."""
    buffer = io.BytesIO()
    pixels = image[:, :, 0] if image.shape[2] == 1 else image
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
