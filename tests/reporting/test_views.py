"""The preview shows what training sees: its views, its pixels, its boxes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tests.augment.helpers import everything
from tests.augment.test_plugins import plug_in
from uda.augment.kernels import render
from uda.augment.ops import OPS
from uda.augment.policy import OpSpec, Policy, load_policy, packaged_policies
from uda.data.pool import build_pool
from uda.data.records import Record
from uda.reporting.sheets import Tile
from uda.reporting.views import (
    STRONG_VIEWS,
    _Batch,
    _op_cells,
    choose,
    draw_preview,
    extremes,
    merged,
    padding,
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    root = tmp_path_factory.mktemp("views")
    records = []
    for label, count in (("Good", 4), ("Rust\n字", 2), (None, 3)):
        for number in range(count):
            path = f"{label or 'pile'}/{number}.png".replace("\n", "_")
            (root / path).parent.mkdir(exist_ok=True)
            rng = np.random.default_rng(len(records))
            pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / path)
            records.append(Record(path, root, label))
    return build_pool(records, size=(20, 30), cache=root / "cache")


def records_of(counts):
    return [
        Record(f"{label}/{i}.png", None, label)
        for label, count in counts.items()
        for i in range(count)
    ]


def test_every_class_is_shown_before_any_twice():
    records = records_of({"a": 50, "b": 2, None: 50, "c": 1})
    for number, expected in (
        (3, {"a": 1, "b": 1, "c": 1}),
        (4, {"a": 1, "b": 1, "c": 1, None: 1}),
        (8, {"a": 3, "b": 2, "c": 1, None: 2}),
    ):
        chosen = choose(records, number, seed=0)
        labels = [records[i].label for i in chosen]
        assert Counter(labels) == expected
        assert labels == sorted(labels, key=lambda name: (name is None, name or ""))
    assert len(set(choose(records, 500, seed=0))) == 103
    assert choose(records, 8, seed=0) == choose(records, 8, seed=0)
    assert choose(records, 8, seed=0) != choose(records, 8, seed=1)


def test_images_with_boxes_come_first():
    records = records_of({"a": 50, "b": 20})
    chosen = choose(records, 4, seed=0, first=["a/7.png", "b/3.png"])
    assert {"a/7.png", "b/3.png"} <= {records[i].path for i in chosen}


@pytest.mark.parametrize("stream", ["weak", "strong"])
def test_views_are_those_of_training(pool, stream):
    policy = everything(2)
    images = np.ascontiguousarray(pool.images)
    batch = _Batch(images, ((),) * len(images), 5, pool.fill)
    tiles = batch.views(policy, stream, 2)
    start = 2 * len(images)
    expected = render(
        policy,
        images,
        seed=5,
        stream=stream,
        counters=np.arange(start, start + len(images)),
        fill=pool.fill,
    )
    for tile, view in zip(tiles, expected, strict=True):
        np.testing.assert_array_equal(tile.image, view)
        assert tile.lines


def test_a_box_goes_where_its_pixels_go(pool):
    images = np.zeros((40, 30, 30, 1), dtype=np.uint8)
    images[:, 4:10, 6:20] = 255
    box = (6.0, 4.0, 20.0, 10.0)
    policy = Policy("flips", hflip=0.5, vflip=0.5, quarter_turns=True)
    batch = _Batch(images, ((box,),) * 40, 0, np.zeros(1, dtype=np.uint8))
    seen = set()
    for tile in batch.views(policy, "strong", 0):
        ((x0, y0, x1, y1),) = tile.boxes
        rows, columns, _ = np.nonzero(tile.image)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (x0, y0, x1, y1) == pytest.approx(found, abs=1e-6)
        seen.add(found)
    assert len(seen) == 8


@pytest.mark.parametrize("name", sorted(packaged_policies()))
def test_every_packaged_policy_has_its_sheet(pool, name):
    sheet = draw_preview(
        pool, [0, 4, 7], weak=load_policy("weak"), strong=load_policy(name)
    )
    assert sheet.mode == "RGB"
    assert np.asarray(sheet).std() > 10


def test_a_python_policy_has_views_without_words(pool, tmp_path):
    policy = plug_in(tmp_path, "return 255 - image")
    images = np.ascontiguousarray(pool.images)
    tiles = _Batch(images, ((),) * 9, 0, pool.fill).views(policy, "strong", 0)
    assert all(isinstance(tile, Tile) and not tile.lines for tile in tiles)
    np.testing.assert_array_equal(tiles[3].image, 255 - images[3])
    with_boxes = {pool.records[0].path: [(1.0, 1.0, 5.0, 5.0)]}
    both = {"weak": policy, "strong": policy, "boxes": with_boxes}
    assert draw_preview(pool, [0, 1], **both).width > STRONG_VIEWS * 100


def test_the_ops_alone_are_those_of_the_file(pool):
    policy = load_policy("fixmatch")
    image = np.asarray(pool.images[0])
    cells = {cell.name: cell for cell in _op_cells(policy, image, pool.fill)}
    wanted = {spec.name for spec in policy.ops} - {"Identity"}
    assert set(cells) == wanted | {"cutout, always"}
    assert [tile.lines[0] for tile in cells["Rotate"].tiles] == ["-27°", "+15°", "+27°"]
    assert [tile.lines[0] for tile in cells["Solarize"].tiles] == [
        "from 231",
        "from 128",
        "from 26",
    ]
    turned = Image.fromarray(image).rotate(27, fillcolor=tuple(pool.fill.tolist()))
    left, _, right = (tile.image for tile in cells["Rotate"].tiles)
    assert np.array_equal(turned, left) or np.array_equal(turned, right)
    assert not np.array_equal(left, right)


@pytest.mark.parametrize("name", OPS)
def test_every_op_has_extremes_inside_its_limits(name):
    op = OPS[name]
    if not op.has_magnitude:
        assert extremes(OpSpec(name)) == [None]
        return
    values = [v for v in extremes(OpSpec(name, op.low, op.high)) if v is not None]
    assert max(map(abs, values)) == op.high
    assert (min(values) < 0) == op.signed


def test_a_mirrored_factor_shows_both_sides():
    assert extremes(OpSpec("Contrast", 1.0, 1.9, mirrored=True)) == pytest.approx(
        [0.1, 1.0, 1.9]
    )


def test_specs_of_one_op_are_shown_once():
    specs = [
        OpSpec("Rotate", 2, 4),
        OpSpec("Invert"),
        OpSpec("Rotate", 8, 6, levels=3),
        OpSpec("Invert"),
        OpSpec("Color", 1.2, 1.4, mirrored=True),
        OpSpec("Color", 1.3, 1.5),
    ]
    rotate, invert, color = merged(specs)
    assert (rotate.low, rotate.high, invert) == (2, 8, OpSpec("Invert"))
    assert (color.low, color.high) == pytest.approx((0.6, 1.5))
    # A factor of 0 has a mirror image like any other.
    (color,) = merged([OpSpec("Color", 0, 0.5, mirrored=True), OpSpec("Color", 0.9, 1)])
    assert (color.low, color.high) == (0, 2)


def test_policies_with_everything_have_their_sheet(pool):
    policy = Policy(
        "nested",
        first=(OpSpec("Gamma", 0.5, 2),),
        last=(OpSpec("Jpeg", 10, 90),),
        subpolicies=((OpSpec("Rotate", 3, 9), OpSpec("Invert")), (OpSpec("Invert"),)),
        interpolation="bilinear",
        fill="reflect",
    )
    cells = _op_cells(policy, np.asarray(pool.images[0]), pool.fill)
    assert sorted(cell.name for cell in cells) == ["Gamma", "Invert", "Jpeg", "Rotate"]
    assert draw_preview(pool, [0], weak=policy, strong=policy).height > 300


def test_padding_is_what_letterboxing_leaves_empty(tmp_path):
    for name, size in (("square", (50, 50)), ("wide", (80, 25))):
        Image.new("L", size).save(tmp_path / f"{name}.png")
    square, wide = tmp_path / "square.png", tmp_path / "wide.png"
    assert padding([square], (64, 64)) == 0
    assert padding([square], (40, 128)) == pytest.approx(1 - 40 / 128)
    assert padding([square, wide], (40, 128)) == pytest.approx((1 - 40 / 128) / 2)
