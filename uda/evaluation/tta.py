"""Test-time augmentation: a model answers for several views of an image.

Its answer is the mean of the probabilities. A view depends on the pixels of its image
alone, so neither the batch size nor the order of the files changes an answer.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from uda.data.images import fit
from uda.data.preprocessing import Preprocessing
from uda.errors import UsageError
from uda.files import atomic_write
from uda.run.layout import RunFolder
from uda.words import did_you_mean

if TYPE_CHECKING:
    from uda.run.bundle import Bundle

UInt8 = npt.NDArray[np.uint8]
View = Callable[[UInt8], UInt8]

NONE = "none"
NAMES = (NONE, "flips", "d4", "scales")
# Sides of the input, relative to the run's: enlarging adds no detail, and much smaller
# takes what a scratch is made of.
SCALES = (1.0, 0.9, 1.1)
NUM_DRAWN = 8  # views of a policy, unless it says otherwise
_SEED = 0
_DRAWN = re.compile(r"(?P<policy>.+?)(:(?P<num>\d+))?(@(?P<digest>[0-9a-f]{12}))?")


def _same(images: UInt8) -> UInt8:
    return images


@dataclass(frozen=True)
class Tta:
    """The views of an image whose answers are averaged.

    Attributes:
        label: what ``--tta`` takes to mean just this: ``none``, ``flips``, ``d4``,
            ``scales``, or ``POLICY:K@DIGEST`` for K draws of a policy.
        views: each makes (B, h, w, K) of (B, H, W, K) uint8.
        source: the file of that policy, where it is one.
    """

    label: str = NONE
    views: tuple[View, ...] = (_same,)
    source: Path | None = None


NO_TTA = Tta()


def same_tta(one: str, other: str) -> bool:
    """Tell whether two labels mean the same views; a policy is known by its digest."""
    if "@" in one and "@" in other:
        return one.rpartition(":")[2] == other.rpartition(":")[2]
    return one == other


def parse_tta(
    text: str, preprocessing: Preprocessing, policies: Path | None = None
) -> Tta:
    """Return the views of images of one size.

    Args:
        text: ``none``; ``flips``: as it is, left-right, up-down, both; ``d4``: the
            eight symmetries of the square; ``scales``: SCALES of the size, nothing
            cropped; or ``POLICY[:K]``: K draws (8) of a policy, by name or file.
        preprocessing: of the model: size and fill.
        policies: where a run keeps policies that its rule was fitted under.

    Raises:
        UsageError: none of these, ``d4`` of images that are not square, or a policy
            that has changed since the label was written.
        DataError: the policy cannot be used.
    """
    height, width = preprocessing.size
    if text == NONE:
        return NO_TTA
    if text == "flips":
        return Tta(text, tuple(_symmetry(turns=0, axes=axes) for axes in _FLIPS))
    if text == "d4":
        if height != width:
            raise UsageError(
                f"--tta d4: turns an image by 90 degrees, and {height}x{width} pixels "
                "are not square; take --tta flips, the symmetries that keep the shape"
            )
        pairs = [(turns, axes) for axes in ((), (2,)) for turns in range(4)]
        return Tta(text, tuple(_symmetry(turns=t, axes=a) for t, a in pairs))
    if text == "scales":
        sizes = [(round(height * by), round(width * by)) for by in SCALES]
        return Tta(text, tuple(_resized(size) for size in sizes))
    return _drawn(text, preprocessing.fill, policies)


def tta_of(text: str, bundle: Bundle) -> Tta:
    """Return the views that a run's model shall answer for.

    Raises:
        UsageError: as `parse_tta`; or ``scales`` for a model of one size.
        DataError: the policy cannot be used.
    """
    policies = RunFolder(bundle.folder).policies
    tta = parse_tta(text, bundle.preprocessing, policies)
    if tta.label == "scales":
        _check_scales(tta, bundle)
    return tta


# Axes of (B, H, W, K) that are reversed.
_FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))


def _symmetry(*, turns: int, axes: tuple[int, ...]) -> View:
    """Return what reverses some axes, then makes quarter turns; exact pixels."""

    def view(images: UInt8) -> UInt8:
        flipped = np.flip(images, axes) if axes else images
        return np.ascontiguousarray(np.rot90(flipped, turns, axes=(1, 2)))

    return view


def _resized(size: tuple[int, int]) -> View:
    def view(images: UInt8) -> UInt8:
        shape = (len(images), *size, images.shape[3])
        made = [fit(image, size, mode="squash") for image in images]
        return np.stack(made) if made else np.zeros(shape, np.uint8)

    return view


def keep_policy(tta: Tta, run: RunFolder) -> None:
    """Copy the policy behind the views into a run whose rule is fitted under them.

    So the rule can be asked from any folder, and after the policy's file has gone.
    """
    if tta.source is not None:
        copy = _kept(run.policies, tta.source.name)
        atomic_write(copy, tta.source.read_bytes())


def _kept(policies: Path, name: str) -> Path:
    """Return where a run keeps a policy of some name, with or without its suffix."""
    place = policies / f"tta-{Path(name).name}"
    same = sorted(policies.glob(f"{glob.escape(place.name)}.*"))
    return place if Path(name).suffix or not same else same[0]


def _drawn(text: str, fill: Sequence[int], policies: Path | None) -> Tta:
    """Return K draws of a policy, each a function of an image's pixels."""
    from uda.augment.kernels import render
    from uda.augment.policy import load_policy, policy_file

    found = _DRAWN.fullmatch(text)
    name, num = (found["policy"], found["num"]) if found else (text, None)
    count = NUM_DRAWN if num is None else int(num)
    if count < 1:
        raise UsageError(f"--tta {text}: asks for no view; give 1 or more")
    kept = _kept(policies, name) if policies and found and found["digest"] else None
    place = str(kept) if kept and kept.is_file() else name
    try:
        policy = load_policy(place)
    except UsageError as error:
        raise UsageError(
            f"--tta {text!r}: none of {', '.join(NAMES)}{did_you_mean(text, NAMES)}, "
            f"and no policy: {error}"
        ) from error
    digest = policy.fingerprint()[:12]
    if found and found["digest"] not in (None, digest):
        raise UsageError(
            f"--tta {text}: the policy {name} has changed since ({digest} now); put "
            f"the old one back, or fit again: uda tune RUN --tta {name}:{count}"
        )

    def view_of(number: int) -> View:
        def view(images: UInt8) -> UInt8:
            return render(
                policy,
                np.ascontiguousarray(images),
                seed=_SEED,
                stream=f"tta-{number}",
                counters=content_numbers(images),
                fill=np.asarray(fill, np.uint8),
            )

        return view

    views = tuple(view_of(number) for number in range(count))
    # The name alone: a path would tell whose machine it was.
    label = f"{Path(name).name}:{count}@{digest}"
    return Tta(label, views, policy_file(place))


