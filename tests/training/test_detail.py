"""Who reads texture, and at how many pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from uda.training.configure import build_config
from uda.training.detail import reads_texture
from uda.training.prepare import build_parts
from uda.training.split import find_split


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
