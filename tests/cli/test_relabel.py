"""From planted errors to a manifest without them, through real fold trainings."""

from __future__ import annotations

import csv
import shutil
import signal

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.support.surfaces import write_surfaces
from uda.cli import main
from uda.cli.relabel import _draw, _say_applied
from uda.data.preprocessing import Preprocessing
from uda.data.splitfile import Split, SplitRow
from uda.evaluation import locations
from uda.evaluation.doubt import Doubt
from uda.files import write_json
from uda.reporting import doubts
from uda.reporting.doubts import draw_doubts
from uda.run.layout import RunFolder

PLANTED = {
    "Good/Good03.png": "Rust",
    "Good/Good11.png": "Scratch",
    "Rust/Rust05.png": "Scratch",
    "Rust/Rust08.png": "Good",
    "Scratch/Scratch07.png": "Good",
    "Scratch/Scratch12.png": "Rust",
}


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def table(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A run with folds on 48 labels of which six are wrong."""
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    folder = tmp_path_factory.mktemp("relabel")
    write_surfaces(folder)
    for path, new in PLANTED.items():
        (folder / "data" / path).rename(folder / "data" / new / path.split("/")[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDA_CACHE", str(folder / "cache"))
        result = call(
            "train", folder / "data", "--method", "texture", "--imgsz", "24",
            "--folds", "4", "--repeats", "2", "--group", "none", "--test", "0.1",
            "--validation", "0.1", "--project", folder / "runs", "-q",
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    for one, handler in handlers.items():
        signal.signal(one, handler)
    return folder


def trained_and_planted(work):
    rows = Split.load(work / "runs" / "train" / "split.csv").rows
    tested = {row.path for row in rows if row.part == "test"}
    wrong = {f"{new}/{old.split('/')[1]}" for old, new in PLANTED.items()}
    return wrong - tested


def test_planted_errors_are_listed_first_and_mended(work, tmp_path, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(work / "cache"))
    run, out = work / "runs" / "train", tmp_path / "doubts.csv"
    before = sorted(p.relative_to(work / "data") for p in work.rglob("data/**/*"))
    result = call("relabel", run, "--out", out)
    assert result.exit_code == 0, result.output
    doubted = {row["path"] for row in table(out)}
    wrong = trained_and_planted(work)
    assert len(wrong) >= 3
    assert len(doubted & wrong) >= 2
    assert len(doubted) < 21  # half of what is asked
    result = call("relabel", run, "--top", "12", "--out", out, "--overwrite")
    assert result.exit_code == 0, result.output
    rows = table(out)
    first = {row["path"] for row in rows[: len(wrong)]}
    # At random about one in eight would be.
    assert len(first & wrong) >= 0.75 * len(wrong)
    assert all(row["new_label"] == "" for row in rows)
    with Image.open(out.with_suffix(".png")) as sheet:
        assert min(sheet.size) > 100
    after = sorted(p.relative_to(work / "data") for p in work.rglob("data/**/*"))
    assert before == after

    for row in rows:
        kind = row["path"].split("/")[1].rstrip(".png0123456789")
        row["new_label"] = kind if row["path"] in wrong else ""
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    applied = call("relabel", run, "--apply", out)
    assert applied.exit_code == 0, applied.output
    manifest = work / "data" / "relabelled.csv"
    mended = {row["path"]: row["label"] for row in table(manifest)}
    for path in wrong:
        assert path.split("/")[1].startswith(mended[path])
    assert call("relabel", run, "--apply", out).exit_code == 2  # is there already

    again = call(
        "train", manifest, "--method", "texture", "--imgsz", "24",
        "--project", tmp_path / "runs", "-q",
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    old, new = (
        {r.path for r in Split.load(r / "split.csv").part("test")}
        for r in (run, tmp_path / "runs" / "train")
    )
    assert old == new
    manifest.unlink()


def test_so_many_as_asked_for(work, tmp_path):
    out = tmp_path / "five.csv"
    result = call("relabel", work / "runs" / "train", "--top", "5", "--out", out)
    assert result.exit_code == 0, result.output
    assert len(table(out)) == 5
    assert "5 of " in result.output
    again = call("relabel", work / "runs" / "train", "--out", out)
    assert again.exit_code == 2
    assert "--overwrite" in again.output


def test_what_is_refused(work, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(work / "runs" / "train", run)
    out = tmp_path / "d.csv"
    call("relabel", run, "--top", "2", "--out", out)
    empty = call("relabel", run, "--apply", out)
    assert empty.exit_code == 2
    assert "no new label is filled in" in empty.output
    useless = call("relabel", run, "--apply", out, "--top", "2")
    assert "--top has no effect" in useless.output
    rows = out.read_text().splitlines()
    out.write_text("\n".join([rows[0], *(row + "unlabeled" for row in rows[1:])]))
    elsewhere = call("relabel", run, "--apply", out, "--out", tmp_path / "m.csv")
    assert elsewhere.exit_code == 2
    assert "has to lie in" in elsewhere.output
    (run / "out_of_fold.npz").unlink()
    without = call("relabel", run, "--out", tmp_path / "x.csv")
    assert without.exit_code == 2
    assert "uda train DATA --folds 5" in without.output


def test_several_labels_are_refused(work, tmp_path):
    from uda.evaluation.out_of_fold import HeldOut, OutOfFold
    from uda.evaluation.predict import Predictions

    run = tmp_path / "run"
    shutil.copytree(work / "runs" / "train", run)
    logs = np.log(np.full((2, 2), 0.5, np.float32))
    said = Predictions(["a", "b"], np.eye(2, dtype=np.int64), logs, ("A", "B"),
                       link="sigmoid")  # fmt: skip
    OutOfFold.pooled([HeldOut(said, ("a", "b"), 0, 0, "network")]).save(
        run / "out_of_fold.npz"
    )
    result = call("relabel", run, "--out", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert "multi-label" in result.output


@pytest.mark.parametrize("group", ["", "g1"])
def test_where_test_images_have_twins_groups_are_to_be_given_again(
    group, tmp_path, capsys
):
    rows = (
        SplitRow("a.png", "test", "Good", group or None, ""),
        SplitRow("b.png", "labeled", "Good", None, ""),
    )
    _say_applied({"b.png": "Rust"}, Split(rows), tmp_path / "relabelled.csv")
    assert ("--group auto" in capsys.readouterr().out) == bool(group)


def test_images_of_twelve_bits_are_drawn_as_the_run_reads_them(tmp_path, monkeypatch):
    """With all sixteen bits taken for granted they would be nearly black."""
    deep = np.linspace(500, 3500, 900, dtype=np.uint16).reshape(30, 30)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    run = RunFolder(tmp_path)
    read = Preprocessing((24, 24), 1, "squash", (500.0, 3500.0), (0.5,), (0.2,))
    write_json(run.model, {"preprocessing": read.to_json()})
    files = [tmp_path / "deep.png"]
    monkeypatch.setattr(locations, "image_files", lambda run, paths: files)
    doubt = Doubt("deep.png", "Good", "Rust", 0.2, 0.7, 0.5, 0.25, True, 1, 1)
    seen = []

    def spy(drawn, read):
        seen.extend(read(entry.path) for entry in drawn.values())
        return draw_doubts(drawn, read)

    monkeypatch.setattr(doubts, "draw_doubts", spy)
    assert _draw(run, [doubt], tmp_path / "sheet.png") == 1
    (pixels,) = seen
    assert (pixels.min(), pixels.max()) == (0, 255)
