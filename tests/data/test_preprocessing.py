"""Preprocessing: one file to one row, and what is found out about a data set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from uda.data.images import fit, is_grey
from uda.data.preprocessing import (
    Preprocessing,
    check_request,
    content_box,
    detect_channels,
    detect_value_range,
    evenly,
)
from uda.errors import DataError

PLAIN = Preprocessing(
    (8, 12), 3, "letterbox", (10.0, 900.0), (0.25, 0.5, 0.75), (0.1, 0.2, 0.3)
)


def test_json_round_trip():
    text = json.dumps(PLAIN.to_json())
    assert Preprocessing.from_json(json.loads(text)) == PLAIN
    assert PLAIN.fill == (64, 128, 191)


@pytest.mark.parametrize(
    "damage",
    [
        {"size": [8]},
        {"size": None},
        {"mean": ["a"]},
        {"mode": "crop"},
        {"channels": 4},
        {"value_range": [1]},
    ],
)
def test_damaged_json_is_a_data_error(damage):
    with pytest.raises(DataError, match="stored preprocessing"):
        Preprocessing.from_json(PLAIN.to_json() | damage)
    with pytest.raises(DataError):
        Preprocessing.from_json(None)


def test_reading_fills_the_bars_with_the_mean(tmp_path):
    Image.new("RGB", (4, 8), (1, 2, 3)).save(tmp_path / "a.png")
    image = PLAIN.read(tmp_path / "a.png")
    assert image.shape == (8, 12, 3)
    assert (image[:, 4:8] == (1, 2, 3)).all()
    assert (image[:, :4] == PLAIN.fill).all()
    assert (image[:, 8:] == PLAIN.fill).all()


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    mode=st.sampled_from(["letterbox", "squash"]),
)
def test_the_content_box_is_where_fit_puts_the_image(source, size, mode):
    white = np.full((*source, 1), 255, dtype=np.uint8)
    fitted = fit(white, size, mode=mode, fill=(0,))[:, :, 0]
    y0, y1, x0, x1 = content_box(source, size, mode)
    assert (fitted[y0:y1, x0:x1] == 255).all()
    assert int((fitted > 0).sum()) == (y1 - y0) * (x1 - x0) > 0


def save(path: Path, mode: str, value: object) -> Path:
    Image.new(mode, (6, 6), value).save(path)
    return path


def test_channels_of_a_set(tmp_path):
    grey = save(tmp_path / "grey.png", "L", 9)
    equal = save(tmp_path / "equal.png", "RGB", (7, 7, 7))
    deep = save(tmp_path / "deep.png", "I;16", 700)
    brown = save(tmp_path / "brown.png", "RGB", (90, 60, 30))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    assert detect_channels([grey, equal, deep, broken]) == (1, "")
    assert detect_channels([grey] * 5 + [brown]) == (3, "")
    assert detect_channels([broken]) == (1, "")


def test_one_colour_camera_among_many_grey_ones(tmp_path):
    """It must be seen wherever it stands in the list, and nothing else be decoded."""
    grey = save(tmp_path / "grey.png", "L", 9)
    brown = save(tmp_path / "brown.png", "RGB", (90, 60, 30))
    for place in (0, 1, 150, 299):
        files = [grey] * 300
        files[place] = brown
        assert detect_channels(files) == (3, "")


def test_colour_that_may_be_overlooked_is_told(tmp_path, monkeypatch):
    grey = save(tmp_path / "grey.png", "L", 9)
    equal = save(tmp_path / "equal.png", "RGB", (7, 7, 7))
    decoded = []

    def counted(path):
        decoded.append(path)
        return is_grey(path)

    monkeypatch.setattr("uda.data.preprocessing.is_grey", counted)
    channels, note = detect_channels([grey, equal] * 100)
    assert channels == 1
    assert len(decoded) == 64  # no look at all of them
    assert note.startswith("100 files could hold colour; 64 of them were looked at")
    assert detect_channels([grey] * 100 + [equal] * 64) == (1, "")


def test_value_range_of_a_set(tmp_path):
    grey = save(tmp_path / "grey.png", "L", 9)
    low = save(tmp_path / "low.png", "I;16", 700)
    high = save(tmp_path / "high.tif", "I;16", 4095)
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"")
    assert detect_value_range([grey, broken]) is None
    assert detect_value_range([grey, low, high, broken]) == (700, 4095)
    assert detect_value_range([low]) == (700, 701)


def test_evenly_takes_first_and_last_and_never_twice():
    assert evenly(3, 64).tolist() == [0, 1, 2]
    chosen = evenly(1000, 64)
    assert (chosen[0], chosen[-1], len(set(chosen.tolist()))) == (0, 999, 64)


def test_requests_that_no_pool_can_have():
    check_request((4, 4), None, "squash", (0, 1))
    for size in ((0, 4), (4, 20_000), (4,)):
        with pytest.raises(DataError, match="size"):
            check_request(size, None, "squash", None)  # type: ignore[arg-type]
