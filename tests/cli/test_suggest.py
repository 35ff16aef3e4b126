"""`uda suggest`, the labels filled in, `uda split --labels`, and training on them."""

from __future__ import annotations

import csv
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.ndimage import gaussian_filter

from tests.support.several import write_several
from tests.support.surfaces import surface, write_surfaces
from uda.cli import main
from uda.data.duplicates import Groups, Pair
from uda.data.splits import Split
from uda.files import sha256_file
from uda.run.bundle import load_bundle

KINDS = ("Good", "Rust", "Scratch")


def call(*words: object):
    return CliRunner().invoke(main, [str(word) for word in words])


def dent(rng: np.random.Generator) -> Image.Image:
    """A kind that no class folder has: clouds."""
    cloud = gaussian_filter(rng.normal(size=(24, 24)), 3)
    pixels = 128 + 60 * cloud / np.abs(cloud).max() + rng.normal(0, 8, (24, 24))
    return Image.fromarray(np.uint8(np.clip(pixels, 0, 255)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Class folders, a pile with copies and with a kind of its own, and a run."""
    here = write_surfaces(tmp_path_factory.mktemp("suggest"), unlabeled=45)
    rng = np.random.default_rng(9)
    for number in range(6):
        dent(rng).save(here / "more" / f"v{number}.png")
    # The same part again, a copy of something labelled, and what is no image.
    copies = (("v0.png", "w0.png"), ("u004.png", "deep/w1.png"))
    (here / "more" / "deep").mkdir()
    for source, copy in copies:
        shutil.copy(here / "more" / source, here / "more" / copy)
    shutil.copy(here / "data" / "Rust" / "Rust00.png", here / "more" / "known.png")
    (here / "more" / "broken.png").write_bytes(b"no image")
    done = call(
        "train", here / "data", "--method", "texture", "--imgsz", 24, "--group", "none",
        "--unlabeled", here / "more", "--project", here / "runs", "-q",
        "--set", f"data.cache={here / 'cache'}",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return here


@pytest.fixture
def quick(monkeypatch):
    """Look for equal files alone; the search in the pixels takes seconds."""

    def equal_files(records, **_):
        hashes = tuple(sha256_file(record.file) for record in records)
        pairs = [
            Pair(i, j, "exact", 1.0)
            for j, digest in enumerate(hashes)
            for i in range(j)
            if hashes[i] == digest
        ]
        names = tuple(record.path for record in records)
        ids = np.array([hashes.index(digest) for digest in hashes])
        return Groups(names, ids, tuple(pairs), hashes)

    monkeypatch.setattr("uda.evaluation.suggesting.find_groups", equal_files)


def suggest(here: Path, out: Path, *words: object):
    run = here / "runs" / "train"
    return call("suggest", run, "--unlabeled", here / "more", "--out", out, *words)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def fill(path: Path, label_of) -> list[dict[str, str]]:
    """Write labels into the list as a person would."""
    rows = rows_of(path)
    for row in rows:
        row["label"] = label_of(row)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def truth(row: dict[str, str]) -> str:
    name = row["path"].rsplit("/", 1)[-1]
    if name[0] == "v" or name == "w0.png":
        return "Dent"
    return KINDS[1] if name == "w1.png" else KINDS[int(name[1:4]) % 3]


def split_again(here: Path, labels: Path, out: Path, *words: object):
    return call(
        "split", here / "data", "--unlabeled", here / "more", "--group", "none",
        "--extend", here / "runs" / "train" / "split.csv", "--labels", labels,
        "--out", out, *words,
    )  # fmt: skip


def test_from_the_suggestion_to_a_run_that_has_learned_it(trained, tmp_path, quick):
    out = tmp_path / "suggest.csv"
    result = suggest(trained, out, "--budget", 12)
    assert result.exit_code == 0, result.output
    assert "12 images to label:" in result.stdout
    assert "1 cannot be read" in result.stdout
    assert "shows the same as an image of the part" in result.stdout
    told = shlex.split(result.stdout.splitlines()[-1])
    assert told == [
        "uda", "split", str(trained / "data"), "--group", "none",
        "--unlabeled", str(trained / "more"), "--extend",
        str(trained / "runs" / "train" / "split.csv"), "--labels", str(out),
        "--out", "split2.csv",
    ]  # fmt: skip
    rows = fill(out, truth)
    paths = [row["path"] for row in rows]
    assert len(set(paths)) == 12
    assert {"known.png", "broken.png"}.isdisjoint(paths)
    # Of one thing in two files, one at most.
    assert not {"v0.png", "w0.png"} <= set(paths)
    assert not {"u004.png", "deep/w1.png"} <= set(paths)
    new = [row for row in rows if truth(row) == "Dent"]
    assert len(new) >= 3  # 7 of 53 files
    assert any("unlike anything labelled" in row["reason"] for row in new)
    with Image.open(tmp_path / "suggest.png") as sheet:
        assert sheet.width > 500

    refused = split_again(trained, out, tmp_path / "s.csv")
    assert refused.exit_code == 3
    assert "there is no class Dent" in refused.stderr
    assert "--new-class Dent" in refused.stderr
    rows[0]["label"] = ""  # a row left empty stays unlabelled
    fill(out, lambda row: "" if row["path"] == paths[0] else truth(row))
    done = split_again(trained, out, tmp_path / "s.csv", "--new-class", "Dent")
    assert done.exit_code == 0, done.output
    assert "11 labels filled in" in done.stderr
    assert "the class Dent is new" in done.stderr
    assert "Dent" in done.stdout

    before = Split.load(trained / "runs" / "train" / "split.csv")
    after = Split.load(tmp_path / "s.csv")
    for part in ("test", "validation"):
        assert after.part(part) == before.part(part)
    for row in rows:
        found = after.by_path[f"@0/{row['path']}"]
        empty = row["path"] == paths[0]
        assert found.part == ("unlabeled" if empty else "labeled")
        assert found.label == (None if empty else truth(row))

    trained_again = call(
        "train", trained / "data", "--method", "texture", "--imgsz", 24,
        "--unlabeled", trained / "more", "--split", tmp_path / "s.csv",
        "--project", tmp_path / "runs", "--set", f"data.cache={trained / 'cache'}",
    )  # fmt: skip
    assert trained_again.exit_code == 0, trained_again.output
    assert "label from the split file alone" in trained_again.stderr
    bundle = load_bundle(tmp_path / "runs" / "train")
    assert bundle.classes == ("Dent", *KINDS)
    checked = call("evaluate", tmp_path / "runs" / "train")
    assert checked.exit_code == 0, checked.output

    # The next round asks for none of them again, and the labels stay.
    more = tmp_path / "more.csv"
    again = call(
        "suggest", tmp_path / "runs" / "train", "--unlabeled", trained / "more",
        "--out", more, "--budget", 8,
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert set(paths[1:]).isdisjoint(row["path"] for row in rows_of(more))
    third = call(
        "split", trained / "data", "--unlabeled", trained / "more", "--group", "none",
        "--extend", tmp_path / "s.csv", "--out", tmp_path / "t.csv",
    )  # fmt: skip
    assert third.exit_code == 0, third.output
    assert Split.load(tmp_path / "t.csv").part("labeled") == after.part("labeled")


def test_the_same_call_gives_the_same_list(trained, tmp_path, quick):
    for name in ("a.csv", "b.csv"):
        assert suggest(trained, tmp_path / name, "--budget", 5).exit_code == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_a_filled_list_is_not_overwritten_unasked(trained, tmp_path, quick):
    out = tmp_path / "suggest.csv"
    out.write_text("mine")
    assert suggest(trained, out).exit_code == 2
    assert out.read_text() == "mine"
    out.rename(tmp_path / "suggest.png")
    refused = suggest(trained, out)
    assert refused.exit_code == 2
    assert "suggest.png is there already" in refused.stderr
    assert (tmp_path / "suggest.png").read_text() == "mine"
    assert not out.exists()
    assert suggest(trained, out, "--overwrite").exit_code == 2
    (tmp_path / "suggest.png").unlink()
    assert suggest(trained, out, "--budget", 5).exit_code == 0
    assert suggest(trained, out, "--budget", 5).exit_code == 2
    listed = out.read_text()
    out.write_text(listed.rstrip("\n") + "Rust\n")
    result = suggest(trained, out, "--overwrite", "--budget", 500)
    assert result.exit_code == 2
    assert "1 answers in its column 'label'" in result.stderr
    out.write_text(listed)
    result = suggest(trained, out, "--overwrite", "--budget", 500)
    assert result.exit_code == 0, result.output
    assert "Fewer than 500" in result.stdout
    assert suggest(trained, tmp_path / "x.txt").exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "l.csv"], "--labels needs --extend"),
        (["--new-class", "Dent"], "--new-class has no effect without --labels"),
        (
            ["--labels", "l.csv", "--extend", "SPLIT", "--labels-per-class", "4"],
            "--labels-per-class would hold back",
        ),
        (
            ["--labels", "l.csv", "--extend", "SPLIT", "--multi-label"],
            "does not combine with --multi-label",
        ),
    ],
)
def test_options_without_effect_are_refused(trained, tmp_path, words, message):
    own = trained / "runs" / "train" / "split.csv"
    data = trained / "data"
    if "--multi-label" in words:  # which a manifest alone can say
        data = write_several(tmp_path / "several", images=12, unlabeled=0)
    words = [own if word == "SPLIT" else word for word in words]
    result = call("split", data, "--out", tmp_path / "s.csv", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_nothing_to_suggest_is_said(trained, tmp_path, quick):
    pile = tmp_path / "pile"
    pile.mkdir()
    shutil.copy(trained / "data" / "Good" / "Good00.png", pile / "a.png")
    result = call(
        "suggest", trained / "runs" / "train", "--unlabeled", pile,
        "--out", tmp_path / "s.csv",
    )  # fmt: skip
    assert result.exit_code == 3
    assert "nothing to suggest among 1 images" in result.stderr


def test_a_pile_elsewhere_with_odd_names(trained, tmp_path, quick):
    rng = np.random.default_rng(4)
    (tmp_path / "=pile").mkdir()
    for number in range(6):
        image = Image.fromarray(surface(KINDS[number % 3], rng))
        image.save(tmp_path / "=pile" / f"={number}.png")
    out = tmp_path / "suggest.csv"
    run = trained / "runs" / "train"
    done = call("suggest", run, "--unlabeled", tmp_path / "=pile", "--out", out)
    assert done.exit_code == 0, done.output
    rows = fill(out, lambda row: KINDS[int(row["path"][-5]) % 3])
    assert all(row["path"].startswith("./=") for row in rows)
    assert {row["folder"] for row in rows} == {"./=pile"}
    split = call(
        "split", trained / "data", "--unlabeled", trained / "more",
        "--unlabeled", tmp_path / "=pile", "--group", "none",
        "--extend", run / "split.csv", "--labels", out, "--out", tmp_path / "s.csv",
    )  # fmt: skip
    assert split.exit_code == 0, split.output
    labeled = Split.load(tmp_path / "s.csv").part("labeled")
    assert sum(row.path.startswith("@1/=") for row in labeled) == len(rows)
