"""Views together with their boxes: by a plan, or by a library's own box handling.

albumentations and imgaug move boxes themselves; they get ours as plain corners with
the box's number as label, so any class name or flag follows outside of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from uda import rng
from uda.augment.adapters.albumentations import AlbumentationsAdapter
from uda.augment.adapters.base import Misfit, same_channels, to_gray, to_uint8
from uda.augment.adapters.imgaug import ImgaugAdapter
from uda.augment.boxes import (
    BoxRules,
    Followed,
    MovedBoxes,
    checked_boxes,
    collect,
    transform_boxes,
)
from uda.augment.kernels import render
from uda.augment.plan import draw
from uda.augment.pluginfile import FAULTS
from uda.augment.plugins import OpFault, call_for_channels, contained
from uda.augment.policy import Policy, PythonPolicy
from uda.errors import DataError, UsageError

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]
# (image, boxes, generator) -> (image, one entry per box)
_Handler = Callable[
    [UInt8, Float64, np.random.Generator], tuple[object, list[Followed]]
]
_GONE = Followed(None, 0.0, clipped=True)


class BoxRenderer:
    """Draws views with their boxes under one policy; see ``__call__``."""

    def __init__(
        self,
        policy: Policy | PythonPolicy,
        rules: BoxRules | None = None,
        *,
        pixels_only: bool = False,
    ) -> None:
        """Prepare a policy.

        Args:
            policy: native, or a Python policy made of albumentations or imgaug.
            rules: what is clipped and dropped.
            pixels_only: a Python function moves nothing: boxes stay as they are.

        Raises:
            UsageError: a Python policy whose moves nobody can know.
        """
        self.policy = policy
        self.rules = rules or BoxRules()
        self.pixels_only = pixels_only
        self._handler: _Handler | None = None
        if isinstance(policy, PythonPolicy) and not pixels_only:
            self._handler = _handler(policy, self.rules)

    @property
    def knows_boxes_first(self) -> bool:
        """Whether boxes can be had without drawing the pixels."""
        return self._handler is None

    def boxes(
        self,
        shape: tuple[int, int],
        boxes: npt.ArrayLike,
        *,
        seed: int,
        stream: str,
        counter: int,
    ) -> MovedBoxes:
        """Return the boxes of a view without its pixels (``knows_boxes_first``)."""
        original = checked_boxes(boxes)
        if isinstance(self.policy, Policy):
            plan = draw(
                self.policy, seed=seed, stream=stream, counters=[counter], shape=shape
            )
            return transform_boxes(plan, 0, original, rules=self.rules)
        unmoved = [Followed(box, 1.0, clipped=False) for box in original]
        return collect(unmoved, self.rules)

    def __call__(
        self,
        image: UInt8,
        boxes: npt.ArrayLike,
        *,
        seed: int,
        stream: str,
        counter: int,
        fill: npt.ArrayLike,
    ) -> tuple[UInt8, MovedBoxes]:
        """Draw one view with its boxes.

        Args:
            image: (H, W, K) uint8, K in {1, 3}; not changed.
            boxes: (n, 4) float64 x0, y0, x1, y1 in pixels, edges 0..W.
            seed: of the whole work.
            stream: name of the random stream.
            counter: of this view.
            fill: (K,) uint8, the mean colour.

        Returns:
            The view, uint8 (H, W, K) (another size where a library's policy crops),
            and its boxes.

        Raises:
            DataError: a fault of a Python policy, or boxes that are none.
        """
        if self._handler is not None:
            original = checked_boxes(boxes)
            words = rng.integers32(seed, f"{stream}/globals", [counter], 1)
            with contained(self.policy.path) as seed_globals:

                def seeded() -> np.random.Generator:
                    seed_globals(int(words[0, 0]))
                    return rng.generator(seed, stream, counter)

                return self._foreign(image, original, seeded)
        view = render(
            self.policy, image[None], seed=seed, stream=stream, counters=[counter],
            fill=fill,
        )[0]  # fmt: skip
        shape = (image.shape[0], image.shape[1])
        found = self.boxes(shape, boxes, seed=seed, stream=stream, counter=counter)
        return view, found

    def _foreign(
        self, image: UInt8, boxes: Float64, seeded: Callable[[], np.random.Generator]
    ) -> tuple[UInt8, MovedBoxes]:
        assert isinstance(self.policy, PythonPolicy)
        view, followed = call_for_channels(
            self.policy,
            image,
            lambda given: self._call(given, boxes, seeded()),
            gray=lambda made: (to_gray(made[0]), made[1]),
        )
        if view.shape[2] != image.shape[2] or not view.size:
            raise DataError(
                f"{self.policy.path}: returned an image of shape {view.shape} for one "
                f"of {image.shape}; the channels must stay, and some pixels"
            )
        return view, collect(followed, self.rules)

    def _call(
        self, image: UInt8, boxes: Float64, generator: np.random.Generator
    ) -> tuple[UInt8, list[Followed]]:
        assert self._handler is not None
        try:
            result, followed = self._handler(image, boxes, generator)
            return same_channels(to_uint8(result), image.shape[2]), followed
        except Misfit as error:
            raise DataError(f"{self.policy.path}: {error}") from error
        except FAULTS as error:  # the user's own code, and a library under it
            raise OpFault(
                f"{self.policy.path}: failed on an image of shape {image.shape} with "
                f"{len(boxes)} boxes: {type(error).__name__}: {error}"
            ) from error


def _handler(policy: PythonPolicy, rules: BoxRules) -> _Handler:
    adapter = policy.adapter
    if isinstance(adapter, AlbumentationsAdapter):
        return _Albumentations(adapter, rules)
    if isinstance(adapter, ImgaugAdapter):
        return _Imgaug(adapter)
    raise UsageError(
        f"{policy.path}: nobody can know how this Python policy moves pixels, so its "
        "boxes would be wrong. Use a native policy (YAML), or albumentations or "
        "imgaug, which move boxes themselves; if it changes grey levels only and "
        "moves nothing, say so with --pixels-only"
    )


class _Albumentations:
    """The user's transforms in a Compose that has been told of boxes."""

    def __init__(self, adapter: AlbumentationsAdapter, rules: BoxRules) -> None:
        library, transform = sys.modules["albumentations"], adapter.transform
        handling = library.BboxParams(
            format="pascal_voc",
            label_fields=["number"],
            clip=True,
            filter_invalid_bboxes=True,
            min_visibility=rules.min_visibility,
            # Once, at the end: otherwise a share of a share of a share is compared.
            check_each_transform=False,
        )
        is_compose = type(transform) is library.Compose
        self._compose = library.Compose(
            transform.transforms if is_compose else [transform],
            p=transform.p if is_compose else 1.0,
            bbox_params=handling,
        )
        self._adapter = adapter

    def __call__(
        self, image: UInt8, boxes: Float64, generator: np.random.Generator
    ) -> tuple[object, list[Followed]]:
        self._adapter.seed(generator, self._compose)
        numbers = np.arange(len(boxes), dtype=np.float64)
        result = self._compose(image=image, bboxes=boxes, number=numbers)
        # Whether it lies outside or shows too little, the library does not say.
        followed = [replace(_GONE, lost="library")] * len(boxes)
        kept = np.asarray(result["bboxes"], dtype=np.float64).reshape(-1, 4)
        for box, number in zip(kept, result["number"], strict=True):
            # Labels come back as floats, and the visible share not at all.
            followed[round(float(number))] = Followed(box, np.nan, clipped=False)
        return result["image"], followed


class _Imgaug:
    """The user's augmenter with imgaug's own bounding boxes."""

    def __init__(self, adapter: ImgaugAdapter) -> None:
        self._adapter = adapter

    def __call__(
        self, image: UInt8, boxes: Float64, generator: np.random.Generator
    ) -> tuple[object, list[Followed]]:
        module = sys.modules["imgaug.augmentables.bbs"]
        self._adapter.seed(generator)
        given = module.BoundingBoxesOnImage(
            [
                module.BoundingBox(*box.tolist(), label=number)
                for number, box in enumerate(boxes)
            ],
            shape=image.shape,
        )
        view, moved = self._adapter.transform(image=image, bounding_boxes=given)
        followed = [_GONE] * len(boxes)
        for item in moved.bounding_boxes:
            share = 1.0 - float(item.compute_out_of_image_fraction(view))
            if share > 0:
                cut = item.clip_out_of_image(view)
                corners = np.array([cut.x1, cut.y1, cut.x2, cut.y2], dtype=np.float64)
                followed[item.label] = Followed(corners, share, clipped=share < 1)
        return view, followed
