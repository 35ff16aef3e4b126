"""How much of a defect can still be seen after a policy: boxes under its plans.

No model is asked: a box that is out of the frame, or covered, shows nothing to any.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uda.augment.boxes import BoxRules, transform_boxes
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import Policy, PythonPolicy
from uda.data.boxes.model import ReadRules
from uda.data.boxfiles import read_boxes
from uda.data.preprocessing import Preprocessing, content_box, evenly
from uda.data.table import shown
from uda.errors import DataError
from uda.files import write_csv
from uda.offline.narrowing import WHOLE, Element, elements

Progress = Callable[[str, int, int], None]
Float64 = npt.NDArray[np.float64]

# A defect of which less can be seen counts as hidden.
HALF = 0.5
_MOST_IMAGES = 300
_RULES = BoxRules(min_side=0.0)
_HIDING_KEYS = ("crop_pad", "cutout")


@dataclass(frozen=True)
class Defects:
    """Boxes of defects at the size at which the model sees the images.

    Attributes:
        boxes: per image (n, 4) float64 x0, y0, x1, y1 in pixels.
        shape: (H, W) of every image.
        notes: what was left out or put right.
    """

    boxes: tuple[Float64, ...]
    shape: tuple[int, int]
    notes: list[str] = field(default_factory=list)

    @property
    def smallest(self) -> tuple[float, float]:
        """(height, width) in pixels of the box with the least area."""
        sides = np.concatenate([b[:, 2:] - b[:, :2] for b in self.boxes])
        width, height = sides[sides.prod(axis=1).argmin()]
        return float(height), float(width)


@dataclass(frozen=True)
class Visible:
    """What an element of a policy hides.

    Attributes:
        element: its name.
        defects: boxes that were followed, each in every draw.
        mean: visible share of a box's area, averaged over boxes and draws.
        hidden: share of them of which less than half can be seen.
    """

    element: str
    defects: int
    mean: float
    hidden: float


def read_defects(
    path: Path,
    images: Path,
    preprocessing: Preprocessing,
    *,
    without: Collection[str] = (),
) -> Defects:
    """Read boxes of any format and scale them to the model's size.

    Args:
        path: annotations, as for `read_boxes`.
        images: the folder that their image names count from.
        preprocessing: of the model.
        without: paths of images to leave out, for example the test part's.

    Raises:
        DataError: annotations that cannot be read, or without a box.
    """
    found, _ = read_boxes(path, ReadRules(images=images, invalid="repair"))
    held = set(without)
    named = [image for image in found.images if len(image.boxes)]
    used = [image for image in named if image.path not in held]
    if not used:
        raise DataError(
            f"{shown(path)}: no box of an image outside of the test part; give "
            "annotations of the training images"
        )
    notes = [str(note) for note in found.notes]
    if len(used) > _MOST_IMAGES:
        notes.append(f"boxes of {_MOST_IMAGES} of {len(used)} images are followed")
    chosen = [used[i] for i in evenly(len(used), _MOST_IMAGES)]
    boxes = tuple(
        fitted(image.boxes, (image.height, image.width), preprocessing)
        for image in chosen
    )
    return Defects(boxes, preprocessing.size, notes)


def fitted(
    boxes: Float64, source: tuple[int, int], preprocessing: Preprocessing
) -> Float64:
    """Scale (n, 4) boxes as an image of shape ``source`` (H, W) is scaled."""
    top, bottom, left, right = content_box(
        source, preprocessing.size, preprocessing.mode
    )
    y, x = (bottom - top) / source[0], (right - left) / source[1]
    offset = np.array([left, top, left, top], dtype=np.float64)
    return np.asarray(boxes * np.array([x, y, x, y]) + offset)


def visible_shares(
    policy: Policy,
    boxes: Sequence[Float64],
    shape: tuple[int, int],
    *,
    draws: int,
    seed: int,
    stream: str,
) -> Float64:
    """Return (draws, n) visible shares of the n boxes of all images, 0..1.

    Args:
        policy: native.
        boxes: per image (m, 4) pixels.
        shape: (H, W) of the images.
        draws: views of each image.
        seed: same seed, same views.
        stream: name of the views.
    """
    counters = np.arange(len(boxes) * draws, dtype=np.int64)
    plan = draw(policy, seed=seed, stream=stream, counters=counters, shape=shape)
    shares = []
    for number, mine in enumerate(boxes):
        seen = np.zeros((draws, len(mine)))
        for view in range(draws):
            moved = transform_boxes(plan, number * draws + view, mine, rules=_RULES)
            seen[view, moved.index] = moved.visibility
        shares.append(seen)
    return np.concatenate(shares, axis=1)


def audit_boxes(
    policy: Policy | PythonPolicy,
    defects: Defects,
    *,
    draws: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Visible]:
    """Follow every box through each element that moves or covers pixels.

    A Python policy tells of no boxes: the answer is empty.
    """
    if isinstance(policy, PythonPolicy):
        return []
    parts = [part for part in elements(policy) if _hides(part)]
    found = []
    for done, part in enumerate(parts, 1):
        assert isinstance(part.policy, Policy)
        shares = visible_shares(
            part.policy,
            defects.boxes,
            defects.shape,
            draws=draws,
            seed=seed,
            stream=f"audit/{part.name}",
        )
        hidden = float((shares < HALF).mean())
        found.append(Visible(part.name, shares.shape[1], float(shares.mean()), hidden))
        if progress is not None:
            progress("boxes", done, len(parts))
    return found


def _hides(part: Element) -> bool:
    if part.name == WHOLE or part.name in _HIDING_KEYS:
        return True
    ops = part.policy.ops if isinstance(part.policy, Policy) else ()
    return any(OPS[spec.name].kind in ("geometry", "erase") for spec in ops)


def write_visibility(path: Path, found: Sequence[Visible]) -> None:
    """Write one line per element as CSV."""
    rows = [(v.element, v.defects, f"{v.mean:.4f}", f"{v.hidden:.4f}") for v in found]
    header = ("element", "defects", "mean_visible_share", "share_below_half_visible")
    write_csv(path, header, rows)
