from __future__ import annotations

import csv
import dataclasses
import json
import os

import numpy as np
import pytest
from PIL import Image

from uda.augment.boxes import BoxRules
from uda.augment.policy import OpSpec, Policy
from uda.data.boxes import coco
from uda.data.boxes.model import BoxedImage, BoxSet, Category, ReadRules
from uda.data.boxfiles import FORMATS, read_boxes
from uda.errors import DataError, UsageError
from uda.offline import detection
from uda.offline.boxrequest import BoxRequest
from uda.offline.detection import augment_boxes

MOVES = Policy(
    "moves", ops=(OpSpec("Rotate", 5, 40), OpSpec("TranslateX", 0.1, 0.6)), count=2,
    hflip=0.5, vflip=0.5, crop_pad=0.1,
)  # fmt: skip
SIZES = {"a b.png": (50, 40), "deep/ü.jpg": (33, 61), "deep/ü.png": (24, 24)}


def make_set(folder, sizes=SIZES):
    """Images with bright rectangles where their boxes are, as COCO."""
    images = []
    for number, (name, (width, height)) in enumerate(sizes.items()):
        pixels = np.full((height, width, 3), 40, dtype=np.uint8)
        boxes = [[3, 4, 15, 20], [10, 12, 24, 24]][: 2 - number % 3]
        for i, (x0, y0, x1, y1) in enumerate(boxes):
            pixels[y0:y1, x0:x1] = 150 + 50 * i
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        extras = tuple(
            {"id": 10 * number + i, "iscrowd": i, "segmentation": [[1, 2]], "who": "me"}
            for i in range(len(boxes))
        )
        images.append(
            BoxedImage(
                name, width, height, np.array(boxes, dtype=float).reshape(-1, 4),
                tuple(range(len(boxes))), extras, {"id": number + 1, "license": 1},
            )
        )  # fmt: skip
    content = BoxSet(tuple(images), (Category("pit"), Category("rust")))
    for name, raw in coco.encode(content).items():
        (folder / name).write_bytes(raw)
    return folder


def request(folder, out, **changes):
    values = {
        "annotations": folder / "annotations.json", "images": folder / "images",
        "out": out, "policy": MOVES, "copies": 3,
    }  # fmt: skip
    return BoxRequest(**(values | changes))


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def read(out):
    return read_boxes(out, ReadRules(images=out / "images"))[0]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("kind", [k for k in FORMATS if k != "yolo"])
def test_the_set_can_be_read_again_and_boxes_fit_its_pixels(data, tmp_path, kind):
    # Without the crop: its mirrored border shows copies that have no box.
    policy = dataclasses.replace(MOVES, crop_pad=0.0)
    report = augment_boxes(request(data, tmp_path / "o", kind=kind, policy=policy))
    found = read(tmp_path / "o")
    assert report.num_images == len(found.images) == 3 + 9
    assert report.num_boxes == found.num_boxes
    copies = [i for i in found.images if "augmented_from" in i.extra]
    assert len(copies) == 9
    checked = 0
    for image in copies:
        pixels = np.asarray(Image.open(tmp_path / "o/images" / image.path))[..., 0]
        assert pixels.shape == (image.height, image.width)
        for box, label in zip(image.boxes, image.labels, strict=True):
            if label == 1:  # 200, and whatever of it JPEG left
                rows, columns = np.nonzero(pixels > 180)
                assert box[0] - 1 <= columns.min() <= box[0] + 3
                assert box[3] - 3 <= rows.max() + 1 <= box[3] + 1
                checked += 1
    assert checked >= 2


def test_yolo_names_two_images_that_share_a_label_file(data, tmp_path):
    with pytest.raises(DataError, match=r"shares its label file labels/deep/ü\.txt"):
        augment_boxes(request(data, tmp_path / "o", kind="yolo"))
    assert not (tmp_path / "o").exists()


