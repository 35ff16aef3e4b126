"""At how many pixels texture is read."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from uda.training.config import build_config
from uda.training.detail import detail_size, reads_texture, usual_side
from uda.training.prepare import build_parts, find_split


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((64, 64), 200, (192, 192)),
        ((64, 64), 100, (100, 100)),
        ((64, 64), 64, None),
        ((64, 64), 20, None),
        ((64, 96), 4000, (128, 192)),
        ((224, 224), 4000, None),
    ],
)
def test_as_many_pixels_as_the_files_have_and_192_at_most(size, side, expected):
    assert detail_size(size, side) == expected


def test_the_usual_side_passes_over_files_that_are_no_images(tmp_path):
    records = []
    for number, side in enumerate([30, 50, 70, 90, 110]):
        path = tmp_path / f"{number}.png"
        Image.new("L", (side, side // 2)).save(path)
        records.append(SimpleNamespace(file=path))
    assert usual_side(records) == 70
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert usual_side([SimpleNamespace(file=tmp_path / "bad.png")]) == 0


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, True),
        ({"consistency.texture_weight": 0.0}, True),  # for the warm start
        ({"consistency.texture_weight": 0.0, "model.pretrain_steps": 0}, False),
        ({"method": "supervised"}, False),
        ({"method": "supervised", "model.pretrain_steps": 5}, True),
        ({"method": "texture"}, False),
    ],
)
def test_who_reads_texture(keys, expected):
    assert reads_texture(build_config(keys)) == expected


def test_a_run_of_small_images_reads_texture_from_larger_ones(tmp_path):
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(8):
            pixels = draw.integers(0, 256, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    keys = {
        "data.root": str(tmp_path / "data"), "data.size": (16, 16),
        "data.cache": str(tmp_path / "cache"), "data.group": "none",
    }  # fmt: skip
    config = build_config(keys)
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    assert parts.pool.images.shape[1:3] == (16, 16)
    assert parts.texture_pool.images.shape[1:3] == (40, 40)
    assert parts.texture_pool.records == parts.pool.records
    off = build_config({**keys, "method": "supervised"})
    assert build_parts(off, catalog, split).detail is None
