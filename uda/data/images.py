"""One image file -> uint8 array: every mode scaled, never cut; hostile files named.

Resizing letterboxes or squashes and never crops: a defect at the edge counts.
"""

from __future__ import annotations

import errno
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from uda.data.table import shown
from uda.errors import DataError

Uint8 = npt.NDArray[np.uint8]
Range = tuple[float, float]

# Few decoders, each well fuzzed: a hostile file cannot pick an exotic one. The
# content decides, so a PNG named .jpg is read as what it is.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM")
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
)
# Largest image that is decoded, in pixels: below Pillow's own limit (89 million),
# so that this package's message comes first.
MAX_PIXELS = 80_000_000
# What shows through a transparent pixel: the middle, neither dark nor bright spot.
BACKGROUND = 128
DEEP_RANGES: dict[str, Range] = {
    "I;16": (0.0, 65535.0),
    "I;16L": (0.0, 65535.0),
    "I;16B": (0.0, 65535.0),
    "I;16N": (0.0, 65535.0),
    "I": (0.0, 65535.0),
    "F": (0.0, 1.0),
}
_BITS = {"1": 1, "I": 32, "F": 32, "I;16": 16, "I;16L": 16, "I;16B": 16, "I;16N": 16}
_GREY_MODES = frozenset(("1", "L", "LA", "La", *DEEP_RANGES))
_TURNED = frozenset((5, 6, 7, 8))  # EXIF orientations that swap the sides
# What goes wrong with this computer, and says nothing of the file.
_TROUBLE = frozenset(
    (
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN),
        # a share that went away
        *(errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ENOTCONN, errno.ENETDOWN, errno.ENETUNREACH, errno.ENODEV),
    )
)
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258

# Not inside a `catch_warnings`, which is not safe in threads: from the first import
# on, a decompression bomb is an exception of its own.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class BadImage(DataError):
    """A file that cannot be used as an image; ``reason`` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True)
class ImageInfo:
    """What a file's header says: size in pixels as seen, Pillow mode, bits."""

    width: int
    height: int
    mode: str
    bits: int


def probe(path: Path) -> ImageInfo:
    """Read an image's header.

    Returns:
        Width and height after EXIF rotation, Pillow's mode, bits per channel.

    Raises:
        BadImage: for a file that is no image of a known format, or too large.
    """
    with _opened(path) as image:
        width, height = image.size
        # Pillow gives the size of a TIFF as seen already
        if image.format != "TIFF" and _orientation(image) in _TURNED:
            width, height = height, width
        return ImageInfo(width, height, image.mode, _BITS.get(image.mode, 8))


def read_image(
    path: Path, *, channels: Literal[1, 3], value_range: Range | None = None
) -> Uint8:
    """Decode an image; of several frames or pages, the first.

    Args:
        path: the file.
        channels: 1 for grey (ITU-R 601 luma of a colour image), 3 for RGB.
        value_range: (low, high) of the data set's values that become 0 and 255, for
            images deeper than 8 bits; values beyond saturate. None: the full range
            of 16 bits, or 0 to 1 for floating point. 8-bit images ignore it.

    Returns:
        (H, W, channels) uint8, EXIF rotation applied, transparency laid on middle
        grey (128).

    Raises:
        BadImage: truncated, empty, hostile or otherwise unreadable files, values
            that are not finite or lie outside of the default range.
    """
    with _opened(path) as image:
        image.load()
        upright = _upright(image)
        if upright.mode in DEEP_RANGES:
            grey = _scaled(path, upright, value_range)
            return np.repeat(grey[:, :, None], channels, axis=2)
        flat = _flattened(upright).convert("L" if channels == 1 else "RGB")
        array = np.asarray(flat, dtype=np.uint8)
    return np.array(array.reshape(array.shape[0], array.shape[1], channels))


def value_span(path: Path) -> Range | None:
    """Return (lowest, highest) value of an image deeper than 8 bits, else None.

    Raises:
        BadImage: as ``read_image``.
    """
    with _opened(path) as image:
        if image.mode not in DEEP_RANGES:
            return None
        image.load()
        values = _finite(path, np.asarray(image))
    return float(values.min()), float(values.max())


def has_grey_mode(path: Path) -> bool:
    """Tell from an image's header alone that it can hold no colour.

    Raises:
        BadImage: as ``probe``.
    """
    with _opened(path) as image:
        return image.mode in _GREY_MODES


def is_grey(path: Path) -> bool:
    """Tell whether an image has no colour: one channel, or all channels equal.

    Raises:
        BadImage: as ``read_image``.
    """
    if has_grey_mode(path):
        return True
    pixels = read_image(path, channels=3)
    return bool((pixels == pixels[:, :, :1]).all())


