"""From image files to log-probabilities: decode in threads, predict block by block.

A file that cannot be decoded is reported with its reason, never replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.data.images import BadImage
from uda.data.preprocessing import Preprocessing
from uda.evaluation.predict import Predictions, predict_pool
from uda.evaluation.tta import NO_TTA, Tta

Progress = Callable[[str, int, int], None]
Uint8 = npt.NDArray[np.uint8]

# A block of a few batches bounds the memory and keeps every thread busy.
BATCHES = 4


@dataclass(frozen=True)
class Block:
    """Answers for some consecutive files.

    Attributes:
        start: index of the block's first file.
        errors: per file, why it could not be decoded, or None.
        predictions: per model name, the answers for the files without error,
            in their order.
    """

    start: int
    errors: list[str | None]
    predictions: dict[str, Predictions]


@dataclass(frozen=True)
class Decoded:
    """Pixels of some consecutive files.

    Attributes:
        start: index of the first file.
        errors: per file, why it could not be decoded, or None.
        ids: (n,) of the files without error.
        images: (n, H, W, K) uint8 of these.
    """

    start: int
    errors: list[str | None]
    ids: list[str]
    images: Uint8


def decode_files(
    files: Sequence[tuple[str, Path]],
    preprocessing: Preprocessing,
    *,
    size: int,
    threads: int = 2,
    progress: Progress | None = None,
) -> Iterator[Decoded]:
    """Decode files in threads, block by block.

    Args:
        files: (id, path) of each image.
        preprocessing: size, channels, mode and so on.
        size: files per block.
        threads: threads that decode.
        progress: called with ("predict", done, total) when a block has been used.

    Yields:
        Blocks that together hold every file once, in order.
    """

    def decode(entry: tuple[str, Path]) -> Uint8 | str:
        try:
            return preprocessing.read(entry[1])
        except BadImage as error:
            return error.reason

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(files), size):
            entries = files[start : start + size]
            decoded = list(pool.map(decode, entries))
            good = [i for i, image in enumerate(decoded) if not isinstance(image, str)]
            yield Decoded(
                start,
                [image if isinstance(image, str) else None for image in decoded],
                [entries[i][0] for i in good],
                _stack([decoded[i] for i in good], preprocessing),
            )
            if progress is not None:
                progress("predict", start + len(entries), len(files))


def predict_files(
    models: Mapping[str, Any],
    files: Sequence[tuple[str, Path]],
    *,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    batch: int = 64,
    threads: int = 2,
    device: str = "cpu",
    progress: Progress | None = None,
    tta: Tta = NO_TTA,
) -> Iterator[Block]:
    """Classify files with one or several models, decoding each file once.

    Args:
        models: by name, for example ``{"ema": ..., "raw": ...}``.
        files: (id, path) of each image.
        classes: (C,) class names of the models.
        preprocessing: what the run stores: size, channels, mode and so on.
        batch: images per forward pass.
        threads: threads that decode.
        device: where the models are.
        progress: called with ("predict", done, total).
        tta: the views of each image whose probabilities are averaged.

    Yields:
        Blocks that together hold every file once, in order.
    """
    blocks = decode_files(
        files,
        preprocessing,
        size=BATCHES * batch,
        threads=threads,
        progress=progress,
    )
    for block in blocks:
        yield Block(
            block.start,
            block.errors,
            {
                name: predict_pool(
                    model,
                    block.images,
                    np.arange(len(block.ids)),
                    ids=block.ids,
                    classes=classes,
                    batch=batch,
                    device=device,
                    tta=tta,
                )
                for name, model in models.items()
            },
        )


def _stack(images: Sequence[Any], preprocessing: Preprocessing) -> Uint8:
    height, width = preprocessing.size
    shape = (len(images), height, width, preprocessing.channels)
    return np.stack(images) if images else np.zeros(shape, dtype=np.uint8)
