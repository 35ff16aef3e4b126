"""`uda filter`: a list of what is kept, that `uda train` takes."""

from __future__ import annotations

import csv

import pytest
from click.testing import CliRunner

from tests.evaluation.fakes import make_run, write_deep, write_image
from uda.cli import main
from uda.data.records import scan
from uda.run import bundle as module


@pytest.fixture
def pile(tmp_path, monkeypatch):
    run = make_run(tmp_path / "project", per_part=2)
    monkeypatch.setattr(module, "load_bundle", run.load_bundle)
    for number in range(8):
        name = ("Dark", "Good")[number % 2]
        write_image(tmp_path / "pile" / f"{number}.png", name, number, spread=9)
    (tmp_path / "pile" / "broken.png").write_bytes(b"x")
    return tmp_path / "pile"


def call(*words):
    words = ["filter", "run", *(str(word) for word in words)]
    return CliRunner().invoke(main, words)


def test_a_list_is_written_and_can_be_trained_on(pile, tmp_path):
    out = tmp_path / "kept.csv"
    result = call("--unlabeled", pile, "--out", out, "--per-class", 3)
    assert result.exit_code == 0, result.output
    assert "Dark: 3 of 4 kept, the least sure at" in result.stdout
    assert "6 of 9 images kept" in result.stdout
    assert "1 unreadable" in result.stdout
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 9
    kept = {row["path"] for row in rows if row["kept"] == "1"}
    data = tmp_path / "data"
    for name in ("Dark", "Good"):
        write_image(data / name / "1.png", name, 50)
    catalog = scan(data, unlabeled=[out])
    found = {r.path.removeprefix("@0/") for r in catalog.records if r.label is None}
    assert found == kept


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--per-class", "2", "--keep", "0.5"], 2, "give one of them"),
        (["--keep", "0"], 2, "--keep"),
        (["--device", "nothing"], 2, "try --device cpu"),
    ],
)
def test_what_cannot_be_is_refused(pile, tmp_path, words, code, message):
    result = call("--unlabeled", pile, "--out", tmp_path / "k.csv", *words)
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "k.csv").exists()


def test_no_list_is_overwritten_unasked(pile, tmp_path):
    out = tmp_path / "kept.csv"
    for words in ([], ["--overwrite"]):
        out.write_text("mine")
        assert call("--unlabeled", pile, "--out", out, *words).exit_code == 2
        assert out.read_text() == "mine"
    out.write_text("path,folder,class,confidence,kept,reason\n")
    assert call("--unlabeled", pile, "--out", out).exit_code == 2
    done = call("--unlabeled", pile, "--out", out, "--overwrite")
    assert done.exit_code == 0
    assert out.read_text().startswith("path,folder,class,confidence,kept,reason")


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    pile, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("uda.evaluation.relevance.filter_images", None)  # not reached
    result = call("--unlabeled", pile, "--out", tmp_path / "file" / "kept.csv")
    assert result.exit_code == 3
    assert "kept.csv: cannot be written" in result.stderr


def test_files_deeper_than_those_of_the_training_are_told(pile, tmp_path):
    write_deep(pile / "deep.png")
    result = call("--unlabeled", pile, "--out", tmp_path / "k.csv")
    assert result.exit_code == 0, result.output
    assert "1 of 9 files looked at have more than 8 bits" in result.stderr
