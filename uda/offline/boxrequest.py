"""What the box command is asked for, and whose folder it may write to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from uda.augment.boxes import BoxRules
from uda.augment.policy import Policy, PythonPolicy
from uda.data.boxes import coco, yolo
from uda.data.boxes.model import BoxSet
from uda.data.boxfiles import Format, find_format
from uda.data.table import shown
from uda.errors import DataError, UsageError
from uda.files import read_json, sha256_file
from uda.offline.newset import names_in

Progress = Callable[[str, int, int], None]

STATE, REPORT = "augment.json", "report.json"
_FORMAT = 2
_OPTIONS = {
    "format": "the version of this program", "copies": "--copies", "seed": "--seed",
    "policy": "--policy", "kind": "--format", "originals": "--originals",
    "rules": "--clip, --ellipse, --min-visibility, --min-side or --ignore-cover",
    "pixels_only": "--pixels-only", "voc_base": "--voc-base",
    "sources": "the images or their boxes (ANNOTATIONS, --images, --invalid)",
}  # fmt: skip


@dataclass(frozen=True)
class BoxRequest:
    """What is asked for.

    Attributes:
        annotations: file or folder of any known format.
        images: folder that the images' paths are relative to.
        out: folder of the new set.
        policy: how a copy is made; None only with no copies.
        copies: of each image; 0 converts the annotations alone.
        kind: format to write; None = the one that was read.
        seed: same seed, same files.
        rules: what is clipped and dropped.
        originals: copy the original images as well; None = when there are copies.
        pixels_only: a Python function moves nothing: boxes stay as they are.
        invalid: what becomes of boxes outside of the image: see ``ReadRules``.
        voc_base: number of the first pixel in VOC files; None = as found, else 0.
    """

    annotations: Path
    images: Path
    out: Path
    policy: Policy | PythonPolicy | None = None
    copies: int = 5
    kind: Format | None = None
    seed: int = 0
    rules: BoxRules = field(default_factory=BoxRules)
    originals: bool | None = None
    pixels_only: bool = False
    invalid: Literal["error", "repair"] = "error"
    voc_base: Literal[0, 1] | None = None

    @property
    def with_originals(self) -> bool:
        """Whether original images are copied to the new set."""
        return self.copies > 0 if self.originals is None else self.originals


def refuse_nested(request: BoxRequest) -> None:
    """Refuse to write into a folder that is read, now and the next time.

    Raises:
        UsageError: the new set would lie among its own sources.
        DataError: there are no annotations.
    """
    out = request.out.resolve()
    searched = _searched(request.annotations)
    nested = {
        "--images": out.is_relative_to(request.images.resolve()),
        "ANNOTATIONS": out == request.annotations.resolve()
        or out.is_relative_to(searched),
    }
    for name, inside in nested.items():
        if inside:
            raise UsageError(
                f"--out {shown(request.out)}: lies in {name}, whose files it would "
                "join; choose a folder outside of it"
            )


def _searched(annotations: Path) -> Path:
    """Return the folder in which any file may be an annotation, or the one file."""
    kind, place = find_format(annotations)
    if kind != "yolo":
        return place.resolve()
    root = place if place.is_dir() else place.parent
    labels = root / yolo.FOLDER
    return (labels if labels.is_dir() else root).resolve()


def refuse_idle_base(request: BoxRequest, source: Format) -> None:
    """Refuse a number for the first pixel of VOC files where there are none.

    Raises:
        UsageError: neither what is read nor what is written is VOC.
    """
    written = request.kind or source
    if request.voc_base is not None and "voc" not in (source, written):
        raise UsageError(
            f"--voc-base has no effect: {source} is read and {written} is written, "
            "and Pascal VOC alone counts in two ways; leave it out"
        )


def state_of(
    request: BoxRequest, boxes: BoxSet, kind: Format, progress: Progress | None
) -> dict[str, Any]:
    """Return all that the files depend on, for a later call to compare."""
    digest = hashlib.sha256(coco.encode(boxes)[coco.FILE])
    for done, image in enumerate(boxes.images, start=1):
        digest.update(sha256_file(request.images / image.path).encode())
        if progress:
            progress("Reading", done, len(boxes.images))
    policy = request.policy if request.copies else None
    return {
        "format": _FORMAT,
        "copies": request.copies,
        "seed": request.seed,
        "policy": policy.fingerprint() if policy else None,
        "policy_name": policy.name if policy else None,
        "kind": kind,
        "originals": request.with_originals,
        "rules": asdict(request.rules),
        "pixels_only": request.pixels_only,
        "voc_base": request.voc_base or 0,
        "sources": digest.hexdigest(),
    }


def refuse_foreign(out: Path, state: dict[str, Any]) -> bool:
    """Accept an empty folder, or one that the same call wrote.

    Returns:
        Whether the same call has finished it already.

    Raises:
        UsageError: the folder holds something else, or was begun with other options
            or data; the message says which.
        DataError: a folder that cannot be read.
    """
    content = names_in(out)
    if not content:
        return False
    if STATE not in content:
        raise UsageError(
            f"--out {shown(out)}: is not empty and not the unfinished work of this "
            "command; choose another folder"
        )
    _refuse_other(out, state)
    return REPORT in content


def _refuse_other(out: Path, state: dict[str, Any]) -> None:
    before = read_json(out / STATE)
    if not isinstance(before, dict):
        raise DataError(f"{out / STATE}: is damaged; choose another --out")
    for key, option in _OPTIONS.items():
        if before.get(key) != state[key]:
            raise UsageError(
                f"--out {shown(out)}: was begun with other options or data: {option} "
                "differs; repeat the first call, or choose another folder"
            )