def test_extras_follow_and_outlines_do_not(data, tmp_path):
    report = augment_boxes(request(data, tmp_path / "o", copies=2))
    content = json.loads((tmp_path / "o/annotations.json").read_text())
    ids = [entry["id"] for entry in content["annotations"]]
    assert len(set(ids)) == len(ids)
    images = {entry["id"]: entry for entry in content["images"]}
    assert len(images) == len(content["images"])
    for entry in content["annotations"]:
        copied = "augmented_from" in images[entry["image_id"]]
        assert entry["who"] == "me"
        assert ("segmentation" in entry) is not copied
        if copied:
            assert entry["source_id"] % 10 == entry["source_box"]
            assert entry["iscrowd"] == entry["source_box"]
            assert entry["area"] == pytest.approx(
                entry["bbox"][2] * entry["bbox"][3], abs=1e-4
            )
    assert any("outlines" in note for note in report.notes)


def test_report_counts_every_box_once(data, tmp_path):
    rules = BoxRules(min_visibility=0.9, min_side=12)
    report = augment_boxes(request(data, tmp_path / "o", copies=20, rules=rules))
    content = json.loads((tmp_path / "o/report.json").read_text())
    for entry in content["classes"].values():
        assert entry["boxes"] == entry["kept"] + sum(entry["dropped"].values())
        assert entry["clipped"] <= entry["kept"]
    # 2 boxes in the first image, 1 in the second, none in the third
    assert content["classes"]["pit"]["boxes"] == 40
    assert content["classes"]["rust"]["boxes"] == 20
    dropped = content["classes"]["pit"]["dropped"]
    assert dropped["visibility"] > 0
    assert dropped["side"] + dropped["outside"] > 0
    kept = sum(entry["kept"] for entry in content["classes"].values())
    assert report.num_boxes == kept + 3
    assert content["copies_that_lost_all_boxes"] == report.tally.emptied > 0


