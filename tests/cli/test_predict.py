"""`uda predict`: a row per image, whatever its name and state."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.evaluation.fakes import make_run, write_image
from uda.cli import main
from uda.files import OUTPUT_MARK
from uda.run import bundle as module

COLUMNS = [
    "path",
    "class",
    "confidence",
    "prob:Dark",
    "prob:Good",
    "prob:Rust",
    "error",
]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    run = make_run(tmp_path / "project", per_part=2)
    monkeypatch.setattr(module, "load_bundle", run.load_bundle)
    return run


def call(*words):
    return CliRunner().invoke(main, ["predict", *(str(word) for word in words)])


def read(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_files_and_folders(fake, tmp_path):
    write_image(tmp_path / "in" / "deep" / "er" / "b.PNG", "Rust", 1, spread=0)
    write_image(tmp_path / "in" / "a.png", "Dark", 2, spread=0)
    write_image(tmp_path / "alone.png", "Good", 3, spread=0)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    out = tmp_path / "p.csv"
    result = call(fake.folder, tmp_path / "in", tmp_path / "alone.png", "--out", out)
    assert result.exit_code == 0, result.output
    rows = read(out)
    assert list(rows[0]) == COLUMNS
    found = [(Path(row["path"]).name, row["class"]) for row in rows]
    assert found == [("a.png", "Dark"), ("b.PNG", "Rust"), ("alone.png", "Good")]
    for row in rows:
        probs = [float(row[f"prob:{name}"]) for name in ("Dark", "Good", "Rust")]
        assert sum(probs) == pytest.approx(1, abs=1e-5)
        assert float(row["confidence"]) == max(probs)
        assert row["error"] == ""


def test_broken_images_have_a_row_and_the_others_are_not_held_up(fake, tmp_path):
    folder = tmp_path / "in"
    write_image(folder / "good.png", "Rust", 1, spread=0)
    whole = (folder / "good.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("hello")
    (folder / "wrong.tif").write_bytes(whole)  # a PNG by content: readable
    out = tmp_path / "p.csv"
    (tmp_path / "none.png").symlink_to(tmp_path / "gone.png")
    result = call(fake.folder, folder, tmp_path / "none.png", "--out", out)
    assert result.exit_code == 0, result.output
    rows = {Path(row["path"]).name: row for row in read(out)}
    assert rows["wrong.tif"]["class"] == rows["good.png"]["class"] == "Rust"
    for name in ("cut.png", "empty.jpg", "text.jpg", "none.png"):
        assert rows[name]["error"], name
        assert rows[name]["class"] == rows[name]["prob:Rust"] == ""
    assert "4 images could not be read" in result.stderr
    assert "cut.png" in result.stderr


def test_all_broken_is_an_error_but_the_reasons_are_written(fake, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    out = tmp_path / "p.csv"
    result = call(fake.folder, tmp_path / "a.png", "--out", out)
    assert result.exit_code == 3
    assert "none of the 1 images" in result.stderr
    assert read(out)[0]["error"]


def test_a_path_that_is_not_there_is_refused_before_anything_is_written(fake, tmp_path):
    write_image(tmp_path / "a.png", "Rust", 1)
    out = tmp_path / "p.csv"
    result = call(fake.folder, tmp_path / "a.png", tmp_path / "nosuch", "--out", out)
    assert result.exit_code == 2
    assert "nosuch: there is no such file or folder" in result.stderr
    assert not out.exists()


def test_an_empty_folder(fake, tmp_path):
    (tmp_path / "in").mkdir()
    result = call(fake.folder, tmp_path / "in", "--out", tmp_path / "p.csv")
    assert result.exit_code == 3
    assert "no images below" in result.stderr
    assert not (tmp_path / "p.csv").exists()


def test_a_workbook_is_refused(fake, tmp_path):
    result = call(fake.folder, fake.data, "--out", tmp_path / "answers.xlsx")
    assert result.exit_code == 2
    assert "call it .csv" in result.stderr


def test_nothing_is_overwritten_unasked(fake, tmp_path):
    write_image(tmp_path / "a.png", "Rust", 1)
    out = tmp_path / "p.csv"
    out.write_text("mine")
    words = (fake.folder, tmp_path / "a.png", "--out", out)
    for more in ((), ("--overwrite",)):
        refused = call(*words, *more)
        assert refused.exit_code == 2
        assert "is no list of this command" in refused.stderr
        assert out.read_text() == "mine"
    out.unlink()
    assert call(*words).exit_code == 0
    again = call(*words)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    allowed = call(fake.folder, tmp_path / "a.png", "--out", out, "--overwrite")
    assert allowed.exit_code == 0
    assert len(read(out)) == 1


def test_hostile_names_survive(fake, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    names = [
        "new\nline.png",
        "a,b.png",
        'quo"te.png',
        "=cmd().png",
        "-x.png",
        "日本.png",
    ]
    for number, name in enumerate(names):
        write_image(folder / name, "Rust", number, spread=0)
    raw = os.fsencode(folder) + b"/\xff\xfe.png"
    Path(os.fsdecode(raw)).write_bytes((folder / "a,b.png").read_bytes())
    monkeypatch.chdir(folder)
    odd = os.fsdecode(raw[-6:])
    result = call(fake.folder, "--out", "../p.csv", "--", *names, odd)
    assert result.exit_code == 0, result.output
    rows = read(tmp_path / "p.csv")
    assert [row["path"] for row in rows] == [
        "new\nline.png",
        "a,b.png",
        'quo"te.png',
        "'=cmd().png",
        "'-x.png",
        "日本.png",
        "\\udcff\\udcfe.png",
    ]
    assert {row["class"] for row in rows} == {"Rust"}
    assert len(read(tmp_path / "p.csv")) == 7


def test_standard_output(fake, tmp_path):
    write_image(tmp_path / "a.png", "Rust", 1, spread=0)
    result = call(fake.folder, tmp_path / "a.png", "--out", "-")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert (rows[0]["class"], len(rows)) == ("Rust", 1)


def test_raw_weights(fake, tmp_path):
    write_image(tmp_path / "a.png", "Good", 1, spread=0)
    out = tmp_path / "p.csv"
    call(fake.folder, tmp_path / "a.png", "--out", out, "--weights", "raw")
    assert read(out)[0]["class"] == "Dark"  # the fake's raw weights are off by 60


def test_a_reader_that_has_enough_is_no_error(fake, tmp_path):
    """F40: a pipe closed after the first line ends the command quietly."""
    for number in range(300):
        write_image(tmp_path / "in" / f"{number}.png", "Rust", number)
    code = textwrap.dedent(
        f"""
        from pathlib import Path
        from tests.evaluation.fakes import FakeRun
        from uda.run import bundle
        run = FakeRun(Path({str(fake.folder)!r}), Path({str(fake.data)!r}))
        bundle.load_bundle = run.load_bundle
        from uda.cli import main
        main(["predict", {str(fake.folder)!r}, {str(tmp_path / "in")!r}, "--out", "-"])
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"path,class")
        process.stdout.close()
        errors = process.stderr.read().decode()
        process.wait(timeout=60)
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors
    assert process.returncode == 0


