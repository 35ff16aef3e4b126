"""The preview of policies: what training will see, and every op alone, on one sheet.

Views are drawn and executed by the code that training uses, on pixels of its pool.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from uda import rng
from uda.augment.boxes import transform_boxes
from uda.augment.kernels import render
from uda.augment.ops import OPS
from uda.augment.plan import Plan, draw
from uda.augment.policy import OpSpec, Policy, PythonPolicy
from uda.data.images import probe
from uda.data.pool import Pool
from uda.data.records import Record
from uda.reporting.captions import describe, magnitude
from uda.reporting.sheets import Block, Box, Cell, Row, Tile, draw_sheet

UInt8 = npt.NDArray[np.uint8]
AnyPolicy = Policy | PythonPolicy

STRONG_VIEWS = 4
_NO_LABEL = "(no label)"
_TRIES = 64  # draws among which both signs of a magnitude are found
_LEGEND = (
    "Below each view: what was done to it. ↔ ↕ flipped, ← → ↑ ↓ moved so many pixels."
)
_UNTOLD = (
    "A Python policy: what it did only its code knows, so that views have no captions "
    "and no op is shown alone."
)
_QUESTION = (
    "Can you still name the class of every strong view? If not, it is too strong."
)


def choose(
    records: Sequence[Record], number: int, *, seed: int, first: Iterable[str] = ()
) -> list[int]:
    """Choose images to look at: the same number of each class as far as it goes.

    Args:
        records: images with or without label.
        number: of images wanted, at least 1.
        seed: decides which image of a class.
        first: paths to take before others of their class.

    Returns:
        Indices into ``records``, by class; images without label come last.
    """
    preferred = set(first)
    by_class: defaultdict[str | None, list[int]] = defaultdict(list)
    for index in rng.permutation(seed, "preview/images", 0, len(records)).tolist():
        by_class[records[index].label].append(index)
    for members in by_class.values():
        members.sort(key=lambda index: records[index].path not in preferred)
    names = sorted(by_class, key=lambda name: (name is None, name or ""))
    turns = max(map(len, by_class.values()), default=0)
    ordered = [
        (place, by_class[name][turn])
        for turn in range(turns)
        for place, name in enumerate(names)
        if turn < len(by_class[name])
    ]
    chosen = sorted(ordered[:number], key=lambda entry: entry[0])
    return [index for _, index in chosen]


def padding(files: Iterable[Path], size: tuple[int, int]) -> float:
    """Return the mean share of an image of ``size`` that letterboxing leaves empty.

    Args:
        files: image files.
        size: height and width that they are fitted to.
    """
    height, width = size
    shares = []
    for file in files:
        info = probe(file)
        factor = min(height / info.height, width / info.width)
        shares.append(1 - info.height * info.width * factor**2 / (height * width))
    return float(np.mean(shares)) if shares else 0.0


def draw_preview(
    pool: Pool,
    rows: Sequence[int],
    *,
    weak: AnyPolicy,
    strong: AnyPolicy,
    seed: int = 0,
    boxes: Mapping[str, Sequence[Box]] | None = None,
    with_ops: bool = True,
) -> Image.Image:
    """Draw the contact sheet of two policies.

    Args:
        pool: images as training reads them.
        rows: of the pool, at least one.
        weak: policy of the weak view.
        strong: policy of the strong view.
        seed: of the views; the run's own seed shows views as that run draws them.
        boxes: path -> boxes (x0, y0, x1, y1) in pixels of the pool's image; drawn
            on the original, and on views of native policies where they went.
        with_ops: also show every op of a native strong policy alone.

    Returns:
        An RGB picture.

    Raises:
        DataError: a Python policy fails; the message names file and line.
    """
    height, width, channels = pool.images.shape[1:]
    records = [pool.records[row] for row in rows]
    images = np.ascontiguousarray(pool.images[list(rows)])
    known = tuple((boxes or {}).get(record.path, ()) for record in records)
    batch = _Batch(images, known, seed, pool.fill)
    blocks = [_training_block(batch, records, weak, strong)]
    if with_ops and isinstance(strong, Policy):
        row = _telling(pool, rows)
        cells = _op_cells(strong, pool.images[row], pool.fill)
        if cells:
            blocks.append(
                Block(
                    title=f"Every op of {strong.name} alone",
                    detail="Its outermost magnitudes and one between, all on "
                    f"{pool.records[row].path}",
                    cells=tuple(cells),
                )
            )
    kind = "colour" if channels == 3 else "grey"
    return draw_sheet(
        blocks,
        title=f"What training will see: {strong.name}",
        detail=f"{height}×{width} px, {kind}, seed {seed}. {_QUESTION}",
    )


@dataclass(frozen=True)
class _Batch:
    """The chosen images (N, H, W, K), their boxes, and how views are made of them."""

    images: UInt8
    boxes: tuple[Sequence[Box], ...]
    seed: int
    fill: UInt8

    def views(self, policy: AnyPolicy, stream: str, draw_number: int) -> list[Tile]:
        """Make one view of each image."""
        start = draw_number * len(self.images)
        counters = np.arange(start, start + len(self.images))
        views = render(
            policy,
            self.images,
            seed=self.seed,
            stream=stream,
            counters=counters,
            fill=self.fill,
        )
        if isinstance(policy, PythonPolicy):  # only the policy knows what it did
            return [Tile(view) for view in views]
        height, width = self.images.shape[1:3]
        plan = draw(
            policy,
            seed=self.seed,
            stream=stream,
            counters=counters,
            shape=(height, width),
        )
        return [
            Tile(view, tuple(describe(plan, row)), _moved(plan, row, self.boxes[row]))
            for row, view in enumerate(views)
        ]


def _moved(plan: Plan, row: int, boxes: Sequence[Box]) -> tuple[Box, ...]:
    if not boxes:
        return ()
    moved = transform_boxes(plan, row, np.array(boxes, dtype=np.float64)).boxes
    return tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in moved.tolist())


def _training_block(
    batch: _Batch, records: Sequence[Record], weak: AnyPolicy, strong: AnyPolicy
) -> Block:
    columns = [batch.views(weak, "weak", 0)]
    columns += [batch.views(strong, "strong", i) for i in range(STRONG_VIEWS)]
    rows = []
    for number, record in enumerate(records):
        original = Tile(batch.images[number], boxes=tuple(batch.boxes[number]))
        tiles = (original, *(column[number] for column in columns))
        name = record.path.rpartition("/")[2]
        rows.append(Row(tiles, record.label or _NO_LABEL, name))
    again = ("",) * (STRONG_VIEWS - 1)
    return Block(
        title="Views as training draws them",
        detail=_LEGEND if isinstance(strong, Policy) else _UNTOLD,
        rows=tuple(rows),
        headings=("image", f"weak: {weak.name}", f"strong: {strong.name}", *again),
    )


def _telling(pool: Pool, rows: Sequence[int]) -> int:
    """Return the shown image of the rarest class: most likely it has a defect."""
    labels = [record.label for record in pool.records]
    counts = {row: labels.count(labels[row]) for row in rows if labels[row] is not None}
    return min(counts, key=lambda row: counts[row]) if counts else rows[0]


def _op_cells(policy: Policy, image: UInt8, fill: UInt8) -> list[Cell]:
    cells = []
    for spec in merged(policy.every_op()):
        if spec.name != "Identity":
            tiles = [_alone(policy, spec, v, image, fill) for v in extremes(spec)]
            cells.append(Cell(spec.name, tuple(tiles)))
    if policy.cutout:
        last = Policy("cutout", cutout=policy.cutout, fill=policy.fill)
        (view,) = render(
            last, image[None], seed=0, stream="preview/op", counters=[0], fill=fill
        )
        text = magnitude("Cutout", policy.cutout)
        cells.append(Cell("cutout, always", (Tile(view, (text,)),)))
    # Those of three tiles first: then they stand in columns.
    return sorted(cells, key=lambda cell: -len(cell.tiles))


def merged(specs: Iterable[OpSpec]) -> list[OpSpec]:
    """Return one spec per op name: over all magnitudes that its specs may draw."""
    by_name: defaultdict[str, list[OpSpec]] = defaultdict(list)
    for spec in specs:
        by_name[spec.name].append(spec)
    return [
        same[0] if len(set(same)) == 1 else _widest(same) for same in by_name.values()
    ]


def _widest(specs: Sequence[OpSpec]) -> OpSpec:
    ends = [m for s in specs for m in (s.low, s.high) if m is not None]
    ends += [
        2 - m for s in specs if s.mirrored for m in (s.low, s.high) if m is not None
    ]
    if not ends:
        return OpSpec(specs[0].name)
    return OpSpec(specs[0].name, min(ends), max(ends))


def extremes(spec: OpSpec) -> list[float | None]:
    """Return the outermost magnitudes of a spec and one between, signed.

    A signed or mirrored op shows both directions at its strongest.
    """
    op = OPS[spec.name]
    if spec.low is None or spec.high is None:
        return [None]
    if op.signed:
        strongest = max(abs(spec.low), abs(spec.high))
        values = [-strongest, (spec.low + spec.high) / 2, strongest]
    elif spec.mirrored:
        far = max(spec.low, spec.high, key=lambda value: abs(value - 1))
        low, high = sorted((far, 2 - far))
        near = spec.low + spec.high - far
        values = [low, near if near != far else 1.0, high]
    else:
        values = [spec.low, (spec.low + spec.high) / 2, spec.high]
    return list(dict.fromkeys(min(max(v, -op.high), op.high) for v in values))


def _alone(
    policy: Policy, spec: OpSpec, value: float | None, image: UInt8, fill: UInt8
) -> Tile:
    """Apply one op at one signed magnitude; its place is drawn."""
    size = None if value is None else abs(value)
    one = Policy(
        "one",
        ops=(OpSpec(spec.name, size, size),),
        count=1,
        fill=policy.fill,
        interpolation=policy.interpolation,
    )
    height, width = image.shape[:2]
    everyone = np.arange(_TRIES)
    plan = draw(
        one, seed=0, stream="preview/op", counters=everyone, shape=(height, width)
    )
    right = plan.value[:, 0] * (value or 0) >= 0
    counter = int(np.flatnonzero(right)[0]) if right.any() else 0
    (view,) = render(
        one, image[None], seed=0, stream="preview/op", counters=[counter], fill=fill
    )
    text = "" if value is None else magnitude(spec.name, value)
    same = ("nothing changes",) if np.array_equal(view, image) else ()
    return Tile(view, (*filter(None, (text,)), *same))
