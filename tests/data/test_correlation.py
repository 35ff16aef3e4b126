"""Correlation by blocks against numpy, turns against numpy's own."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.data.test_detail import texture
from uda.data.correlation import (
    BLOCK,
    NUM_TURNS,
    TURN_NAMES,
    score_pairs,
    turn_matrices,
    turned,
)
from uda.data.detail import Frames, normalised, quantised


def score(frames: Frames, turn: int = 0, shift: tuple[float, float] = (0, 0)):  # type: ignore[no-untyped-def]
    pair = (np.zeros(1, np.int64), np.ones(1, np.int64))
    return score_pairs(
        frames, pair, turns=np.array([turn]), shifts=np.array([shift], float)
    )


def frames_of(*images: np.ndarray) -> Frames:
    return Frames.of([quantised(normalised(image)) for image in images])


def test_the_eight_turns_are_those_of_the_square() -> None:
    image = np.arange(6).reshape(2, 3)
    expected = [
        image, image[:, ::-1], image[::-1], np.rot90(image, 2),
        image.T, np.rot90(image, 1)[::-1, ::-1], np.rot90(image, 1),
        np.rot90(image, 2).T,
    ]  # fmt: skip
    # 5: transpose, then left-right = a quarter clockwise; 6: counterclockwise.
    expected[5] = np.rot90(image, -1)
    for turn in range(NUM_TURNS):
        np.testing.assert_array_equal(turned(image, turn), expected[turn])
    assert TURN_NAMES[3] == "turned by 180°"
    assert len({turned(image, t).tobytes() + bytes(turned(image, t).shape)
                for t in range(NUM_TURNS)}) == NUM_TURNS  # fmt: skip


@pytest.mark.parametrize("turn", range(NUM_TURNS))
def test_matrices_move_positions_as_turned_moves_pixels(turn: int) -> None:
    image = np.zeros((7, 7), int)
    image[1, 2] = 1
    y, x = np.argwhere(turned(image, turn))[0] - 3
    moved = turn_matrices()[turn] @ (np.array([1, 2]) - 3)
    assert (y, x) == tuple(moved)


@pytest.mark.parametrize("turn", range(NUM_TURNS))
def test_a_turned_copy_correlates_perfectly(turn: int) -> None:
    image = texture(1, (80, 96))
    found = score(frames_of(image, np.ascontiguousarray(turned(image, turn))), turn)
    assert found.score[0] == pytest.approx(1.0, abs=0.02)
    assert found.overlap[0] == 1.0
    assert found.blocks[0] == (80 // BLOCK) * (96 // BLOCK)


def test_shift_is_refined_and_the_overlap_counted() -> None:
    photo = texture(2, (140, 160))
    one, two = photo[:96, :96], photo[30:126, 41:137]
    found = score(frames_of(one, two), shift=(-28.0, -43.0))
    assert found.shift[0].tolist() == [-30, -41]
    assert found.overlap[0] == pytest.approx(66 * 55 / 96**2)
    assert found.score[0] > 0.9


def test_score_is_the_median_of_plain_correlations() -> None:
    """An image against itself plus noise: block by block with numpy."""
    one = texture(3, (64, 64))
    noisy = one + rng_noise(one.shape, 35)
    frames = frames_of(one, np.clip(noisy, 0, 255).astype(np.uint8))
    expected = []
    for y in range(0, 64, BLOCK):
        for x in range(0, 64, BLOCK):
            best = -1.0
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    inside = 0 <= y + dy <= 48 and 0 <= x + dx <= 48
                    if inside:
                        a = centred(frames[0][y : y + 16, x : x + 16])
                        b = centred(
                            frames[1][y + dy : y + dy + 16, x + dx : x + dx + 16]
                        )
                        best = max(
                            best,
                            float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())),
                        )
            expected.append(best)
    got = score(frames).score[0]
    assert min(expected) <= got <= max(expected)
    assert got == pytest.approx(np.median(expected), abs=0.05)


def rng_noise(shape: tuple[int, ...], sigma: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, sigma, shape)


def centred(block: np.ndarray) -> np.ndarray:
    block = block - block.mean(axis=1, keepdims=True)
    return block - block.mean(axis=0, keepdims=True)


def test_a_shared_straight_line_is_no_proof() -> None:
    one, two = texture(4).astype(int), texture(5).astype(int)
    for image in (one, two):
        image[:, 40:46] = 255
    found = score(frames_of(one.astype(np.uint8), two.astype(np.uint8)))
    assert found.score[0] < 0.35


def test_too_little_overlap_has_no_score() -> None:
    frames = frames_of(texture(6), texture(6))
    assert score(frames, shift=(90.0, 90.0)).score[0] == -1.0
    small = frames_of(texture(7, (20, 20)), texture(7, (20, 20)))
    assert score(small).score[0] == -1.0  # fewer than four blocks prove nothing


def test_an_installation_that_takes_no_file_compares_all_the_same(tmp_path):
    """Read-only, and no home to write to: numba then finds no place for its cache."""
    (tmp_path / "file").write_text("")
    code = """if True:
        from numba.core import caching
        kept = caching.CacheImpl._locator_classes[:1]  # the user's CACHE_DIR
        caching.CacheImpl._locator_classes = kept
        import numba, uda.data.correlation
        assert numba.config.CACHE_DIR == ''
        print(uda.data.correlation._weighted_median.py_func.__name__)
    """
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "file")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "_weighted_median", done.stderr


def test_what_is_compiled_is_kept_in_the_users_folder(tmp_path):
    code = """if True:
        import numpy as np
        from uda.data.correlation import _weighted_median
        _weighted_median(np.ones(9, np.float32), np.ones(9, np.float32), 9)
    """
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert [*tmp_path.rglob("correlation._weighted_median*.nbi")]