def test_where_nothing_can_be_written(fake, tmp_path):
    write_image(tmp_path / "a.png", "Rust", 1)
    (tmp_path / "file").write_text("no folder")
    result = call(fake.folder, tmp_path / "a.png", "--out", tmp_path / "file" / "p.csv")
    assert result.exit_code == 3
    assert "cannot be written" in result.stderr


def test_what_a_folder_holds_besides_is_told_and_links_lead_anywhere(fake, tmp_path):
    photos, out = tmp_path / "in", tmp_path / "p.csv"
    write_image(photos / "a.png", "Rust", 1)
    write_image(photos / ".trash" / "b.png", "Rust", 1)
    write_image(photos / "runs" / "t" / "curve.png", "Rust", 1)
    (photos / "runs" / OUTPUT_MARK).touch()
    (photos / "._a.png").write_bytes(b"what a Mac leaves behind")
    (photos / "c.heic").write_bytes(b"no known suffix")
    write_image(tmp_path / "elsewhere.png", "Good", 2)
    (photos / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (photos / "nowhere.png").symlink_to(tmp_path / "gone.png")
    result = call(fake.folder, photos, "--out", out)
    assert result.exit_code == 0, result.output
    names = [Path(row["path"]).name for row in read(out)]
    assert names == ["a.png", "link.png", "nowhere.png"]
    assert "1 files are not images by their suffix and were left out: c.heic" in (
        result.stderr
    )
    assert "1 folders hold results of uda" in result.stderr


def test_the_run_that_answers_and_its_state_are_told(fake, tmp_path, monkeypatch):
    """`runs` is the newest run below, which may be one that failed."""
    write_image(tmp_path / "a.png", "Rust", 1)
    words = (tmp_path / "a.png", "--out", tmp_path / "p.csv", "--overwrite")
    status = fake.folder / "status.json"
    status.write_text('{"state": "done"}')
    assert "Note: the run" not in call(fake.folder, *words).stderr
    status.write_text('{"state": "failed", "step": 3, "steps": 9}')
    runs = fake.folder.parent
    real = fake.load_bundle
    monkeypatch.setattr(
        module, "load_bundle", lambda _, **more: real(fake.folder, **more)
    )
    result = call(runs, *words)
    assert result.exit_code == 0, result.output
    assert f"Note: the run that answers is {fake.folder}" in result.stderr
    assert "Note: the run is failed, at step 3 of 9; these are not its final" in (
        result.stderr
    )


def test_images_deeper_than_those_of_the_training_are_told(fake, tmp_path):
    """12 bits in a file of 16 are nearly black to a model of 8-bit images."""
    write_image(tmp_path / "in" / "a.png", "Rust", 1)
    out = tmp_path / "p.csv"
    assert "bits" not in call(fake.folder, tmp_path / "in", "--out", out).stderr
    deep = np.full((20, 12), 4000, np.uint16)
    Image.fromarray(deep).save(tmp_path / "in" / "deep.png")
    result = call(fake.folder, tmp_path / "in", "--out", out, "--overwrite")
    assert result.exit_code == 0, result.output
    assert "1 of 2 files looked at have more than 8 bits" in result.stderr


def test_a_place_that_takes_no_file_is_told_before_the_first_answer(
    fake, tmp_path, monkeypatch
):
    write_image(tmp_path / "a.png", "Rust", 1)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr("uda.cli.predict._ask_run", lambda *_: pytest.fail("asked"))
    result = call(fake.folder, tmp_path / "a.png", "--out", tmp_path / "file" / "p.csv")
    assert result.exit_code == 3
    assert "cannot be written" in result.stderr


def test_help_needs_no_torch():
    code = (
        "import sys; from uda.cli import main;"
        "main(['predict', '--help'], standalone_mode=False);"
        "main(['evaluate', '--help'], standalone_mode=False);"
        "assert not {'torch', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
