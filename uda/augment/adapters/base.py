"""What all adapters share: walking a tree of transforms, reading a result back.

An adapter is callable like a user's function, ``adapter(image, generator)``.
"""

from __future__ import annotations

import linecache
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]

# Interpolation and float32 leave a result this far outside 0..1 without fault.
_TOLERANCE = 1e-3


class Misfit(ValueError):
    """A result that is no image of eight bits, and why."""


class Adapter(ABC):
    """One transform of another library.

    Attributes:
        library: top-level module it comes from.
        channels: counts of channels it accepts; a grey image goes to any other
            as three equal channels. In colour it comes back as its luminance, and a
            colour image that comes back grey as three equal channels.
        takes: what the library is given, in words.
        transform: the user's object.
    """

    library: str
    channels: tuple[int, ...] = (1, 3)
    takes: str = "uint8 array (H, W, K)"
    overshoot: float = _TOLERANCE

    def __init__(self, transform: Any) -> None:
        """Wrap a transform; anything done once for all images happens here."""
        self.transform = transform

    def __call__(self, image: UInt8, generator: np.random.Generator) -> UInt8:
        """Return a view of a uint8 (H, W, K) image.

        Args:
            image: (H, W, K) uint8, K in ``channels``.
            generator: the source of everything random. The global generators
                have been seeded for this image already.

        Raises:
            Misfit: the result is no image.
        """
        view = to_uint8(self.view(image, generator), overshoot=self.overshoot)
        return same_channels(view, image.shape[2])

    @abstractmethod
    def view(self, image: UInt8, generator: np.random.Generator) -> object:
        """Convert the image, seed the library, call it; return what it returns."""

    def name_of(self, op: object, line: str) -> str:
        """Name an op whose method was running ``line`` of its source."""
        del line
        return type(op).__name__

    def failing_op(self, error: BaseException) -> str | None:
        """Return the innermost transform at work when an error was raised."""
        name = None
        trace: TracebackType | None = error.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            owner = frame.f_locals.get("self")
            if owner is not None and _is_op(owner, self.library):
                source = linecache.getline(frame.f_code.co_filename, trace.tb_lineno)
                name = self.name_of(owner, source)
            trace = trace.tb_next
        return name


def _is_op(owner: object, library: str) -> bool:
    """Tell transforms from a library's other objects, and from ours."""
    return (
        callable(owner)
        and library_of(owner, {library, "torchvision", "randaugment", "timm"})
        is not None
        and "random_generator" not in type(owner).__module__
    )


def library_of(transform: object, known: Collection[str]) -> str | None:
    """Return which known library an object, or a class it is derived from, is of.

    A plain ``torch.nn`` container belongs to the library of what it holds.
    """
    tops = [cls.__module__.partition(".")[0] for cls in type(transform).__mro__]
    found = next((top for top in tops if top in known), None)
    if found is None and "torch" in tops:
        for part in parts_of(transform):
            if part is not transform:
                found = found or library_of(part, known)
    return found


def parts_of(transform: object) -> Iterator[object]:
    """Yield a transform and all the transforms it is composed of."""
    seen: set[int] = set()
    waiting = [transform]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        waiting.extend(_children(part))


def _children(part: Any) -> list[object]:
    held: Any = getattr(part, "transforms", None)
    if isinstance(held, list | tuple):
        return list(held)
    if isinstance(part, list | tuple):  # an imgaug Sequential is a list
        return list(part)
    if hasattr(part, "children") and hasattr(part, "named_parameters"):
        return list(part.children())
    return []


def to_uint8(result: object, *, overshoot: float = _TOLERANCE) -> UInt8:
    """Return any library's image as uint8 (H, W, K).

    Args:
        result: a Pillow image, a tensor (K, H, W) or (1, K, H, W), or an array
            (H, W) or (H, W, K); of uint8, or of floats in 0..1.
        overshoot: floats this far outside 0..1 are clipped.

    Raises:
        Misfit: the result is something else.
    """
    array = _array(result)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.dtype.kind == "f":
        return _from_floats(array, overshoot)
    if array.dtype != np.uint8:
        raise Misfit(f"returned {array.dtype}; a view is uint8, or floats in 0..1")
    return np.ascontiguousarray(array)


def _array(result: Any) -> npt.NDArray[Any]:
    if isinstance(result, np.ndarray):
        return result
    if hasattr(result, "getbands"):  # a Pillow image
        if result.mode not in ("L", "RGB"):
            raise Misfit(f"returned a Pillow image of mode {result.mode}, not L or RGB")
        return np.asarray(result)
    if hasattr(result, "detach"):  # a tensor
        tensor = result.detach().cpu()
        if tensor.ndim == 4 and len(tensor) == 1:
            tensor = tensor[0]
        if tensor.is_floating_point():
            tensor = tensor.float()
        array: npt.NDArray[Any] = tensor.numpy()
        return array.transpose(1, 2, 0) if array.ndim == 3 else array
    raise Misfit(f"returned {type(result).__name__}; a view is an image")


def _from_floats(array: npt.NDArray[Any], overshoot: float) -> UInt8:
    if not np.isfinite(array).all():
        raise Misfit("returned NaN or infinite values")
    low, high = float(array.min()), float(array.max())
    if low < -overshoot or high > 1 + overshoot:
        raise Misfit(
            f"returned floats from {low:.3g} to {high:.3g}, not 0..1; {_hint(array)}"
        )
    scaled = np.floor(255.0 * np.clip(array, 0.0, 1.0).astype(np.float64) + 0.5)
    return np.ascontiguousarray(scaled.astype(np.uint8))


def _hint(array: npt.NDArray[Any]) -> str:
    """Tell grey levels, perhaps with noise added, from normalised values."""
    low, high = float(array.min()), float(array.max())
    # Normalised values lie within a few standard deviations of 0.
    levels = low >= 0 and high > 1.5
    noisy = (high > 16 or float(np.median(array)) > 2) and low > -high / 2
    if not (levels or noisy):
        return "take out whatever normalises: the network does that itself"
    if low >= 0 and high < 256:
        return "these look like 0..255: return them as uint8"
    return (
        "these look like 0..255 and a little beyond: clip, round and return them as "
        "uint8, np.clip(np.rint(x), 0, 255).astype(np.uint8)"
    )


def same_channels(view: UInt8, channels: int) -> UInt8:
    """Return a view (H, W, K) with its image's ``channels``, 1 or 3.

    Composes often begin by making three equal channels of one, and some ops for
    colour give one channel (torchvision's Grayscale()); grey is a valid colour.
    """
    if (view.shape[2], channels) == (3, 1):
        return to_gray(view)
    if (view.shape[2], channels) == (1, 3):
        return np.repeat(view, 3, axis=2)
    return view


def to_gray(image: UInt8) -> UInt8:
    """Return the luminance (H, W, 1) of a uint8 (H, W, 3) image.

    Pillow's formula (ITU-R BT.601 in 16 bits): equal channels keep their value.
    """
    weighed = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighed + 0x8000) >> 16).astype(np.uint8)[:, :, None]
