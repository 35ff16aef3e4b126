"""Images of many kinds and policies that try everything, for the view tests."""

from __future__ import annotations

import numpy as np

from uda.augment.ops import OPS
from uda.augment.policy import OpSpec, Policy

KINDS = ("noise", "smooth", "constant", "checkerboard", "two-level", "narrow")


def make_images(kind, num, height, width, channels, seed=0):
    """(N, H, W, K) uint8 images of one kind."""
    rng = np.random.default_rng(seed)
    shape = (num, height, width, channels)
    y, x = np.mgrid[:height, :width]
    if kind == "noise":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if kind == "smooth":
        wave = np.sin(
            rng.uniform(0, 0.6, (num, 1, 1, channels)) * (x + 2 * y)[None, :, :, None]
        )
        return (
            (127.5 + 120 * wave + rng.normal(0, 2, shape)).clip(0, 255).astype(np.uint8)
        )
    if kind == "constant":
        return np.broadcast_to(
            rng.integers(0, 256, (num, 1, 1, channels), dtype=np.uint8), shape
        ).copy()
    if kind == "checkerboard":
        board = (255 * ((x + y) % 2)).astype(np.uint8)
        return np.broadcast_to(board[None, :, :, None], shape).copy()
    if kind == "two-level":
        return rng.choice(np.array([3, 200], dtype=np.uint8), shape)
    return rng.integers(90, 120, shape, dtype=np.uint8)


def widest(name):
    """An op over the whole range that the op table allows, continuous."""
    op = OPS[name]
    return OpSpec(name, op.low, op.high) if op.has_magnitude else OpSpec(name)


def everything(count, order="geometry-last", **changes):
    """A policy with every op over its full range and every other feature on."""
    values = {
        "name": "everything",
        "ops": tuple(widest(name) for name in OPS),
        "count": count,
        "hflip": 0.5,
        "vflip": 0.5,
        "crop_pad": 0.25,
        "quarter_turns": True,
        "cutout": 0.4,
        "order": order,
    }
    return Policy(**(values | changes))
