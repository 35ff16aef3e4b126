"""Augmented copies: even turns, pure functions, own size and mode."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from uda.augment.policy import OpSpec, Policy
from uda.data.images import read_image
from uda.data.records import Record
from uda.errors import DataError
from uda.offline.copies import Look, make_copy, pixels, plan_copies
from uda.offline.originals import Original

LOOK = Look((10.0, 100.0, 200.0), None)
FLIP = Policy("flip", hflip=1.0)


def original(folder, name="a.png", label="Rust"):
    return Original(name, Record(name, folder, label), label, None, None, True, "0")


def originals(num):
    return [original(None, f"{i:02d}.png") for i in range(num)]


def test_sources_come_in_turn_and_each_round_has_its_own_order():
    copies = plan_copies("Rust", originals(7), 25, seed=3)
    times = Counter(copy.source.path for copy in copies)
    assert set(times.values()) == {3, 4}
    rounds = [[c.source.path for c in copies[i : i + 7]] for i in (0, 7, 14)]
    assert all(len(set(paths)) == 7 for paths in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert [copy.counter for copy in copies] == list(range(25))
    assert len({copy.path for copy in copies}) == 25


def test_more_copies_are_the_same_and_further_ones():
    few, many = (plan_copies("Rust", originals(5), n, seed=0) for n in (8, 31))
    assert many[:8] == few
    assert plan_copies("Rust", originals(5), 8, seed=1) != few
    assert plan_copies("Dent", originals(5), 8, seed=0)[0].stream != few[0].stream


def test_copies_lie_beside_their_source():
    source = original(None, "train/Rust/x.y.jpg")
    assert plan_copies("Rust", [source], 1, seed=0)[0].path == (
        "train/Rust/x.y.aug00000.png"
    )


def test_the_fill_is_the_mean_colour_and_its_luma():
    assert LOOK.fill(3).tolist() == [10, 100, 200]
    grey = Image.new("RGB", (1, 1), (10, 100, 200)).convert("L").getpixel((0, 0))
    assert LOOK.fill(1).tolist() == [grey]


@pytest.mark.parametrize(
    ("mode", "suffix", "made"),
    [("L", "png", "L"), ("RGB", "png", "RGB"), ("RGBA", "png", "RGB"),
     ("1", "bmp", "L"), ("P", "png", "RGB")],
)  # fmt: skip
def test_a_copy_has_its_sources_size_and_mode(tmp_path, mode, suffix, made):
    values = np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    image = Image.fromarray(values).convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    source = original(tmp_path, f"a.{suffix}")
    copy = plan_copies("Rust", [source], 1, seed=0)[0]
    target = tmp_path / "copy.png"
    assert make_copy(copy, FLIP, target, seed=0, look=LOOK)
    with Image.open(target) as written:
        assert written.mode == made
        assert written.size == (9, 5)
    expected = pixels(source, LOOK)[:, ::-1]
    channels = 1 if made == "L" else 3
    assert np.array_equal(read_image(target, channels=channels), expected)


def test_sixteen_bits_stay_sixteen_bits_in_256_steps(tmp_path):
    values = np.linspace(1000, 9000, 12 * 8).reshape(12, 8).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    look = Look((0.0, 0.0, 0.0), (1000.0, 9000.0))
    source = original(tmp_path)
    copy = plan_copies("Rust", [source], 1, seed=0)[0]
    assert make_copy(copy, FLIP, tmp_path / "c.png", seed=0, look=look)
    with Image.open(tmp_path / "c.png") as written:
        assert written.mode == "I;16"
        back = np.asarray(written).astype(np.float64)
    step = 8000 / 255
    assert np.abs(back - values[:, ::-1]).max() <= step / 2 + 1
    # Training scales both by the same range: it sees the source's levels, flipped.
    seen = read_image(tmp_path / "c.png", channels=1, value_range=(1000.0, 9000.0))
    assert np.array_equal(seen, pixels(source, look)[:, ::-1])


def test_floating_point_becomes_eight_bits(tmp_path):
    Image.fromarray(np.eye(4, dtype=np.float32) * 0.5).save(tmp_path / "a.tif")
    look = Look((0.0, 0.0, 0.0), (0.0, 0.5))
    copy = plan_copies("Rust", [original(tmp_path, "a.tif")], 1, seed=0)[0]
    make_copy(copy, FLIP, tmp_path / "c.png", seed=0, look=look)
    with Image.open(tmp_path / "c.png") as written:
        assert written.mode == "L"
        assert np.array_equal(np.asarray(written), 255 * np.eye(4)[:, ::-1])


def test_a_whole_file_is_taken_and_a_broken_one_made_again(tmp_path):
    Image.new("L", (8, 8), 3).save(tmp_path / "a.png")
    policy = Policy("noise", ops=(OpSpec("Cutout", 0.5, 0.5),), count=1)
    copy = plan_copies("Rust", [original(tmp_path)], 1, seed=0)[0]
    target = tmp_path / "c.png"
    assert make_copy(copy, policy, target, seed=0, look=LOOK)
    first, date = target.read_bytes(), target.stat().st_mtime_ns
    assert make_copy(copy, policy, target, seed=0, look=LOOK)
    assert target.stat().st_mtime_ns == date
    target.write_bytes(first[:20])
    assert make_copy(copy, policy, target, seed=0, look=LOOK)
    assert target.read_bytes() == first


def test_a_copy_that_shows_nothing_is_told(tmp_path):
    Image.new("L", (8, 8), 3).save(tmp_path / "a.png")
    copy = plan_copies("Rust", [original(tmp_path)], 1, seed=0)[0]
    assert not make_copy(copy, Policy("none"), tmp_path / "c.png", seed=0, look=LOOK)


def test_a_fault_of_a_python_policy_names_image_and_file(tmp_path):
    from uda.augment.policy import load_policy

    (tmp_path / "bad.py").write_text("def augment(image, rng):\n    return 1 / 0\n")
    Image.new("L", (8, 8), 3).save(tmp_path / "a.png")
    copy = plan_copies("Rust", [original(tmp_path)], 1, seed=0)[0]
    policy = load_policy(str(tmp_path / "bad.py"))
    with pytest.raises(DataError, match=r"^a\.png: .*bad\.py:2"):
        make_copy(copy, policy, tmp_path / "c.png", seed=0, look=LOOK)
    assert not (tmp_path / "c.png").exists()
