"""Which images might belong together: proposals from local and whole-image likeness.

Cheap and generous; ``uda.data.correlation`` then looks at each proposal closely.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from uda import rng
from uda.data.correlation import NUM_TURNS, turn_matrices, turned
from uda.data.detail import Float32, Float64, Int64

# A patch of 24 x 24 pixels around a keypoint, described by 8 x 8 samples of it.
_PATCH = 24
_GRID = 8
# Symmetric about the centre, so that a mirrored patch has mirrored samples.
_REACH = np.array([-10, -7, -4, -1, 1, 4, 7, 10])
_SMOOTHING = 1.2
_SPACING = 5
_MARGIN = 4

_LEAF = 200
_TREES = 4
_NEIGHBORS = 3
_SIMILAR = 0.8

# Two matches of one pair that agree on the turn and, to this many pixels, on the
# shift: unrelated images reach that by chance, but seldom.
_CELL = 12
_MIN_VOTES = 2
_PER_IMAGE = 30

_COMPONENTS = 64
# Whole images are compared block by block, with as many rows as fit this memory; what
# a pair of a block takes was measured.
_ROWS_AT_ONCE, _BYTES_AT_ONCE, _BYTES_PER_PAIR = 512, 200_000_000, 30


class Keypoints(NamedTuple):
    """Striking spots of one image.

    Attributes:
        position: (P, 2) y, x in pixels from the image's centre.
        turn: (P,) which turn brings the patch into its canonical pose.
        descriptor: (P, 64) the patch in that pose, zero mean and unit length.
    """

    position: Float32
    turn: Int64
    descriptor: Float32


class Proposals(NamedTuple):
    """M pairs worth a closer look; ``first < second``.

    Attributes:
        first: (M,) image numbers.
        second: (M,) image numbers.
        turn: (M,) turn of the first image that lays it on the second.
        shift: (M, 2) shift of the turned first image's centre, in pixels.
        votes: (M,) number of agreeing matches.
    """

    first: Int64
    second: Int64
    turn: Int64
    shift: Float64
    votes: Int64

    def take(self, rows: npt.NDArray[np.generic]) -> Proposals:
        """Return the chosen rows."""
        return Proposals(*(column[rows] for column in self))


def find_keypoints(detail: Float32, *, most: int) -> Keypoints:
    """Describe an image's most striking spots, whatever its turn or mirroring.

    The pose comes from the patch's first moments: of the eight turns the one that
    makes the vertical moment positive and larger than the horizontal one, also
    positive. So a turned copy has the same descriptors.

    Args:
        detail: (H, W) normalised image.
        most: how many spots at most.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    strength = np.abs(gaussian_filter(detail, 1.5))
    peaks = strength == maximum_filter(strength, _SPACING)
    inner = np.zeros_like(peaks)
    inner[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = True
    y, x = np.nonzero(peaks & inner & (strength > 0))
    if len(y) > most:
        # Stable order: equal strengths must not depend on the machine.
        strongest = np.argsort(-strength[y, x], kind="stable")[:most]
        y, x = y[strongest], x[strongest]
    smooth = np.pad(gaussian_filter(detail, _SMOOTHING), _PATCH // 2)
    reach = _REACH + _PATCH // 2
    patches = smooth[
        y[:, None, None] + reach[None, :, None], x[:, None, None] + reach[None, None, :]
    ]
    patches -= patches.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((patches**2).sum(axis=(1, 2)))
    kept = length > 1e-3
    patches = patches[kept] / length[kept, None, None]
    canonical, turn = _canonical(patches)
    middle = (np.array(detail.shape) - 1) / 2
    position = np.stack([y[kept], x[kept]], axis=1) - middle
    return Keypoints(position.astype(np.float32), turn, canonical)


def _canonical(patches: Float32) -> tuple[Float32, Int64]:
    axis = np.arange(_GRID) - (_GRID - 1) / 2
    moment_y = (patches * axis[None, :, None]).sum(axis=(1, 2))
    moment_x = (patches * axis[None, None, :]).sum(axis=(1, 2))
    swap = np.abs(moment_x) > np.abs(moment_y)
    flip_y = np.where(swap, moment_x, moment_y) < 0
    flip_x = np.where(swap, moment_y, moment_x) < 0
    pose = np.where(swap[:, None, None], patches.transpose(0, 2, 1), patches)
    pose = np.where(flip_y[:, None, None], pose[:, ::-1], pose)
    pose = np.where(flip_x[:, None, None], pose[:, :, ::-1], pose)
    turn = 4 * swap + 2 * flip_y + flip_x
    flat = pose.reshape(len(pose), _GRID * _GRID)
    return np.ascontiguousarray(flat, np.float32), turn.astype(np.int64)


def propose_shifted(keypoints: list[Keypoints], *, seed: int = 0) -> Proposals:
    """Propose pairs whose matching spots agree on one turn and shift."""
    images = np.repeat(np.arange(len(keypoints)), [len(k.turn) for k in keypoints])
    if len(images) < 2:
        return _none()
    position = np.concatenate([k.position for k in keypoints])
    turn = np.concatenate([k.turn for k in keypoints])
    descriptors = np.concatenate([k.descriptor for k in keypoints])
    one, two = _match(descriptors, images, seed=seed)
    relative = _RELATIVE[turn[two], turn[one]]
    matrices = turn_matrices().astype(np.float32)
    moved = np.einsum("nij,nj->ni", matrices[relative], position[one])
    shift = (position[two] - moved).astype(np.float64)
    found = _vote(images[one], images[two], relative, shift)
    most = _PER_IMAGE * len(keypoints)
    if len(found.votes) > most:
        best = np.argsort(-found.votes, kind="stable")[:most]
        found = found.take(np.sort(best))
    return found


def _relative_turns() -> Int64:
    """(8, 8): turn that takes a patch with canonical turn [, b] to one with [a, ]."""
    matrices = turn_matrices()
    wanted = np.einsum("aji,bjk->abik", matrices, matrices)  # inverse = transpose
    distance = np.abs(wanted[:, :, None] - matrices).sum(axis=(3, 4))
    return np.asarray(distance.argmin(axis=2), np.int64)


_RELATIVE = _relative_turns()


def _match(descriptors: Float32, images: Int64, *, seed: int) -> tuple[Int64, Int64]:
    """Pair each descriptor with its nearest of other images, approximately.

    Random projections halve the set until a leaf holds few enough to compare all
    with all; four such trees. Time grows as N log N.
    """
    count = len(descriptors)
    keys = []
    for tree in range(_TREES):
        generator = rng.generator(seed, "descriptor trees", tree)
        for leaf in _leaves(descriptors, generator):
            keys.append(_pairs_in_leaf(descriptors, images, leaf))
    merged = np.unique(np.concatenate(keys))
    one, two = merged // count, merged % count
    return one, two


def _leaves(descriptors: Float32, generator: np.random.Generator) -> list[Int64]:
    pending, done = [np.arange(len(descriptors))], []
    while pending:
        rows = pending.pop()
        if len(rows) <= _LEAF:
            done.append(rows)
            continue
        normal = generator.standard_normal(descriptors.shape[1])
        direction = np.asarray(normal, np.float32)
        order = np.argsort(descriptors[rows] @ direction, kind="stable")
        half = len(rows) // 2
        pending += [rows[order[:half]], rows[order[half:]]]
    return done


def _pairs_in_leaf(descriptors: Float32, images: Int64, rows: Int64) -> Int64:
    rows = np.sort(rows)
    block = descriptors[rows]
    similarity = block @ block.T
    owner = images[rows]
    similarity[owner[:, None] == owner[None, :]] = -1
    keep = min(_NEIGHBORS, len(rows) - 1)
    if keep < 1:
        return np.zeros(0, np.int64)
    near = np.argpartition(-similarity, keep - 1, axis=1)[:, :keep]
    close = np.take_along_axis(similarity, near, axis=1) > _SIMILAR
    i, k = np.nonzero(close)
    one, two = rows[i], rows[near[i, k]]
    low, high = np.minimum(one, two), np.maximum(one, two)
    return np.asarray(low * len(descriptors) + high, np.int64)


def _vote(first: Int64, second: Int64, turn: Int64, shift: Float64) -> Proposals:
    """Count agreeing matches in four grids of cells, offset by half a cell."""
    count = int(second.max(initial=0)) + 1
    pair = (first * count + second) * NUM_TURNS + turn
    pairs, shifts, votes = [], [], []
    for offset in ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)):
        cell = np.floor(shift / _CELL + offset).astype(np.int64) + 128
        key = (pair * 256 + cell[:, 0]) * 256 + cell[:, 1]
        unique, inverse, number = np.unique(
            key, return_inverse=True, return_counts=True
        )
        mean = [np.bincount(inverse, shift[:, axis]) / number for axis in (0, 1)]
        enough = number >= _MIN_VOTES
        pairs.append(unique[enough] // 65536)
        shifts.append(np.stack(mean, axis=1)[enough])
        votes.append(number[enough])
    every = np.concatenate(pairs)
    order = np.lexsort((-np.concatenate(votes), every))
    every, strongest = np.unique(every[order], return_index=True)
    best = order[strongest]
    both = every // NUM_TURNS
    return Proposals(
        both // count,
        both % count,
        every % NUM_TURNS,
        np.concatenate(shifts)[best],
        np.concatenate(votes)[best].astype(np.int64),
    )


def propose_whole(thumbnails: Float32, *, neighbors: int = 5) -> Proposals:
    """Propose for each image the most alike ones as a whole, in any turn.

    Compares all with all: time grows with the square of N.

    Args:
        thumbnails: (N, S, S) normalised small images, squashed to a square.
        neighbors: how many for each image.
    """
    count = len(thumbnails)
    neighbors = min(neighbors, count - 1)
    if neighbors < 1:
        return _none()
    compress = _Compression(thumbnails)
    plain = compress(thumbnails)
    others, turns = [], []
    rows = max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // (_BYTES_PER_PAIR * count)))
    for start in range(0, count, rows):
        chunk = thumbnails[start : start + rows]
        best = np.full((len(chunk), count), -2, np.float32)
        which = np.zeros((len(chunk), count), np.int8)
        for turn in range(NUM_TURNS):
            similarity = compress(_turned_stack(chunk, turn)) @ plain.T
            better = similarity > best
            best[better] = similarity[better]
            which[better] = turn
        best[np.arange(len(chunk)), start + np.arange(len(chunk))] = -2
        near = np.argpartition(-best, neighbors - 1, axis=1)[:, :neighbors]
        others.append(near.copy())  # else its whole block stays in memory
        turns.append(np.take_along_axis(which, near, axis=1))
    return _ordered(np.concatenate(others), np.concatenate(turns).astype(np.int64))


def _turned_stack(images: Float32, turn: int) -> Float32:
    stack = turned(images.transpose(1, 2, 0), turn).transpose(2, 0, 1)
    return np.asarray(stack, np.float32)


class _Compression:
    """Project thumbnails on their principal directions, unit length."""

    def __init__(self, thumbnails: Float32) -> None:
        flat = thumbnails.reshape(len(thumbnails), -1)
        self.mean = flat.mean(axis=0)
        centred = flat - self.mean
        _, vectors = np.linalg.eigh(centred.T @ centred)
        self.basis = np.ascontiguousarray(vectors[:, -_COMPONENTS:])

    def __call__(self, images: Float32) -> Float32:
        reduced = (images.reshape(len(images), -1) - self.mean) @ self.basis
        length = np.linalg.norm(reduced, axis=1, keepdims=True)
        return np.asarray(reduced / np.maximum(length, 1e-6), np.float32)


def _ordered(others: Int64, turns: Int64) -> Proposals:
    """Bring (N, k) neighbours into the order first < second, each pair once."""
    count, neighbors = others.shape
    first = np.repeat(np.arange(count), neighbors)
    second, turn = others.reshape(-1), turns.reshape(-1)
    backwards = first > second
    turn = np.where(backwards, _RELATIVE[turn, 0], turn)  # the inverse turn
    low, high = np.minimum(first, second), np.maximum(first, second)
    key = (low * count + high) * NUM_TURNS + turn
    unique = np.unique(key)
    both = unique // NUM_TURNS
    zeros = np.zeros((len(unique), 2))
    ones = np.ones(len(unique), np.int64)
    return Proposals(both // count, both % count, unique % NUM_TURNS, zeros, ones)


def _none() -> Proposals:
    empty = np.zeros(0, np.int64)
    return Proposals(empty, empty, empty, np.zeros((0, 2)), empty)
