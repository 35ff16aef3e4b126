"""What people and disks do to data, end to end: the code, the file, the way out.

The numbers F17 to F40 are rows of the fault plan; each is driven through the
command line here, whatever the parts' own tests say.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.support.surfaces import CLASSES, surface, write_surfaces
from uda.cli import main
from uda.run.layout import RunFolder

QUICK = [
    "--imgsz", "16", "--batch", "4", "--steps", "2", "--threads", "1", "--quiet",
]  # fmt: skip
UDA = ["--mu", "2", "--start-share", "0.5", "--ramp-share", "0"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Work in an empty folder with its own cache; leave signals as they were."""
    before = {number: signal.getsignal(number) for number in (2, 15)}
    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)


def call(*words, code=0):
    done = CliRunner().invoke(main, [os.fspath(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(
        done.exception
    )
    assert done.exit_code == code, done.output
    return done


def train(data, *words, code=0, group="none"):
    grouped = [] if group is None else ["--group", group]
    return call("train", data, *grouped, *QUICK, *words, code=code)


def supervised(data, *words, code=0, group="none"):
    return train(data, "--method", "supervised", *words, code=code, group=group)


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def draw(path, kind="Good", number=0, side=24):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = surface(kind, np.random.default_rng(number), side)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that can classify, made once."""
    folder = write_surfaces(tmp_path_factory.mktemp("trained"), per_class=8)
    before = {number: signal.getsignal(number) for number in (2, 15)}
    patch = pytest.MonkeyPatch()
    patch.setenv("UDA_CACHE", str(folder / "cache"))
    supervised(folder / "data", "--project", folder / "runs")
    patch.undo()
    for number, handler in before.items():
        signal.signal(number, handler)
    return folder / "runs" / "train"


def damaged(folder: Path) -> dict[str, str]:
    """Write files that are no whole images; name -> a word of the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = draw(folder / "whole.png", number=5)
    picture = Image.open(whole)
    for suffix in (".jpg", ".png", ".tif"):
        path = folder / f"cut{suffix}"
        picture.save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no picture")
    return {
        "cut.jpg": "cannot be decoded",
        "cut.png": "cannot be decoded",
        "cut.tif": "",
        "empty.png": "0 bytes",
        "text.jpg": "not an image",
    }


def hashes(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_f17_broken_files_are_listed_and_left_alone(home):
    write_surfaces(home, per_class=20, unlabeled=60)
    bad = damaged(home / "more")
    draw(home / "wrong.png", number=3)
    shutil.move(home / "wrong.png", home / "more" / "suffix.jpg")  # a PNG: readable
    before = hashes(home / "data") | hashes(home / "more")
    train(home / "data", "--unlabeled", home / "more", *UDA)
    listed = rows(home / "runs" / "train" / "skipped.csv")
    assert {Path(row["path"]).name for row in listed} == set(bad)
    for row in listed:
        assert bad[Path(row["path"]).name] in row["reason"]
    assert before == hashes(home / "data") | hashes(home / "more")


def test_f17_too_many_broken_files_stop_with_3(home):
    write_surfaces(home, per_class=8)
    bad = damaged(home / "data" / "Rust")
    # A test part is not read.
    done = supervised(home / "data", "--test", "0", code=3)
    assert "may be skipped" in done.stderr
    for name in bad:
        assert name in done.stderr
    assert "repair them or take them out" in done.stderr.replace("\n", " ")


def test_f17_prediction_gives_each_broken_file_a_row(home, trained):
    bad = damaged(home / "in")
    call("predict", trained, home / "in", "--out", home / "p.csv")
    found = {Path(row["path"]).name: row for row in rows(home / "p.csv")}
    assert set(found) == {*bad, "whole.png"}
    for name, reason in bad.items():
        assert found[name]["class"] == ""
        assert found[name]["error"]
        assert reason in found[name]["error"]
    assert found["whole.png"]["class"] in CLASSES


def bomb(path, side=100_000):
    """A PNG of some bytes that says it holds 10,000 million pixels."""

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b""))


def test_f18_decompression_bombs_are_not_unpacked(home, trained):
    write_surfaces(home, per_class=8)
    bomb(home / "data" / "Rust" / "bomb.png")
    supervised(home / "data")
    (listed,) = rows(home / "runs" / "train" / "skipped.csv")
    assert listed["path"] == "Rust/bomb.png"
    assert "decompression bomb" in listed["reason"]
    assert "scale it down" in listed["reason"]
    alone = home / "data" / "Rust" / "bomb.png"
    done = call("predict", trained, alone, "--out", home / "p.csv", code=3)
    assert "none of the 1 images could be read" in done.stderr
    assert "bomb" in rows(home / "p.csv")[0]["error"]


def write_modes(folder: Path) -> list[Path]:
    """One picture in every mode and odd shape that people have."""
    grey = Image.fromarray(surface("Rust", np.random.default_rng(4)))
    colour = Image.merge("RGB", (grey, grey.point(lambda v: v // 2), grey))
    alpha = Image.linear_gradient("L").resize(grey.size)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    folder.mkdir(parents=True)
    pictures = {
        "l.png": grey,
        "la.png": Image.merge("LA", (grey, alpha)),
        "p.png": colour.convert("P"),
        "rgba.png": Image.merge("RGBA", (*colour.split(), alpha)),
        "cmyk.jpg": colour.convert("CMYK"),
        "deep.png": deep,
        "deep.tif": deep,
        "bit.png": grey.convert("1"),
        "one.png": grey.resize((1, 1)),
        "long.png": grey.resize((10_000, 10)),
        "a.webp": colour,
        "b.bmp": colour,
        "c.pgm": grey,
    }
    for name, picture in pictures.items():
        picture.save(folder / name)
    colour.save(folder / "turned.jpg", exif=turned)
    return sorted(folder.iterdir())


def test_f19_every_mode_and_shape_is_trained_on_and_predicted(home, trained):
    write_surfaces(home, per_class=8)
    files = write_modes(home / "more2")
    train(home / "data", "--unlabeled", home / "more2", *UDA)
    assert not (home / "runs" / "train" / "skipped.csv").exists()
    for run in (trained, home / "runs" / "train"):  # grey and colour models
        call("predict", run, home / "more2", "--out", home / f"{run.parent.name}.csv",
             "--overwrite")  # fmt: skip
        found = rows(home / f"{run.parent.name}.csv")
        assert len(found) == len(files)
        assert all(row["class"] in CLASSES for row in found), found


@pytest.mark.parametrize("size", [1, 2])
def test_f20_small_classes_are_reported(home, size):
    write_surfaces(home, per_class=10)
    for number in range(size):
        draw(home / "data" / "Dent" / f"{number}.png", "Rust", 50 + number)
    done = call("split", home / "data", "--group", "none", "--out", home / "s.csv")
    assert f"Dent ({size} images" in done.stderr
    assert "cannot be measured" in done.stderr or "no choice can rest" in done.stderr
    supervised(home / "data", "--split", home / "s.csv", group=None)


def test_f20_an_empty_class_folder_is_noted(home):
    write_surfaces(home, per_class=10)
    (home / "data" / "Dent").mkdir()
    done = call("split", home / "data", "--group", "none", "--out", home / "s.csv")
    assert "folders without images: Dent" in done.stderr


def test_f20_a_class_that_is_only_in_validation(home):
    for kind in CLASSES:
        for number in range(6):
            part = "val" if kind == "Rust" or number > 3 else "train"
            draw(home / "data" / part / kind / f"{number}.png", kind, number)
    done = supervised(home / "data", code=3)
    assert "no labelled training image of: Rust" in done.stderr
    assert "label some" in done.stderr


def test_f20_an_empty_unlabelled_folder(home):
    write_surfaces(home, per_class=8)
    (home / "void").mkdir()
    done = train(home / "data", "--unlabeled", home / "void", code=3)
    assert "void: no images for --unlabeled" in done.stderr
    done = train(home / "data", "--unlabeled", home / "gone", code=3)
    assert "gone: no such folder" in done.stderr
    assert not (home / "runs").exists()


def test_f20_what_no_run_can_have_leaves_no_folder(home):
    """The next run would be train2, and images would be decoded for nothing."""
    write_surfaces(home, per_class=8, unlabeled=4)
    done = train(home / "data", *UDA, code=3)
    assert "no unlabelled image: give a folder with --unlabeled" in done.stderr
    pile = ("--unlabeled", home / "more")
    done = train(home / "data", *pile, *UDA, "--prior", "Good=1,Rost=1", code=2)
    assert "--prior names the class 'Rost' (did you mean 'Rust'?)" in done.stderr
    assert not (home / "runs").exists()


def test_f20_a_name_that_is_taken_is_told(home):
    write_surfaces(home, per_class=8)
    supervised(home / "data", "--name", "line6")
    done = supervised(home / "data", "--name", "line6")
    assert "line6 is there already; this run is" in done.stderr
    assert (home / "runs" / "line6-2" / "weights").is_dir()


def test_f20_a_single_class(home):
    draw(home / "data" / "Good" / "1.png")
    done = supervised(home / "data", code=3)
    assert "only the class 'Good', at least 2 classes are needed" in done.stderr


def test_f20_one_class_of_99_percent(home):
    for number in range(297):
        draw(home / "data" / "Good" / f"{number}.png", "Good", number, side=16)
    for number in range(3):
        draw(home / "data" / "Rust" / f"{number}.png", "Rust", number, side=16)
    supervised(home / "data")
    listed = rows(home / "runs" / "train" / "split.csv")
    assert "Rust" in {row["label"] for row in listed if row["part"] == "labeled"}


def test_f21_copies_never_stand_on_both_sides(home):
    write_surfaces(home, per_class=10)
    for path in sorted((home / "data" / "Rust").iterdir()):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    call("split", home / "data", "--group", "none", "--out", home / "s.csv")
    parts = {row["path"]: row["part"] for row in rows(home / "s.csv")}
    sides = {"labeled": "train", "unlabeled": "train"}
    for path, part in parts.items():
        twin = parts[path.replace("copy-", "")]
        assert sides.get(part, part) == sides.get(twin, twin)


def test_f21_copies_in_train_and_val_folders_leave_training(home):
    for kind in CLASSES:
        for number in range(6):
            part = "val" if number > 3 else "train"
            draw(home / "data" / part / kind / f"{kind}{number}.png", kind, number)
    twin = home / "data" / "val" / "Rust" / "Rust4.png"
    shutil.copy(twin, home / "data" / "train" / "Rust" / "twin.png")
    call("split", home / "data", "--group", "none", "--out", home / "s.csv")
    parts = {row["path"]: row["part"] for row in rows(home / "s.csv")}
    assert parts["val/Rust/Rust4.png"] == "validation"
    assert parts.get("train/Rust/twin.png") != "labeled"


@pytest.mark.slow
def test_f21_near_copies_are_found_by_group_auto(home):
    rng = np.random.default_rng(3)
    for kind in ("Good", "Rust"):
        for number in range(12):
            scene = rng.normal(128, 45, (96, 96))
            for shot in range(2):  # two exposures of one part
                pixels = np.clip(
                    scene + 12 * shot + rng.normal(0, 2, scene.shape), 0, 255
                )
                path = home / "data" / kind / f"{kind}{number:02d}-{shot}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    call("split", home / "data", "--group", "auto", "--out", home / "s.csv")
    parts: dict[str, set[str]] = {}
    for row in rows(home / "s.csv"):
        side = {"unlabeled": "labeled"}.get(row["part"], row["part"])
        parts.setdefault(row["path"][:-6], set()).add(side)
    assert len(parts) == 24
    assert all(len(sides) == 1 for sides in parts.values()), parts


HOSTILE = [
    b"\xff\xfe.png", b"new\nline.png", b"a,b.png", b'quo"te.png', b"=cmd().png",
    b"<img onerror=alert(1)>.png", b"n" * 251 + b".png", b"-x.png", b" blank .png",
]  # fmt: skip


def test_f22_hostile_names_go_all_the_way(home, trained):
    write_surfaces(home, per_class=8)
    (home / "data" / "Rust").rename(home / "data" / "NO")
    (home / "data" / "Good").rename(home / "data" / "<b>=1+1")
    folder = home / "data" / "NO"
    for number, name in enumerate(HOSTILE):
        path = draw(home / "picture.png", "Rust", 90 + number)
        path.rename(os.fsdecode(os.fsencode(folder) + b"/" + name))
    call("split", home / "data", "--group", "none", "--out", home / "s.csv")
    supervised(home / "data", "--split", home / "s.csv", group=None)
    run = home / "runs" / "train"
    call("evaluate", run)
    call("predict", run, folder, "--out", home / "p.csv")
    found = rows(home / "p.csv")
    assert len(found) == 8 + len(HOSTILE)
    assert {row["class"] for row in found} <= {"NO", "'<b>=1+1", "<b>=1+1", "Scratch"}
    assert not any(row["path"].startswith(("=", "-", "+", "@")) for row in found)
    assert all(row["error"] == "" for row in found)


def test_f22_class_names_that_mean_several_labels(home):
    write_surfaces(home, per_class=8)
    (home / "data" / "Rust").rename(home / "data" / "Rust|Good")
    done = supervised(home / "data", code=3)
    assert "Rust|Good" in done.stderr
    assert "one class per image" in done.stderr


def manifest(home, text, **options):
    write_surfaces(home, per_class=4)
    path = home / "data" / "manifest.csv"
    path.write_bytes(text.encode(options.pop("encoding", "utf-8")))
    return path


def ordinary_rows(home, delimiter=","):
    write_surfaces(home, per_class=4)
    names = [(f"{k}/{k}{n:02d}.png", k) for k in CLASSES for n in range(4)]
    return [f"{path}{delimiter}{label}" for path, label in names]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../secret.png,Rust", "stay inside"),
        ("/etc/hostname,Rust", "move the file there"),
        ("loop.png,Rust", "copy the file|missing"),
        ("Rust/gone.png,Rust", "missing"),
        ("Rust/Rust00.png,Good", "contradict"),
        ('Rust/Rust00.png,"Good', "valid CSV"),
        ("Rust/Rust01.png,Rust,more", "3 cells"),
    ],
)
def test_f23_manifests_that_cannot_be_right(home, row, message):
    lines = ["path,label", *ordinary_rows(home), row]
    draw(home / "secret.png")
    (home / "data" / "loop.png").symlink_to("loop.png")
    path = manifest(home, "\n".join(lines))
    done = supervised(home / "data", code=3)
    assert path.name in done.stderr
    assert "line 14" in done.stderr
    assert re.search(message, done.stderr)
    assert not (home / "runs").exists()


def test_f23_equal_rows_count_once(home):
    lines = ["path,label", *ordinary_rows(home)]
    manifest(home, "\n".join([*lines, lines[1], lines[1]]))
    done = call("split", home / "data", "--group", "none", "--out", home / "s.csv")
    assert "rows that come twice count once: line 14" in done.stderr
    assert len(rows(home / "s.csv")) == 12


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_f23_bom_crlf_and_semicolon(home, encoding):
    lines = ["Path;Label", *ordinary_rows(home, ";"), ""]
    manifest(home, "\r\n".join(lines), encoding=encoding)
    call("split", home / "data", "--group", "none", "--out", home / "s.csv")
    assert {row["label"] for row in rows(home / "s.csv")} == set(CLASSES)


def test_f24_a_file_that_is_gone_after_the_split(home):
    write_surfaces(home, per_class=8)
    call("split", home / "data", "--group", "none", "--out", home / "s.csv")
    (home / "data" / "Rust" / "Rust03.png").unlink()
    words = ["--split", home / "s.csv"]
    done = supervised(home / "data", *words, code=3, group=None)
    assert "Rust/Rust03.png" in done.stderr
    (command,) = re.findall("`(uda split .*?)`", done.stderr)
    _, *words = shlex.split(command)
    call(*words)  # what it says can be pasted, and helps
    supervised(home / "data", "--split", words[-1], group=None)
    assert words[-1] == "s-2.csv"


@pytest.mark.parametrize("folds", [(), ("--folds", "2")])
def test_f24_a_file_that_changed_after_the_split_is_refused(home, folds):
    write_surfaces(home, per_class=8)
    call("split", home / "data", "--group", "none", "--out", home / "s.csv")
    draw(home / "data" / "Rust" / "Rust03.png", "Good", 77)
    done = supervised(
        home / "data", "--split", home / "s.csv", *folds, code=3, group=None
    )
    assert "Rust/Rust03.png" in done.stderr
    assert "changed" in done.stderr
    assert not (home / "runs").exists()


def test_f24_a_file_that_vanishes_between_scan_and_reading(home, monkeypatch):
    from uda.training import launch

    write_surfaces(home, per_class=8)
    plain = launch.find_split

    def late(config):
        found = plain(config)
        (home / "data" / "Rust" / "Rust03.png").unlink()
        return found

    monkeypatch.setattr(launch, "find_split", late)
    supervised(home / "data")
    (listed,) = rows(home / "runs" / "train" / "skipped.csv")
    assert listed["path"] == "Rust/Rust03.png"
    assert "missing" in listed["reason"]


@pytest.mark.parametrize("norm", ["joint", "separate", "frozen"])
def test_f25_fewer_unlabelled_images_than_a_batch(home, norm):
    write_surfaces(home, per_class=6, unlabeled=1)
    train(
        home / "data", "--unlabeled", home / "more", *UDA, "--batch-norm", norm,
        "--set", "consistency.include_labeled=false",
    )  # fmt: skip


def test_f25_batches_of_one(home, trained):
    write_surfaces(home, per_class=6, unlabeled=2)
    train(home / "data", "--unlabeled", home / "more", "--batch", "1", "--mu", "1",
          "--start-share", "0.5", "--ramp-share", "0", "--batch-norm",
          "separate")  # fmt: skip
    words = ["predict", trained, home / "data" / "Rust", "--batch", "5"]
    call(*words, "--out", home / "p.csv")  # 6 images: the last batch holds one
    assert all(row["class"] in CLASSES for row in rows(home / "p.csv"))


def test_f38_misspelt_flags_and_keys(home):
    write_surfaces(home, per_class=4)
    done = train(home / "data", "--tempreature", "0.5", code=2)
    assert re.search("Did you mean .*--temperature", done.stderr)
    settings = home / "settings.yaml"
    settings.write_text("supervised:\n  sampling_powr: 0.5\n")
    done = train(home / "data", "--config", settings, code=2)
    assert "did you mean 'supervised.sampling_power'" in done.stderr
    assert not (home / "runs").exists()


def test_f40_a_run_outlives_its_readers(home):
    """No terminal, 20 columns, no colours, and both outputs a closed pipe."""
    write_surfaces(home, per_class=6)
    reading, writing = os.pipe()
    os.close(reading)
    words = [word for word in QUICK if word != "--quiet"]
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "uda", "train", str(home / "data"), "--group",
             "none", "--method", "supervised", *words],
            stdin=subprocess.DEVNULL, stdout=closed, stderr=closed, timeout=120,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "20", "TERM": "dumb"},
        )  # fmt: skip
    assert done.returncode in {0, 1}
    run = RunFolder(home / "runs" / "train")
    assert run.read_status()["state"] == "done"
    assert (run.weights / "ema.safetensors").is_file()


def test_f40_without_a_terminal_nothing_is_coloured_or_redrawn(home):
    write_surfaces(home, per_class=6)
    words = [word for word in QUICK if word != "--quiet"]
    done = call("train", home / "data", "--group", "none", "--method", "supervised",
                *words)  # fmt: skip
    assert "\x1b" not in done.output
    assert "\r" not in done.output
    assert "Next: uda evaluate" in done.stdout