def letterbox_box(
    shape: tuple[int, int], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return where an image lands in a letterbox: (top, left, height, width).

    Args:
        shape: (H, W) of the image in pixels.
        size: (H, W) of the letterbox in pixels.
    """
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height = min(size[0], max(1, round(shape[0] * scale)))
    width = min(size[1], max(1, round(shape[1] * scale)))
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def fit(
    image: Uint8,
    size: tuple[int, int],
    *,
    mode: Literal["letterbox", "squash"] = "letterbox",
    fill: Sequence[int] = (0,),
) -> Uint8:
    """Resize an image to a size without losing any of it.

    Args:
        image: (H, W, K) uint8, K in {1, 3}.
        size: (H, W) of the result in pixels.
        mode: ``letterbox`` keeps the aspect ratio to within a pixel and pads with
            ``fill``; ``squash`` stretches each side to fit.
        fill: one value, or one per channel.

    Returns:
        (*size, K) uint8. Shrinking averages over the covered pixels (antialiased
        triangle filter), so that thin lines fade rather than vanish.

    Raises:
        ValueError: for an unknown mode or a size below one pixel.
    """
    if mode not in ("letterbox", "squash"):
        raise ValueError(f"mode must be 'letterbox' or 'squash', not {mode!r}")
    if min(size) < 1:
        raise ValueError(f"size must be at least 1 x 1 pixel, not {size}")
    if mode == "squash":
        return _resized(image, size)
    top, left, height, width = letterbox_box((image.shape[0], image.shape[1]), size)
    content = _resized(image, (height, width))
    if (height, width) == tuple(size):
        return content
    canvas = np.empty((*size, image.shape[2]), dtype=np.uint8)
    canvas[:] = np.asarray(fill, dtype=np.uint8)
    canvas[top : top + height, left : left + width] = content
    return canvas


def _resized(image: Uint8, size: tuple[int, int]) -> Uint8:
    if image.shape[:2] == tuple(size):
        return image
    grey = image.shape[2] == 1
    source = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if grey else image))
    resized = source.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(resized, dtype=np.uint8).reshape(*size, image.shape[2])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; what goes wrong with it inside the block becomes a BadImage.

    Trouble of the computer, as a lack of memory, is another DataError: a whole image
    would be left out, and a pool would remember that.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise BadImage(path, "not a regular file; remove it from the data")
        if status.st_size == 0:
            raise BadImage(path, "the file is empty (0 bytes); copy it again")
        with Image.open(path, formats=FORMATS) as image:
            _check_size(path, image)
            _check_depth(path, image)
            yield image
    except DataError:
        raise
    except Exception as error:  # decoders raise anything for a hostile file
        raise _fault(path, error) from error


def _fault(path: Path, error: Exception) -> DataError:
    """Return what an exception of a decoder says of its file."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return BadImage(path, _too_large())
    if isinstance(error, UnidentifiedImageError):
        known = ", ".join(name.lower() for name in FORMATS)
        return BadImage(path, f"not an image ({known}); remove or convert it")
    if isinstance(error, FileNotFoundError):
        return BadImage(path, "the file is missing; restore it or scan again")
    trouble = "no memory is left" if isinstance(error, MemoryError) else ""
    if isinstance(error, OSError) and error.errno in _TROUBLE:
        trouble = error.strerror or str(error)
    if trouble:
        return DataError(
            f"{shown(path)}: cannot be read now ({trouble}), which says nothing of the "
            "image; mend that and run again"
        )
    return BadImage(
        path, f"cannot be decoded ({shown(str(error) or type(error).__name__)})"
    )


def _too_large() -> str:
    return (
        f"more than {MAX_PIXELS:,} pixels, or a decompression bomb; cut the image "
        "into tiles or scale it down"
    )


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(path, _too_large())
    if min(image.size) < 1:
        raise BadImage(path, "the image has no pixels")


def _check_depth(path: Path, image: Image.Image) -> None:
    """Refuse colour of 16 bits, of which Pillow would drop the lower 8."""
    if image.mode in DEEP_RANGES:
        return
    if isinstance(image, TiffImageFile):
        deep = max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8
    else:
        raw = [tile.args for tile in getattr(image, "tile", [])]
        deep = any(_is_deep(image.format, args) for args in raw)
    if deep:
        raise BadImage(
            path,
            "more than 8 bits per channel, and more than one channel: only the upper 8 "
            "bits could be read; convert all files alike, to 8 bits or to grey",
        )


def _is_deep(kind: str | None, args: object) -> bool:
    """Tell from what Pillow's decoder is told whether there are more than 8 bits."""
    if kind == "PNG":
        return str(args).endswith(";16B")
    # (raw mode, largest value), of which it keeps 8 bits
    return kind == "PPM" and isinstance(args, tuple) and int(args[-1]) > 255


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) when the block is broken."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) not in range(2, 9):
        return image
    return ImageOps.exif_transpose(image)


def _flattened(image: Image.Image) -> Image.Image:
    """Lay transparency on middle grey; leave opaque images as they are."""
    if not image.has_transparency_data:
        return image
    clear = image.convert("RGBA")
    ground = Image.new("RGBA", clear.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
    return Image.alpha_composite(ground, clear).convert("RGB")


def _finite(path: Path, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise BadImage(path, "holds values that are not finite (NaN or infinity)")
    return numbers


def _scaled(path: Path, image: Image.Image, value_range: Range | None) -> Uint8:
    """Map (low, high) linearly to 0..255, rounding half to even."""
    values = _finite(path, np.asarray(image))
    low, high = value_range or DEEP_RANGES[image.mode]
    if value_range is None and (values.min() < low or values.max() > high):
        raise BadImage(
            path,
            f"values {values.min():g} to {values.max():g} lie outside {low:g} to "
            f"{high:g}; give the value range of the data set",
        )
    if not high > low:
        raise DataError(f"value range {low:g} to {high:g}: the end must be larger")
    unit = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.rint(unit * 255.0).astype(np.uint8)
