from __future__ import annotations

import errno
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from uda.cli import main
from uda.data.splits import Split


def data(root: Path, *, manifest: str = "") -> Path:
    lines = [f"path,label,{manifest}"]
    for label in ("Good", "[bold]Rust"):
        (root / label).mkdir(parents=True)
        for i in range(12):
            (root / label / f"{i:02}.png").write_text(f"{label} {i}")
            lines.append(f"{label}/{i:02}.png,{label},{label}{i // 2}")
    if manifest:
        (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["split", *map(str, args)])


def test_writes_the_split_and_prints_the_table(tmp_path):
    out = tmp_path / "split.csv"
    root = data(tmp_path / "d", manifest="group")
    result = run(root, "--labels-per-class", 2, "--out", out)
    assert result.exit_code == 0, result.output
    split = Split.load(out)
    assert len(split.part("labeled")) == 4
    assert all(row.group for row in split.rows)
    assert "[bold]Rust" in result.stdout  # a class name is no markup
    for word in ("labeled", "unlabeled", "validation", "test", "groups"):
        assert word in result.stdout
    assert f"Wrote {out}. Next: uda train {root} --split {out}" in result.stdout
    assert "Warning" not in result.stderr


def test_the_seed_decides(tmp_path):
    root = data(tmp_path / "d")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(root, "--seed", seed, "--out", tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_a_random_split_warns_that_leaks_were_not_checked(tmp_path):
    root = data(tmp_path / "d", manifest="group")
    result = run(root, "--group", "none", "--out", tmp_path / "s.csv")
    assert result.exit_code == 0
    assert "Warning: no groups were given" in result.stderr
    assert "leaks were not checked" in result.stderr
    assert {row.group for row in Split.load(tmp_path / "s.csv").rows} == {None}


def test_a_column_by_name(tmp_path):
    root = data(tmp_path / "d", manifest="tile")
    out = tmp_path / "s.csv"
    assert run(root, "--group", "Tile", "--out", out).exit_code == 0
    assert Split.load(out).rows[0].group is not None
    wrong = run(root, "--group", "tiles", "--out", tmp_path / "t.csv")
    assert wrong.exit_code == 2
    assert "no column 'tiles' (did you mean 'tile'?)" in wrong.stderr
    assert not (tmp_path / "t.csv").exists()


def test_groups_found_in_the_pixels(tmp_path, monkeypatch):
    finder = types.ModuleType("uda.data.duplicates")
    finder.find_groups = lambda catalog: types.SimpleNamespace(
        groups={record.path: "one" for record in catalog.records[:12]}
    )
    monkeypatch.setitem(sys.modules, "uda.data.duplicates", finder)
    out = tmp_path / "s.csv"
    result = run(data(tmp_path / "d"), "--group", "auto", "--out", out)
    assert result.exit_code == 0, result.output
    parts = {row.part for row in Split.load(out).rows if row.group == "one"}
    assert parts == {"labeled"}  # one group of a class: training first
    assert "too small for the part 'test'" in result.stderr


def test_never_overwrites(tmp_path):
    out = tmp_path / "split.csv"
    out.write_text("mine")
    result = run(data(tmp_path / "d"), "--out", out)
    assert result.exit_code == 2
    assert "exists and is never overwritten; give another --out" in result.stderr
    assert out.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with monkeypatch.context() as patch:
        patch.setattr("uda.data.records.scan", None)  # not reached
        result = run(data(tmp_path / "d"), "--out", tmp_path / "file" / "split.csv")
    assert result.exit_code == 3
    assert "split.csv: cannot be written" in result.stderr
    assert "choose another --out" in result.stderr

    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Split, "save", full)
    result = run(tmp_path / "d", "--out", tmp_path / "split.csv")
    assert result.exit_code == 3
    assert "split.csv: cannot be written (No space left on device)" in result.stderr


def test_the_next_command_can_be_pasted(tmp_path):
    """Names with spaces and brackets are quoted for the shell."""
    root = data(tmp_path / "my photos")
    pile = tmp_path / "more & more"
    for place in (pile, root / "Dent"):
        place.mkdir()
        (place / "u.png").write_text(str(place))
    out = tmp_path / "a split.csv"
    result = run(
        *(root, "--out", out, "--unlabeled", pile, "--good-class", "[bold]Rust")
    )
    assert result.exit_code == 0, result.output
    line = result.stdout.split("Next: ")[1].strip()
    assert shlex.split(line) == [
        "uda", "train", str(root), "--unlabeled", str(pile),
        "--good-class", "[bold]Rust", "--split", str(out),
    ]  # fmt: skip


def test_extends_with_the_test_part_byte_for_byte(tmp_path):
    root = data(tmp_path / "d")
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    run(root, "--labels-per-class", 2, "--out", old)
    (root / "Good" / "late.png").write_text("late")
    pile = tmp_path / "pile" / "deep"
    pile.mkdir(parents=True)
    (pile / "=u.png").write_text("u")
    result = run(
        *(root, "--extend", old, "--out", new, "--unlabeled", tmp_path / "pile")
    )
    assert result.exit_code == 0, result.output
    tests = [
        [line for line in file.read_bytes().splitlines() if b",test," in line]
        for file in (old, new)
    ]
    assert tests[0] == tests[1] != []
    split = Split.load(new)
    assert split.by_path["Good/late.png"].part == "labeled"
    assert split.by_path["@0/deep/=u.png"].part == "unlabeled"
    assert "2 new images were added" in result.stderr


