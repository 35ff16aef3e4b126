"""`uda augment images`: the table, what comes next, mistakes; then a training."""

from __future__ import annotations

import csv
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.support.surfaces import write_surfaces
from uda.cli import main
from uda.data.splits import Split
from uda.offline import images


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_surfaces(tmp_path_factory.mktemp("s"), per_class=6, unlabeled=1)
    for path in sorted((folder / "data" / "Rust").iterdir())[2:]:
        path.unlink()
    return folder / "data"


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def augment(data, out, *words):
    common = ("--policy", "defect-safe", "--to-count", 6, "--out", out)
    return run("augment", "images", data, *common, *words)


def test_table_notes_and_the_next_command(data, tmp_path):
    result = augment(data, tmp_path / "o")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    (rust,) = [line for line in lines if "Rust" in line]
    assert [word for word in rust.split() if word.isdigit()] == ["2", "4", "6"]
    assert "unchanged: has as many" in result.stdout
    assert "Note: no split was given" in result.stderr
    assert lines[-1] == f"Wrote {tmp_path / 'o'}. Next: uda train {tmp_path / 'o'}"


def test_with_a_split_the_next_command_names_the_new_one(data, tmp_path):
    split = tmp_path / "s.csv"
    assert run("split", data, "--group", "none", "--out", split).exit_code == 0
    result = augment(data, tmp_path / "o", "--split", split, "--classes", "Good, Rust")
    assert result.exit_code == 0, result.output
    assert f"--split {tmp_path / 'o' / 'split.csv'}" in result.stdout
    assert "unchanged: not in --classes" in result.stdout
    assert "draw it first" not in result.stderr


def test_every_class_raised_leaves_no_empty_column(data, tmp_path):
    result = augment(data, tmp_path / "o", "--to-count", 8)
    assert result.exit_code == 0, result.output
    header = next(line for line in result.stdout.splitlines() if "before" in line)
    assert [word.strip() for word in header.strip("┃").split("┃")] == [
        "class", "before", "copies", "after",
    ]  # fmt: skip


def test_stopped_it_says_how_far_it_came_and_repeated_that_it_is_complete(
    data, tmp_path, monkeypatch
):
    plain, left = images.make_copy, [3]

    def stop(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return plain(*args, **kwargs)

    out = tmp_path / "o"
    monkeypatch.setattr(images, "make_copy", stop)
    result = augment(data, out)
    assert result.exit_code == 130
    total = len(list(data.rglob("*.png"))) + 4
    said = f"({total - 1} of {total} images are written): repeat the command to finish"
    assert said in result.stderr
    monkeypatch.undo()
    assert "Wrote" in augment(data, out).stdout
    again = augment(data, out)
    assert again.exit_code == 0
    assert f"{out} is complete already: nothing to do. Next:" in again.stdout


def test_a_failing_policy_says_what_it_leaves(data, tmp_path):
    (tmp_path / "p.py").write_text("def augment(image, rng):\n    return 1 / 0\n")
    result = augment(data, tmp_path / "o", "--policy", tmp_path / "p.py")
    assert result.exit_code == 3
    assert "p.py" in result.stderr
    assert "is unfinished (" in result.stderr
    assert "another policy or other options, delete the folder" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--to-count", "2"], 2, "has no effect"),
        (["--to-count", "0"], 2, "--to-count"),
        (["--policy", "defect-save"], 2, "did you mean 'defect-safe'"),
        (["--classes", "rust"], 2, "not in the data (did you mean 'Rust'?)"),
        (["--classes", "nothing"], 2, "not in the data; its classes are"),
        (["--classes", ","], 2, "--classes is empty"),
        (["--split", "no.csv"], 3, "no.csv: cannot be read"),
        (["--split", "no.csv", "--group", "none"], 2, "--group has no effect"),
        (["--out", "."], 2, "is not empty and was not made by this command"),
        (["--out", "mine.txt/new"], 3, "mine.txt/new: Not a directory; see to its"),
        (["--too-count", "5"], 2, "Did you mean"),
    ],
)
def test_mistakes(data, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    result = augment(data, tmp_path / "o", *words)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "o").exists()


def test_import_needs_neither_torch_nor_numpy():
    code = (
        "import sys, uda.cli.augment_images as a; "
        "print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "set()"


@pytest.mark.slow
def test_the_demo_set_is_raised_to_100_and_trains(tmp_path, monkeypatch):
    from uda.data.synthetic import write_demo

    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_demo(tmp_path / "demo", unlabeled=40, size=48)
    assert run("split", "demo", "--group", "none", "--out", "s.csv").exit_code == 0
    words = ("--to-count", 100, "--policy", "defect-safe", "--split", "s.csv")
    made = run("augment", "images", "demo", *words, "--out", "more")
    assert made.exit_code == 0, made.output
    again = run("augment", "images", "demo", *words, "--out", "more")
    assert again.stdout == made.stdout.replace(
        "Wrote more.", "more is complete already: nothing to do."
    )
    rows = Split.load(tmp_path / "more" / "split.csv").part("labeled")
    labels = [row.label for row in rows]
    assert {labels.count(name) for name in labels} == {100}
    train = run(
        "train", "more", "--split", "more/split.csv", "--size", 32, "--steps", 4,
        "--batch", 8, "--mu", 2, "--set", "consistency.texture_weight=0",
        "--threads", 1, "--name", "t", "--quiet",
    )  # fmt: skip
    assert train.exit_code == 0, train.output
    tested = run("evaluate", "runs/t")
    assert tested.exit_code == 0, tested.output
    path = tmp_path / "runs" / "t" / "evaluation" / "test" / "predictions.csv"
    with path.open(newline="") as stream:
        seen = {next(iter(row.values())) for row in csv.DictReader(stream)}
    old = Split.load(tmp_path / "s.csv").part("test")
    assert seen == {row.path for row in old}
