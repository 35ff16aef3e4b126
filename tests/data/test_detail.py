"""Detail: what exposure changes is gone, what all images share can be removed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from uda import rng
from uda.data.detail import (
    LONGEST,
    Frames,
    normalised,
    quantised,
    resized,
    to_size,
    without_common,
    working_scale,
)


def texture(seed: int, shape: tuple[int, int] = (96, 96)) -> np.ndarray:
    noise = rng.generator(seed, "test texture").standard_normal(shape)
    smooth = gaussian_filter(noise, 1.2)
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def test_gain_and_offset_hardly_change_the_detail() -> None:
    image = texture(0)
    darker = np.rint(30 + 0.5 * image.astype(float)).astype(np.uint8)
    one, two = normalised(image), normalised(darker)
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.99
    assert abs(one).mean() == pytest.approx(abs(two).mean(), rel=0.1)


def test_flat_images_have_no_detail() -> None:
    assert not normalised(np.full((40, 40), 77, np.uint8)).any()


def test_frames_give_back_what_they_hold() -> None:
    details = [normalised(texture(i, (30 + i, 40))) for i in range(3)]
    frames = Frames.of([quantised(d) for d in details])
    assert len(frames) == 3
    for i, detail in enumerate(details):
        assert np.abs(frames[i] - np.clip(detail, -4, 4)).max() <= 0.5 / 31 + 0.1
    assert len(Frames.of([])) == 0


def test_one_factor_keeps_the_scale_of_crops() -> None:
    assert working_scale([256, 256, 4000]) == LONGEST / 256
    assert working_scale([96]) == LONGEST / 96
    assert working_scale([64]) == 1.0  # enlarged, blocks agree by chance
    assert resized(texture(0, (100, 60)), 0.5).shape == (50, 30)
    assert resized(texture(0, (10, 3000)), 1.0).shape == (16, 384)
    assert to_size(texture(0), (24, 24)).shape == (24, 24)


def test_a_shared_design_is_removed_and_the_own_texture_stays() -> None:
    design = np.zeros((48, 48), np.float32)
    design[::8] = 3.0
    own = [normalised(texture(i, (48, 48))) for i in range(120)]
    shared = Frames.of([quantised(design + 0.7 * detail) for detail in own])
    cleaned, components = without_common(shared)
    assert components == 1
    before = np.corrcoef(shared[0].ravel(), shared[1].ravel())[0, 1]
    after = np.corrcoef(cleaned[0].ravel(), cleaned[1].ravel())[0, 1]
    assert before > 0.5
    assert abs(after) < 0.2  # chance, in so few pixels
    assert np.corrcoef(cleaned[0].ravel(), own[0].ravel())[0, 1] > 0.8


def test_nothing_is_removed_where_nothing_is_shared() -> None:
    frames = Frames.of(
        [quantised(normalised(texture(i, (48, 48)))) for i in range(120)]
    )
    same, components = without_common(frames)
    assert components == 0
    assert same is frames
