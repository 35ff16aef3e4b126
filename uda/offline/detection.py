"""Augmented copies of images with their boxes, in a data set of its own.

Each file is whole or absent and a pure function of the request, so an interrupted
call is finished by repeating it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from uda.augment.box_adapters import BoxRenderer
from uda.data.boxes import yolo
from uda.data.boxes.model import ROUNDING, BoxedImage, BoxSet, ReadRules
from uda.data.boxfiles import Format, encode_boxes, read_boxes
from uda.errors import DataError, UsageError
from uda.files import (
    atomic_path,
    atomic_write,
    folder_lock,
    inside,
    read_json,
    sha256_file,
    write_csv,
    write_json,
)
from uda.offline.boxcopies import (
    IMAGES,
    OF_THE_ORIGINAL,
    BoxCopy,
    Made,
    copied,
    make_copies,
    new_names,
    plan_copies,
)
from uda.offline.boxreport import Tally
from uda.offline.boxrequest import (
    REPORT,
    STATE,
    BoxRequest,
    Progress,
    refuse_foreign,
    refuse_idle_base,
    refuse_nested,
    state_of,
)
from uda.offline.boxsheet import Shown, write_box_sheet
from uda.offline.newset import unfinished

PROVENANCE, PREVIEW = "provenance.csv", "preview.png"
_PREVIEW_ROWS = 5
_HEADER = (
    "path", "source", "source_sha256", "copy", "policy", "policy_fingerprint",
    "seed", "stream", "counter", "width", "height", "boxes",
)  # fmt: skip


@dataclass(frozen=True)
class BoxReport:
    """What was written.

    Attributes:
        source: format that was read.
        kind: format that was written.
        num_images: images in the new annotations.
        num_boxes: boxes in the new annotations.
        names: the classes.
        tally: what became of the boxes of the copies.
        notes: what a user must know.
        complete: whether all of it was there already.
        previewed: images that preview.png shows, of how many.
    """

    source: Format
    kind: Format
    num_images: int
    num_boxes: int
    names: tuple[str, ...]
    tally: Tally
    notes: tuple[str, ...]
    complete: bool = False
    previewed: tuple[int, int] = (0, 0)


def augment_boxes(request: BoxRequest, progress: Progress | None = None) -> BoxReport:
    """Write the new set, or finish one that was interrupted.

    Args:
        request: what is asked for.
        progress: called as ``progress(stage, done, total)``.

    Raises:
        UsageError: a folder that holds something else, or options that do not fit.
        DataError: annotations or images that cannot be used; nothing is written.
    """
    renderer = _renderer(request)
    refuse_nested(request)
    rules = ReadRules(request.images, request.invalid, request.voc_base)
    boxes, source = read_boxes(request.annotations, rules)
    refuse_idle_base(request, source)
    aside: list[str] = []
    if source == "yolo" and request.copies:
        boxes, aside = _without_held_out(request, boxes)
    kind = request.kind or source
    copies = plan_copies(boxes, request.copies)
    # Names that the format cannot hold come to light before anything is drawn.
    planned = _new_set(request, boxes, copies, {})
    _encode(request, planned, kind)
    state = state_of(request, boxes, kind, progress)
    paths = [f"{IMAGES}/{i.path}" for i in planned.images] if _writes(request) else []
    if refuse_foreign(request.out, state):
        return _finished(request, paths)
    with unfinished(request.out, paths), folder_lock(request.out):
        if not (request.out / STATE).exists():
            write_json(request.out / STATE, state)
        if request.with_originals:
            _copy_originals(request, boxes, progress)
        tally, made = Tally(len(boxes.categories)), Made()
        if renderer is not None:
            made = make_copies(
                request, renderer, copies, tally=tally, progress=progress
            )
        result = _new_set(request, boxes, copies, made)
        report = _write(request, result, (source, kind), tally)
        report = replace(
            report,
            previewed=(len(_previewed(boxes)), len(boxes.images)),
            notes=(*aside, *report.notes),
        )
        _write_tables(request, copies, made, state)
        _preview(request, boxes, copies, made)
        _finish(request, report)
    return report


def _without_held_out(request: BoxRequest, boxes: BoxSet) -> tuple[BoxSet, list[str]]:
    """Leave out images that data.yaml keeps for measuring: copies are trained on."""
    files = [request.images / image.path for image in boxes.images]
    kept = yolo.held_out(request.annotations, files)
    if not kept:
        return boxes, []
    if len(kept) == len(files):
        raise UsageError(
            f"--images {request.images}: {yolo.NAMES} keeps all of its images for "
            "validation or test, and copies of them would be trained on; give the "
            "training images"
        )
    aside = set(kept)
    left = tuple(i for n, i in enumerate(boxes.images) if n not in aside)
    note = (
        f"{len(kept)} images that {yolo.NAMES} names for validation or test are left "
        "out, since copies are trained on; name their folder behind val: in the new one"
    )
    return replace(boxes, images=left), [note]


def _writes(request: BoxRequest) -> bool:
    """Tell whether images are written, and not annotations alone."""
    return request.copies > 0 or request.with_originals


def _finished(request: BoxRequest, paths: Sequence[str]) -> BoxReport:
    """Return the report of a folder that is finished; nothing in it is touched."""
    missing = [path for path in paths if not (request.out / path).is_file()]
    if missing:
        raise UsageError(
            f"--out {request.out}: was finished, but {len(missing)} of its images are "
            f"missing now ({missing[0]}); choose another folder, or delete this one "
            "and repeat the command"
        )
    content = read_json(request.out / REPORT)
    try:
        return BoxReport(
            content["read"],
            content["written"],
            num_images=content["images"],
            num_boxes=content["boxes"],
            names=tuple(content["classes"]),
            tally=Tally.from_json(content),
            notes=tuple(content["notes"]),
            complete=True,
            previewed=(content["previewed"][0], content["previewed"][1]),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{request.out / REPORT}: is damaged ({error!r}); choose another --out"
        ) from error


def _renderer(request: BoxRequest) -> BoxRenderer | None:
    if request.copies and request.policy is None:
        raise UsageError("copies need a --policy; --copies 0 converts alone")
    if request.policy is None or not request.copies:
        return None
    return BoxRenderer(request.policy, request.rules, pixels_only=request.pixels_only)


def _copy_originals(
    request: BoxRequest, boxes: BoxSet, progress: Progress | None
) -> None:
    names = new_names(boxes)
    for done, image in enumerate(boxes.images, start=1):
        target = inside(request.out, f"{IMAGES}/{names[image.path]}")
        if not target.exists():
            with atomic_path(target) as temporary:
                shutil.copyfile(request.images / image.path, temporary)
        if progress:
            progress("Originals", done, len(boxes.images))


def _new_set(
    request: BoxRequest, boxes: BoxSet, copies: Sequence[BoxCopy], made: Made
) -> BoxSet:
    """Return the set to write; copies that are not made yet have no boxes."""
    originals = boxes.images if request.with_originals or not copies else ()
    if request.with_originals:
        names = new_names(boxes)
        originals = tuple(replace(image, path=names[image.path]) for image in originals)
    images = [*originals, *(copied(copy, made.get(copy.path)) for copy in copies)]
    return replace(boxes, images=tuple(images))


def _encode(request: BoxRequest, boxes: BoxSet, kind: Format) -> dict[str, bytes]:
    return encode_boxes(boxes, kind, voc_base=request.voc_base or 0)


def _write(
    request: BoxRequest, result: BoxSet, kinds: tuple[Format, Format], tally: Tally
) -> BoxReport:
    for name, content in _encode(request, result, kinds[1]).items():
        atomic_write(inside(request.out, name), content)
    return BoxReport(
        *kinds,
        num_images=len(result.images),
        num_boxes=result.num_boxes,
        names=tuple(category.name for category in result.categories),
        tally=tally,
        notes=(*result.notes, *_notes(request, result)),
    )


def _notes(request: BoxRequest, result: BoxSet) -> Iterator[str]:
    if not request.copies and not request.with_originals:
        yield (
            f"images were not copied: the paths stay relative to {request.images}; "
            "--originals copies them to the new set"
        )
    outlines = any(
        OF_THE_ORIGINAL & (set(extra) - {"id", "area"})
        for image in result.images
        for extra in image.extras
    )
    if request.copies and outlines:
        yield (
            "outlines, key points and parts are not moved: the copies have boxes alone"
        )

    # Nothing else makes such boxes: what is read is checked.
    if any(_overhangs(image) for image in result.images):
        yield (
            "boxes reach out of their images (--clip none): this command reads the "
            "set again with --invalid repair, which cuts them, and trainers may "
            "refuse it"
        )


def _overhangs(image: BoxedImage) -> bool:
    edge = np.array([image.width, image.height]) + ROUNDING
    low, high = image.boxes[:, :2], image.boxes[:, 2:]
    return bool((low < -ROUNDING).any() or (high > edge).any())


def _write_tables(
    request: BoxRequest, copies: Sequence[BoxCopy], made: Made, state: dict[str, Any]
) -> None:
    hashes: dict[str, str] = {}
    rows: list[list[object]] = []
    for copy in copies:
        source = copy.source.path
        if source not in hashes:
            hashes[source] = sha256_file(request.images / source)
        moved, size = made[copy.path]
        rows.append(
            [
                f"{IMAGES}/{copy.path}", source, hashes[source], copy.number,
                state["policy_name"], state["policy"], request.seed, copy.stream,
                copy.number, *size, len(moved.boxes),
            ]
        )  # fmt: skip
    if rows:
        write_csv(request.out / PROVENANCE, _HEADER, rows)


def _previewed(boxes: BoxSet) -> list[BoxedImage]:
    """Choose a few images, spread over those that have boxes."""
    with_boxes = [image for image in boxes.images if len(image.boxes)]
    chosen = with_boxes or boxes.images
    spread = np.linspace(0, len(chosen) - 1, min(_PREVIEW_ROWS, len(chosen)))
    return [chosen[round(place)] for place in spread]


def _preview(
    request: BoxRequest, boxes: BoxSet, copies: Sequence[BoxCopy], made: Made
) -> None:
    """Draw a few images with their copies."""
    of: dict[str, list[BoxCopy]] = {}
    for copy in copies:
        of.setdefault(copy.source.path, []).append(copy)
    rows = []
    for image in _previewed(boxes):
        row = [Shown(request.images / image.path, image, image.path)]
        for copy in of.get(image.path, []):
            view = copied(copy, made[copy.path])
            caption = f"copy {copy.number}"
            row.append(Shown(request.out / IMAGES / copy.path, view, caption))
        rows.append(row)
    write_box_sheet(request.out / PREVIEW, rows, boxes.categories)


def _finish(request: BoxRequest, report: BoxReport) -> None:
    """Write the report last: it says that the folder is finished."""
    content = {
        "read": report.source,
        "written": report.kind,
        "images": report.num_images,
        "boxes": report.num_boxes,
        "previewed": list(report.previewed),
        **report.tally.as_json(report.names),
        "notes": list(report.notes),
    }
    text = json.dumps(content, indent=2, ensure_ascii=False)
    atomic_write(request.out / REPORT, text + "\n")