def test_an_older_split_with_groups_wants_groups(tmp_path):
    """Without them, twins of test images would train as new images."""
    root = data(tmp_path / "d", manifest="part")
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    assert run(root, "--group", "part", "--out", old).exit_code == 0
    (tmp_path / "pile").mkdir()
    (tmp_path / "pile" / "u.png").write_text("u")
    words = (root, "--unlabeled", tmp_path / "pile", "--extend", old, "--out", new)
    result = run(*words)
    assert result.exit_code == 2
    assert "give --group as for the older split" in result.stderr
    assert not new.exists()
    assert run(*words, "--group", "none").exit_code == 0


def test_a_deleted_test_image_needs_a_word(tmp_path):
    root = data(tmp_path / "d")
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    run(root, "--out", old)
    gone = Split.load(old).part("test")[0].path
    (root / gone).unlink()
    result = run(root, "--extend", old, "--out", new)
    assert result.exit_code == 3
    assert gone in result.stderr
    assert "--refresh" in result.stderr
    result = run(root, "--extend", old, "--out", new, "--refresh")
    assert result.exit_code == 0, result.output
    assert gone not in Split.load(new).by_path
    assert "do not compare with older ones" in result.stderr
    result = run(root, "--refresh", "--out", tmp_path / "third.csv")
    assert result.exit_code == 2
    assert "--refresh has no effect without --extend" in result.stderr


def test_files_that_are_no_images_are_told(tmp_path):
    """They are counted like others here, and missing in training."""
    root = tmp_path / "d"
    for name in ("Good", "Rust"):
        for number in range(6):
            path = root / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), 40 * number).save(path)
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    assert "no images" not in run(root, "--out", first).stderr
    (root / "Rust" / "0.png").write_text("no image")
    result = run(root, "--out", second)
    assert "1 files are no images that can be read" in result.stderr
    assert "Rust/0.png" in result.stderr


def test_options_without_effect_are_refused(tmp_path):
    root = data(tmp_path / "d")
    run(root, "--out", tmp_path / "old.csv")
    args = ("--extend", tmp_path / "old.csv", "--out", tmp_path / "new.csv")
    result = run(root, *args, "--test", 0.2)
    assert result.exit_code == 2
    assert "--test has no effect with --extend" in result.stderr


def test_a_seed_without_a_draw_is_refused(tmp_path):
    root = data(tmp_path / "d")
    run(root, "--out", tmp_path / "old.csv", "--labels-per-class", 2)
    args = (
        "--extend",
        tmp_path / "old.csv",
        "--out",
        tmp_path / "new.csv",
        "--seed",
        3,
    )
    result = run(root, *args)
    assert result.exit_code == 2
    assert "--seed has no effect with --extend" in result.stderr
    assert run(root, *args, "--labels-per-class", 3).exit_code == 0


def test_a_share_has_no_place_in_an_older_split(tmp_path):
    root = data(tmp_path / "d")
    run(root, "--out", tmp_path / "old.csv")
    args = ("--extend", tmp_path / "old.csv", "--out", tmp_path / "new.csv")
    result = run(root, *args, "--labels-share", 0.5)
    assert result.exit_code == 2
    assert "--labels-share has no effect with --extend" in result.stderr


def test_an_imbalanced_draw_and_one_that_keeps_the_ratio(tmp_path):
    root = data(tmp_path / "d", manifest="group")
    uneven, share = tmp_path / "uneven.csv", tmp_path / "share.csv"
    counts = "Good=5, [bold]Rust=2"
    assert run(root, "--labels-per-class", counts, "--out", uneven).exit_code == 0
    drawn = [row.label for row in Split.load(uneven).part("labeled")]
    assert (drawn.count("Good"), drawn.count("[bold]Rust")) == (5, 2)
    assert run(root, "--labels-share", 0.5, "--out", share).exit_code == 0
    rows = Split.load(share)
    training = {r.group for r in rows.rows if r.part in ("labeled", "unlabeled")}
    assert len({row.group for row in rows.part("labeled")}) == len(training) // 2
    assert rows.part("test") == Split.load(uneven).part("test")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["none"], 3, "there is no such file or folder"),
        (["d", "--test", "1.5"], 2, "--test 1.5"),
        (["d", "--labels-per-class", "0"], 2, "labels-per-class"),
        (["d", "--labels-per-class", "Good=2"], 2, "no number for [bold]Rust"),
        (["d", "--labels-per-class", "Good=2,Rost=1"], 2, "the data lack: Rost"),
        (["d", "--labels-per-class", "Good=2,Good=1"], 2, "'Good' is given twice"),
        (["d", "--labels-per-class", "Good=2,x"], 2, "'x' names no class"),
        (["d", "--labels-per-class", "Good=two"], 2, "not a number of labels"),
        (["d", "--labels-per-class", "Good=99,[bold]Rust=1"], 2, "Good=99: outside"),
        (["d", "--labels-share", "0"], 2, "labels-share"),
        (["d", "--labels-share", ".5", "--labels-per-class", "1"], 2, "one of them"),
        (["d", "--unlabeled", "nowhere"], 3, "nowhere: no such folder"),
        (["d", "--extend", "nowhere.csv"], 3, "nowhere.csv: cannot be read"),
        (["d", "--lables-per-class", "2"], 2, "Did you mean"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, args, code, message):
    monkeypatch.chdir(tmp_path)
    data(tmp_path / "d")
    result = run(*args)
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "split.csv").exists()


def test_import_needs_neither_torch_nor_numpy():
    code = (
        "import sys, uda.cli.split; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "set()"
