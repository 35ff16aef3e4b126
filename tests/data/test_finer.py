"""At how many pixels texture is read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PIL import Image

from uda.data.finer import detail_size, usual_side


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
