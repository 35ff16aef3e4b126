"""One conformance test for every policy: what the training relies on.

Users run it on their own file before they train with it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from uda.augment.kernels import render
from uda.augment.policy import Policy, PythonPolicy
from uda.errors import DataError

UInt8 = npt.NDArray[np.uint8]

_SHAPES = ((16, 16), (12, 20), (1, 1), (1, 9), (3, 2))
_NUM = 8


def check_policy(policy: Policy | PythonPolicy) -> None:
    """Hold a policy to its contract, on grey and colour images of odd kinds.

    Views keep shape and dtype; the same seed, stream and counter give the same
    pixels; the division into batches changes nothing; the input stays as it was;
    noise, constant, checkerboard, non-square and 1 x 1 px images pass, without a
    division by zero or a NaN on the way.

    Args:
        policy: native or Python.

    Raises:
        DataError: the first thing that fails, naming the policy and the image.
    """
    where = str(policy.path or policy.name)
    for channels in (1, 3):
        for height, width in _SHAPES:
            for kind, images in _probes(height, width, channels).items():
                about = f"{where}: on {kind} images of {height}x{width}x{channels}"
                # A NaN cast to uint8 differs from one machine to the next.
                with np.errstate(divide="raise", invalid="raise"):
                    _check_images(policy, images, about)


def _probes(height: int, width: int, channels: int) -> dict[str, UInt8]:
    """Images (N, H, W, K) of each kind, alike in shape."""
    shape = (_NUM, height, width, channels)
    y, x = np.mgrid[:height, :width]
    board = (255 * ((x + y) % 2)).astype(np.uint8)[None, :, :, None]
    return {
        "random": np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8),
        "black": np.zeros(shape, dtype=np.uint8),
        "white": np.full(shape, 255, dtype=np.uint8),
        "checkerboard": np.broadcast_to(board, shape).copy(),
    }


def _check_images(policy: Policy | PythonPolicy, images: UInt8, about: str) -> None:
    before = images.copy()
    views = _views(policy, images, 0, _NUM)
    if not np.array_equal(images, before):
        raise DataError(f"{about}: the policy changed its input")
    if not np.array_equal(views, _views(policy, images, 0, _NUM)):
        raise DataError(
            f"{about}: two calls with the same seed differ; draw every random "
            "number from the generator that augment gets"
        )
    halves = [
        _views(policy, images, *rows) for rows in ((_NUM // 2, _NUM), (0, _NUM // 2))
    ]
    if not np.array_equal(views, np.concatenate(halves[::-1])):
        raise DataError(
            f"{about}: views depend on how images are divided into batches; keep "
            "no state between calls"
        )


def _views(
    policy: Policy | PythonPolicy, images: UInt8, start: int, stop: int
) -> UInt8:
    fill = np.full(images.shape[3], 117, dtype=np.uint8)
    return render(
        policy,
        images[start:stop],
        seed=0,
        stream="check",
        counters=np.arange(start, stop),
        fill=fill,
    )
