"""Proposals: twins are among them, in the right turn and at the right shift."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tests.data.test_detail import texture
from uda.data import matching
from uda.data.correlation import NUM_TURNS, turned
from uda.data.detail import normalised
from uda.data.matching import (
    Proposals,
    find_keypoints,
    propose_shifted,
    propose_whole,
)


def spots(image: np.ndarray):  # type: ignore[no-untyped-def]
    return find_keypoints(normalised(image), most=80)


@pytest.mark.parametrize("turn", range(NUM_TURNS))
def test_turned_crops_are_proposed_with_turn_and_shift(turn: int) -> None:
    photo = texture(1, (130, 150))
    one, two = photo[:100, :100], photo[22:122, 38:138]
    moved = np.ascontiguousarray(turned(two, turn))
    others = [texture(i, (100, 100)) for i in range(10, 16)]
    found = propose_shifted([spots(x) for x in (one, moved, *others)])
    pair = (found.first == 0) & (found.second == 1)
    best = np.argmax(np.where(pair, found.votes, 0))
    assert pair[best]
    assert found.votes[best] >= 10
    assert found.turn[best] == turn
    back = np.linalg.inv(_matrix(turn)) @ found.shift[best]
    np.testing.assert_allclose(back, (-22, -38), atol=1.0)
    assert found.votes[~pair].max(initial=0) < found.votes[best]


def _matrix(turn: int) -> np.ndarray:
    from uda.data.correlation import turn_matrices

    return turn_matrices()[turn]


def test_descriptors_do_not_depend_on_the_turn() -> None:
    image = texture(2, (90, 90))
    plain = spots(image)
    for turn in range(1, NUM_TURNS):
        other = spots(np.ascontiguousarray(turned(image, turn)))
        similarity = plain.descriptor @ other.descriptor.T
        assert np.mean(similarity.max(axis=1) > 0.95) > 0.8


def test_empty_and_single_images_propose_nothing() -> None:
    flat = spots(np.full((60, 60), 9, np.uint8))
    assert len(flat.turn) == 0
    assert len(propose_shifted([flat, flat]).first) == 0
    assert len(propose_shifted([]).first) == 0
    assert len(propose_shifted([spots(texture(3))]).first) == 0
    assert len(propose_whole(np.zeros((1, 24, 24), np.float32)).first) == 0


def test_whole_images_find_their_copies_in_any_turn() -> None:
    images = [normalised(texture(i, (24, 24)), 3.0) for i in range(20)]
    images[13] = np.ascontiguousarray(turned(images[2], 5))
    found = propose_whole(np.stack(images), neighbors=2)
    assert (found.first < found.second).all()
    row = np.flatnonzero((found.first == 2) & (found.second == 13))
    assert 5 in found.turn[row]


def test_whole_images_are_compared_within_a_bounded_memory(monkeypatch) -> None:
    """Block by block, with the same proposals, and nothing of a block is kept."""
    noise = np.random.default_rng(0).standard_normal((2000, 8, 8))
    images = noise.astype(np.float32)

    def peak() -> tuple[Proposals, int]:
        tracemalloc.start()
        try:
            return propose_whole(images), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    whole, much = peak()
    monkeypatch.setattr(matching, "_BYTES_AT_ONCE", 4_000_000)
    blocks, little = peak()
    assert little < 4_000_000 + 6 * images.nbytes < much / 2
    for one, other in zip(whole, blocks, strict=True):
        np.testing.assert_array_equal(one, other)


def test_proposals_do_not_depend_on_chance() -> None:
    all_spots = [spots(texture(i % 4, (80, 80))) for i in range(8)]
    one, two = propose_shifted(all_spots, seed=3), propose_shifted(all_spots, seed=3)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
