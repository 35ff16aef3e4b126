"""Named random streams: every draw is a pure function of (seed, stream, counter).

The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
as 1, 2, 3", SC'11). Nothing has to be stored to resume, and the result cannot
depend on how work is divided among batches, threads or processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = 0x9E3779B9
_WEYL_1 = 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_ROUNDS = 10

Words = Callable[[npt.NDArray[np.uint64], tuple[int, int], int], npt.NDArray[np.uint32]]
_faster: list[Words] = []


def stream_key(seed: int, stream: str) -> tuple[int, int]:
    """Return the 2 x 32-bit Philox key of a named stream under a seed."""
    digest = hashlib.sha256(f"{int(seed)}/{stream}".encode()).digest()
    return (
        int.from_bytes(digest[:4], "little"),
        int.from_bytes(digest[4:8], "little"),
    )


def philox4x32(
    counters: npt.NDArray[np.uint64], key: tuple[int, int]
) -> npt.NDArray[np.uint64]:
    """Apply ten rounds of Philox4x32.

    Args:
        counters: (N, 4) words of 32 bits, held in uint64.
        key: two words of 32 bits.

    Returns:
        (N, 4) words of 32 bits, held in uint64.
    """
    x0, x1, x2, x3 = (counters[:, i].copy() for i in range(4))
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0 = _MULTIPLIER_0 * x0
        product1 = _MULTIPLIER_1 * x2
        x0 = (product1 >> _SHIFT) ^ x1 ^ np.uint64(k0)
        x1 = product1 & _LOW
        x2 = (product0 >> _SHIFT) ^ x3 ^ np.uint64(k1)
        x3 = product0 & _LOW
        k0 = (k0 + _WEYL_0) & 0xFFFFFFFF
        k1 = (k1 + _WEYL_1) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3], axis=1)


def accelerate(words: Words) -> None:
    """Let a compiled function do the work of ``integers32``.

    Args:
        words: given (N,) counters, a Philox key and a count, returns the same
            (N, count) words as ``integers32``, only sooner.
    """
    _faster[:] = [words]


def integers32(
    seed: int, stream: str, counters: npt.ArrayLike, num: int
) -> npt.NDArray[np.uint32]:
    """Draw ``num`` words of 32 bits for each counter.

    Args:
        seed: the run's seed.
        stream: name of the stream, for example ``"strong"``.
        counters: (N,) non-negative integers.
        num: words per counter.

    Returns:
        (N, num) uint32; row i depends on (seed, stream, counters[i]) alone.
    """
    counter = np.asarray(counters, dtype=np.uint64).reshape(-1)
    if _faster:
        return _faster[0](counter, stream_key(seed, stream), num)
    num_blocks = -(-num // 4)
    grid = np.zeros((counter.size, num_blocks, 4), dtype=np.uint64)
    grid[:, :, 0] = (counter & _LOW)[:, None]
    grid[:, :, 1] = (counter >> _SHIFT)[:, None]
    grid[:, :, 2] = np.arange(num_blocks, dtype=np.uint64)[None, :]
    words = philox4x32(grid.reshape(-1, 4), stream_key(seed, stream))
    flat = words.reshape(counter.size, num_blocks * 4)[:, :num]
    return flat.astype(np.uint32)


def uniforms(
    seed: int, stream: str, counters: npt.ArrayLike, num: int
) -> npt.NDArray[np.float64]:
    """Draw ``num`` uniform numbers in [0, 1) for each counter.

    Returns:
        (N, num) float64 with 32 random bits each; row i depends on
        (seed, stream, counters[i]) alone.
    """
    words = integers32(seed, stream, counters, num)
    return words.astype(np.float64) * np.float64(2.0**-32)


def generator(seed: int, stream: str, counter: int = 0) -> np.random.Generator:
    """Return a fresh numpy generator for one (seed, stream, counter)."""
    digest = hashlib.sha256(f"{int(seed)}/{stream}/{int(counter)}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16])))


def permutation(seed: int, stream: str, epoch: int, n: int) -> npt.NDArray[np.int64]:
    """Return the (n,) permutation that a stream uses in one epoch."""
    return generator(seed, stream, epoch).permutation(n).astype(np.int64)