def test_provenance_names_source_and_draw(data, tmp_path):
    augment_boxes(request(data, tmp_path / "o", copies=2, seed=7))
    with (tmp_path / "o/provenance.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["counter"]) for row in rows] == [0, 1] * 3
    assert [row["stream"] for row in rows] == [f"boxes/{row['source']}" for row in rows]
    assert {row["policy_fingerprint"] for row in rows} == {MOVES.fingerprint()}
    assert {row["seed"] for row in rows} == {"7"}
    assert len({row["path"] for row in rows}) == 6
    for row in rows:
        assert (tmp_path / "o" / row["path"]).is_file()
        assert (data / "images" / row["source"]).is_file()


def test_same_seed_same_files_and_each_copy_alone(data, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        augment_boxes(request(data, tmp_path / name, seed=seed))
    a, b, c = (files_of(tmp_path / name) for name in "abc")
    assert a == b
    name = "images/a b_aug0.png"
    assert a[name] != c[name]
    assert len({a[f"images/a b_aug{k}.png"] for k in range(3)}) == 3


def test_a_copy_depends_on_its_image_and_number_alone(data, tmp_path):
    content = json.loads((data / "annotations.json").read_text())
    del content["images"][1]
    content["images"].reverse()
    known = {entry["id"] for entry in content["images"]}
    content["annotations"] = [
        entry for entry in content["annotations"] if entry["image_id"] in known
    ]
    (tmp_path / "other.json").write_text(json.dumps(content))
    augment_boxes(request(data, tmp_path / "a", copies=3))
    other = {"annotations": tmp_path / "other.json", "copies": 2}
    augment_boxes(request(data, tmp_path / "b", **other))
    a, b = (files_of(tmp_path / name) for name in "ab")
    for number in range(2):
        name = f"images/a b_aug{number}.png"
        assert a[name] == b[name]
    boxes = {
        out: {image.path: image.boxes.tolist() for image in read(tmp_path / out).images}
        for out in "ab"
    }
    for name in ("a b_aug0.png", "a b_aug1.png"):
        assert boxes["a"][name] == boxes["b"][name]


def test_two_images_that_are_equal_get_other_copies(tmp_path):
    folder = make_set(tmp_path / "d", {"x/a.png": (50, 40)})
    (folder / "images/y").mkdir()
    (folder / "images/y/a.png").write_bytes((folder / "images/x/a.png").read_bytes())
    table = "path,label,x0,y0,x1,y1\n" + "".join(
        f"{side}/a.png,pit,0.1,0.1,0.4,0.5\n" for side in "xy"
    )
    (folder / "boxes.csv").write_text(table)
    given = request(folder, tmp_path / "o", annotations=folder / "boxes.csv", copies=1)
    augment_boxes(given)
    views = [(tmp_path / f"o/images/{s}/a_aug0.png").read_bytes() for s in "xy"]
    assert views[0] != views[1]


def test_a_name_that_is_not_utf8_is_drawn_and_read_again(tmp_path):
    folder = make_set(tmp_path / "d", {"a.png": (50, 40)})
    odd = os.fsdecode(b"Schl\xfcssel.png")
    (folder / "images/a.png").rename(folder / "images" / odd)
    raw = f"path,label,x0,y0,x1,y1\n{odd},pit,0.1,0.1,0.4,0.5\n"
    (folder / "boxes.csv").write_bytes(raw.encode("utf-8", "surrogateescape"))
    given = request(folder, tmp_path / "o", annotations=folder / "boxes.csv")
    augment_boxes(given)
    assert len(read(tmp_path / "o").images) == 4


@pytest.mark.parametrize("kind", ["voc", "yolo"])
def test_no_folder_that_the_annotations_are_sought_in_is_written_to(tmp_path, kind):
    folder = make_set(tmp_path / "d", {"a.png": (50, 40)})
    convert = {"copies": 0, "policy": None}
    made = tmp_path / "made"
    augment_boxes(request(folder, made, kind=kind, **convert))
    inner = {"voc": "annotations", "yolo": "labels"}[kind]
    for given in (made, made / inner):
        for out in (given, made / inner / "new"):
            with pytest.raises(UsageError, match="lies in ANNOTATIONS"):
                augment_boxes(request(folder, out, annotations=given, copies=1))
    # Beside the folder that is searched.
    augment_boxes(request(folder, made / "new", annotations=made))
    augment_boxes(request(folder, tmp_path / "o", annotations=made))


@pytest.mark.parametrize("kind", FORMATS)
def test_overhanging_boxes_are_told_and_read_again_when_cut(tmp_path, kind):
    folder = make_set(tmp_path / "d", {"a.png": (50, 40)})
    policy = Policy("p", ops=(OpSpec("TranslateX", 0.6, 0.6),), count=1)
    values = {"kind": kind, "policy": policy, "copies": 6}
    report = augment_boxes(
        request(folder, tmp_path / "o", rules=BoxRules(clip="none"), **values)
    )
    assert any("--invalid repair" in note for note in report.notes)
    images = tmp_path / "o/images"
    with pytest.raises(DataError, match="reaches out of the image"):
        read_boxes(tmp_path / "o", ReadRules(images=images))
    found, _ = read_boxes(tmp_path / "o", ReadRules(images=images, invalid="repair"))
    assert found.num_boxes == report.num_boxes
    cut = augment_boxes(request(folder, tmp_path / "p", **values))
    assert not any("--invalid" in note for note in cut.notes)
    inside = read(tmp_path / "p")
    for one, two in zip(found.images, inside.images, strict=True):
        np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-6)


def test_a_base_for_voc_is_refused_where_there_is_no_voc(data, tmp_path):
    for kind in (None, "corners"):
        with pytest.raises(UsageError, match="--voc-base has no effect: coco is read"):
            augment_boxes(request(data, tmp_path / "o", kind=kind, voc_base=1))
    assert not (tmp_path / "o").exists()
    augment_boxes(request(data, tmp_path / "v", kind="voc", voc_base=1, copies=1))
    back = request(data, tmp_path / "w", annotations=tmp_path / "v", kind="coco",
                   images=tmp_path / "v/images", voc_base=1, copies=1)  # fmt: skip
    augment_boxes(back)


def test_a_folder_that_cannot_be_made_is_told(data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/new: Not a directory; .*--out"):
        augment_boxes(request(data, tmp_path / "file/new"))


def test_work_of_an_older_version_is_not_continued(data, tmp_path):
    augment_boxes(request(data, tmp_path / "o", copies=1))
    state = json.loads((tmp_path / "o/augment.json").read_text())
    (tmp_path / "o/augment.json").write_text(json.dumps({**state, "format": 1}))
    with pytest.raises(UsageError, match="the version of this program differs"):
        augment_boxes(request(data, tmp_path / "o", copies=1))


class Stop(Exception):
    pass


@pytest.mark.parametrize("after", [1, 4, 9])
def test_interrupted_and_repeated_gives_the_same_files(data, tmp_path, after):
    augment_boxes(request(data, tmp_path / "whole"))

    def stop(stage, done, total):
        if stage == "Copies" and done == after:
            raise Stop

    with pytest.raises(Stop):
        augment_boxes(request(data, tmp_path / "cut"), stop)
    assert not (tmp_path / "cut/report.json").exists()
    with pytest.raises(UsageError, match=r"other options or data: --seed differs"):
        augment_boxes(request(data, tmp_path / "cut", seed=5))
    drawn = (tmp_path / "cut/images/a b_aug0.png").stat().st_mtime_ns
    augment_boxes(request(data, tmp_path / "cut"))
    assert (tmp_path / "cut/images/a b_aug0.png").stat().st_mtime_ns == drawn
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_an_image_that_changed_in_between_is_noticed(tmp_path):
    folder = make_set(tmp_path / "d")

    def stop(stage, done, total):
        if stage == "Copies":
            raise Stop

    with pytest.raises(Stop):
        augment_boxes(request(folder, tmp_path / "o"), stop)
    Image.new("RGB", (50, 40), (9, 9, 9)).save(folder / "images/a b.png")
    with pytest.raises(UsageError, match=r"the images or their boxes"):
        augment_boxes(request(folder, tmp_path / "o"))


def test_foreign_and_finished_folders_are_refused(data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="not the unfinished work"):
        augment_boxes(request(data, tmp_path / "mine"))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    augment_boxes(request(data, tmp_path / "o", copies=1))
    before = files_of(tmp_path / "o")
    first = json.loads((tmp_path / "o/report.json").read_text())
    again = augment_boxes(request(data, tmp_path / "o", copies=1))
    assert again.complete
    assert again.tally.as_json(again.names).items() <= first.items()
    with pytest.raises(UsageError, match="--seed differs"):
        augment_boxes(request(data, tmp_path / "o", copies=1, seed=99))
    assert files_of(tmp_path / "o") == before
    gone = next((tmp_path / "o/images").rglob("*_aug0.png"))
    gone.unlink()
    with pytest.raises(UsageError, match="1 of its images are missing now"):
        augment_boxes(request(data, tmp_path / "o", copies=1))
    with pytest.raises(UsageError, match="lies in --images"):
        augment_boxes(request(data, data / "images/new"))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        augment_boxes(request(data, tmp_path / "file"))


def test_conversion_alone(data, tmp_path):
    report = augment_boxes(
        request(data, tmp_path / "o", copies=0, policy=None, kind="corners")
    )
    assert sorted(p.name for p in (tmp_path / "o").iterdir() if p.name[0] != ".") == [
        "augment.json", "boxes.csv", "boxes_extra.json", "preview.png", "report.json",
    ]  # fmt: skip
    assert any("images were not copied" in note for note in report.notes)
    rules = ReadRules(images=data / "images")
    found, _ = read_boxes(tmp_path / "o", rules)
    before, _ = read_boxes(data / "annotations.json", rules)
    assert [i.extras for i in found.images] == [i.extras for i in before.images]
    with_images = request(data, tmp_path / "p", copies=0, policy=None, originals=True)
    augment_boxes(with_images)
    source = (data / "images/deep/ü.jpg").read_bytes()
    assert (tmp_path / "p/images/deep/ü.jpg").read_bytes() == source


def test_copies_alone(data, tmp_path):
    report = augment_boxes(request(data, tmp_path / "o", copies=1, originals=False))
    assert report.num_images == 3
    assert not (tmp_path / "o/images/a b.png").exists()


def test_a_leading_folder_images_is_not_doubled(tmp_path):
    folder = make_set(tmp_path / "d", {"images/a.png": (50, 40)})
    augment_boxes(request(folder, tmp_path / "o", kind="yolo", copies=1))
    assert (tmp_path / "o/images/a.png").is_file()
    assert (tmp_path / "o/labels/a_aug0.txt").is_file()
    assert read(tmp_path / "o").num_boxes >= 2


def test_a_name_of_an_original_is_never_taken(tmp_path):
    sizes = {"a.png": (50, 40), "a_aug0.png": (30, 30)}
    folder = make_set(tmp_path / "d", sizes)
    augment_boxes(request(folder, tmp_path / "o", copies=1))
    original = (folder / "images/a_aug0.png").read_bytes()
    assert (tmp_path / "o/images/a_aug0.png").read_bytes() == original
    assert (tmp_path / "o/images/a_aug0_.png").is_file()


def test_nothing_is_written_for_bad_annotations(data, tmp_path):
    content = json.loads((data / "annotations.json").read_text())
    content["annotations"][0]["bbox"] = [1, 2, -3, 4]
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"bad\.json, annotation id 0 .*negative"):
        augment_boxes(request(data, tmp_path / "o", annotations=bad))
    assert not (tmp_path / "o").exists()
    with pytest.raises(UsageError, match="copies need a --policy"):
        augment_boxes(request(data, tmp_path / "o", policy=None))


def test_deep_and_grey_images(tmp_path):
    folder = make_set(tmp_path / "d")
    deep = np.full((40, 50), 30_000, dtype=np.uint16)
    Image.fromarray(deep).save(folder / "images/a b.png")
    augment_boxes(request(folder, tmp_path / "o", copies=1))
    with Image.open(tmp_path / "o/images/a b_aug0.png") as view:
        assert view.mode == "L"
        assert abs(np.asarray(view)[20, 25] - 30_000 // 257) <= 1


def test_preview_shows_a_row_per_image(data, tmp_path):
    augment_boxes(request(data, tmp_path / "o"))
    with Image.open(tmp_path / "o" / detection.PREVIEW) as sheet:
        colours = {colour for _, colour in sheet.getcolors(1 << 20)}
        assert (213, 94, 0) in colours
        assert (0, 158, 115) in colours
        assert sheet.width > 4 * 200


def test_images_kept_for_measuring_are_not_copied_into_training(tmp_path):
    names = ("images/train/a.png", "images/val/b.png")
    for place, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("L", (32, 24), 90 + place).save(tmp_path / name)
        label = (tmp_path / name.replace("images", "labels")).with_suffix(".txt")
        label.parent.mkdir(parents=True)
        label.write_text("0 .5 .5 .5 .5\n")
    text = "names: [pit]\ntrain: images/train\nval: images/val\n"
    (tmp_path / "data.yaml").write_text(text)
    keys = {"annotations": tmp_path, "policy": MOVES, "copies": 2}
    whole = BoxRequest(**keys, images=tmp_path / "images", out=tmp_path.parent / "new")
    report = augment_boxes(whole)
    assert report.num_images == 3  # one and its copies
    assert report.notes[0].startswith("1 images that data.yaml names for validation")
    assert not list(whole.out.rglob("*b*.png"))
    assert augment_boxes(whole).complete
    text = text.replace("train: images/train", "train: images/gone")
    (tmp_path / "data.yaml").write_text(text.replace("val: images/val", "val: images"))
    with pytest.raises(UsageError, match="keeps all of its images"):
        augment_boxes(dataclasses.replace(whole, out=tmp_path.parent / "no"))
    converted = dataclasses.replace(
        whole, copies=0, policy=None, kind="coco", out=tmp_path.parent / "coco"
    )
    assert augment_boxes(converted).num_images == 2