def content_numbers(images: UInt8) -> npt.NDArray[np.int64]:
    """Return (N,) non-negative numbers that depend on each image's pixels alone."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    numbers = [int.from_bytes(digest[:8], "little") >> 1 for digest in digests]
    return np.asarray(numbers, dtype=np.int64)


def _check_scales(tta: Tta, bundle: Bundle) -> None:
    """Refuse other sizes where the model takes one; a network is tried."""
    way_out = "take --tta flips, or none"
    if bundle.kind == "texture":
        raise UsageError(
            f"--tta scales: {bundle.folder} answers by texture descriptors, which "
            f"count pixels and mean something else at another size; {way_out}"
        )
    if getattr(bundle.model, "tiles", None) is not None:
        raise UsageError(
            f"--tta scales: {bundle.folder} cuts images into tiles of one size; "
            f"{way_out}"
        )
    import torch

    model: Any = bundle.model
    blank = np.zeros((1, *bundle.preprocessing.size, bundle.preprocessing.channels))
    for view in tta.views:
        pixels = view(blank.astype(np.uint8))
        try:
            with torch.no_grad():
                model(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise UsageError(
                f"--tta scales: the network of {bundle.folder} does not take images "
                f"of {pixels.shape[1]}x{pixels.shape[2]} pixels ({reason[0]}); "
                f"{way_out}"
            ) from error
