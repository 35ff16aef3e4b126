"""Filtering: quotas, near copies, reasons; and images that belong to another world."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from tests.evaluation.fakes import Brightness
from tests.support.surfaces import surface, write_surfaces
from uda.data.duplicates import Groups, Pair
from uda.data.preprocessing import Preprocessing
from uda.errors import DataError, UsageError
from uda.evaluation.relevance import (
    HEADER,
    Quota,
    choose,
    filter_images,
    near_copies,
    write_list,
)
from uda.models.heads import Outputs
from uda.run.bundle import Bundle

CLASSES = ("Good", "Rust")


def keep(predicted, confidence, quota, **options):
    options = {"classes": CLASSES, "left_out": {}, **options}
    return choose(np.array(predicted), np.array(confidence), quota, **options)


def test_the_surest_of_every_class_are_kept():
    predicted, confidence = [0, 0, 0, 0, 1, 1], [0.9, 0.6, 0.8, 0.7, 0.5, 0.4]
    kept, reasons = keep(predicted, confidence, Quota(share=0.5))
    assert kept.tolist() == [True, False, True, False, True, False]
    assert reasons[0] == "rank 1 of the 2 kept of Good"
    assert reasons[1] == "rank 4 of Good, of which 2 are kept"
    kept, _ = keep(predicted, confidence, Quota(per_class=1))
    assert np.flatnonzero(kept).tolist() == [0, 4]
    kept, _ = keep(predicted, confidence, Quota(per_class=9))
    assert kept.all()


@pytest.mark.parametrize(
    ("share", "available", "kept"),
    [(0.55, 100, 55), (0.07, 100, 7), (0.28, 25, 7), (0.5, 7, 4), (0.01, 1, 1)],
)
def test_a_share_is_rounded_up_as_written_and_not_as_binary(share, available, kept):
    assert Quota(share=share).of(available) == kept


def test_a_floor_leaves_a_quota_unfilled_and_what_is_out_fills_none():
    kept, reasons = keep([1, 1], [0.9, 0.3], Quota(per_class=2, min_confidence=0.5))
    assert kept.tolist() == [True, False]
    assert reasons[1] == "confidence below 0.5"
    kept, reasons = keep([0, 0], [0.9, 0.3], Quota(per_class=1), left_out={0: "bad"})
    assert kept.tolist() == [False, True]
    assert reasons[0] == "bad"


def test_of_near_copies_the_surest_stays_and_a_shifted_crop_is_no_copy():
    pairs = (
        Pair(0, 1, "exact", 1.0),
        Pair(1, 2, "near", 0.99),
        Pair(3, 4, "shifted", 0.9),
    )
    found = Groups(("a", "b", "c", "d", "e"), np.array([0, 0, 0, 1, 1]), pairs)
    copies = near_copies(found, np.array([0.5, 0.9, 0.7, 0.1, 0.2]))
    assert copies == {0: 1, 2: 1}


def bundle_of(tmp_path):
    preprocessing = Preprocessing((24, 24), 1, "squash", None, (0.5,), (0.2,))
    names = ("Dark", "Good", "Rust")
    return Bundle("network", Brightness(), names, preprocessing, tmp_path)


def test_broken_files_odd_names_and_copies_are_listed_with_reasons(tmp_path):
    rng = np.random.default_rng(0)
    pile = tmp_path / "pile"
    (pile / "deep").mkdir(parents=True)
    flat = rng.integers(100, 150, (24, 24), dtype=np.uint8)
    Image.fromarray(flat).save(pile / "=1.png")
    Image.fromarray(flat).save(pile / "deep" / "copy.png")
    (pile / "broken.png").write_bytes(b"no image")
    scored = filter_images(bundle_of(tmp_path), [pile], Quota(share=1.0))
    found = {entry.record.path: entry for entry in scored}
    assert found["@0/broken.png"].record.label is None
    assert found["@0/broken.png"].reason.startswith("cannot be read")
    assert sum(entry.kept for entry in scored) == 1
    assert found["@0/deep/copy.png"].reason.startswith("near copy of @0/=1.png")
    write_list(tmp_path / "kept.csv", scored)
    with (tmp_path / "kept.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == HEADER
    assert {row["folder"] for row in rows} == {"pile"}
    kept = [row["path"] for row in rows if row["kept"] == "1"]
    assert kept == ["./=1.png"]  # no spreadsheet takes it for a formula
    assert sorted(p.name for p in pile.rglob("*.png")) == [
        *("=1.png", "broken.png", "copy.png")
    ]


def test_what_four_flips_make_of_an_image_counts(tmp_path):
    """Sure one way and as sure the other way when mirrored is not sure at all."""

    class Sided:
        def __call__(self, images):
            half = images.shape[-1] // 2
            left, right = images[..., :half], images[..., half:]
            gap = (left.float() - right.float()).mean((1, 2, 3)) / 10
            pair = torch.stack([gap, -gap], 1)
            return Outputs(leaf=torch.log_softmax(pair, 1))

    image = np.zeros((24, 24), np.uint8)
    image[:, :12] = 200
    (tmp_path / "pile").mkdir()
    Image.fromarray(image).save(tmp_path / "pile" / "a.png")
    bundle = replace(bundle_of(tmp_path), model=Sided(), classes=("Left", "Right"))
    (found,) = filter_images(bundle, [tmp_path / "pile"], Quota())
    assert found.confidence == pytest.approx(0.5, abs=1e-6)


def test_several_labels_per_image_are_refused(tmp_path):
    bundle = replace(bundle_of(tmp_path), link="sigmoid")
    with pytest.raises(UsageError, match="multi-label"):
        filter_images(bundle, [tmp_path], Quota())


def test_nothing_to_filter_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        filter_images(bundle_of(tmp_path), [tmp_path / "empty"], Quota())
    (tmp_path / "empty" / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match="none of the 1"):
        filter_images(bundle_of(tmp_path), [tmp_path / "empty"], Quota())


@pytest.fixture(scope="module")
def surfaces_run(tmp_path_factory):
    """A network that knows the three tiny surfaces."""
    from uda.training.configure import build_config
    from uda.training.launch import launch
    from uda.training.length import Length
    from uda.training.monitor.progress import Progress
    from uda.training.stop import StopRequest

    folder = write_surfaces(tmp_path_factory.mktemp("relevance"), per_class=24)
    keys = {
        "method": "supervised",
        "data.root": str(folder / "data"),
        "data.cache": str(folder / "cache"),
        "data.size": (24, 24),
        "data.group": "none",
        "loop.threads": 1,
        "loop.batch": 24,
        "loop.eval_every": 120,
    }
    launch(
        build_config(keys),
        Length(steps=120),
        project=folder / "runs",
        name="t",
        console=Progress(),
        stop=StopRequest(),
    )
    return folder / "runs" / "t"


def foreign(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A (24, 24) image of no surface in the set."""
    if kind == "noise":
        return rng.integers(0, 256, (24, 24)).astype(np.uint8)
    if kind == "blobs":
        cloud = gaussian_filter(rng.normal(size=(24, 24)), 3)
        return np.uint8(255 * (cloud - cloud.min()) / np.ptp(cloud))
    period = int(rng.integers(3, 7))
    return np.uint8(60 + 140 * ((np.indices((24, 24)).sum(0) // period) % 2))


def test_images_of_another_world_are_left_out(tmp_path, surfaces_run):
    """Half of the pile is foreign; of what is kept far more than half is not."""
    from uda.run.bundle import load_bundle

    rng = np.random.default_rng(3)
    pile = tmp_path / "pile"
    pile.mkdir()
    for number in range(90):
        kind = ("Good", "Rust", "Scratch")[number % 3]
        Image.fromarray(surface(kind, rng)).save(pile / f"own{number:03d}.png")
        kind = ("noise", "blobs", "stripes")[number % 3]
        Image.fromarray(foreign(kind, rng)).save(pile / f"far{number:03d}.png")
    scored = filter_images(load_bundle(surfaces_run), [pile], Quota(share=0.4))
    kept = [entry.record.path for entry in scored if entry.kept]
    own = sum("own" in path for path in kept)
    print(f"kept {len(kept)}, own {own}")  # noqa: T201
    assert own / len(kept) > 0.75
    by_class = {entry.record.label for entry in scored if entry.kept}
    assert by_class == {"Good", "Rust", "Scratch"}
