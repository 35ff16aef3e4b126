"""A study from the command to its files: what is trained, what is not, what is kept."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from tests.study.conftest import run, words_of
from uda.cli import main
from uda.data.splitfile import Split, ordered
from uda.evaluation.predict import Predictions
from uda.files import OUTPUT_MARK
from uda.study.answers import read_answers
from uda.study.request import Request, read_study
from uda.study.run import images_of, tasks_of, training_part


@pytest.fixture
def copy(finished, home, tmp_path, monkeypatch):
    """A finished study of one's own."""
    monkeypatch.setenv("UDA_CACHE", str(home / "cache"))
    shutil.copytree(finished[0], tmp_path / "out", symlinks=True)
    return tmp_path / "out"


def rows(study):
    return {p.parent: p.stat().st_mtime_ns for p in study.glob("cells/*/*/row.json")}


def test_every_labelled_image_is_answered_once_a_repeat_and_no_test_image(
    finished, home
):
    study, _ = finished
    split = Split.load(home / "split.csv")
    wanted = {r.path for p in ("labeled", "validation") for r in split.part(p)}
    for name in ("texture", "tiny", "tiny-thresholds", "tiny-flips"):
        for repeat in range(2):
            ids = [
                path
                for fold in range(2)
                for path in Predictions.load(
                    study / f"cells/{name}/r{repeat}-f{fold}/predictions.npz"
                ).ids
            ]
            assert sorted(ids) == sorted(wanted)


def test_the_test_part_is_in_no_split_of_the_study(finished, home):
    tests = {row.path for row in Split.load(home / "split.csv").part("test")}
    assert tests
    for path in (finished[0] / "splits").iterdir():
        assert not tests & set(Split.load(path).by_path)
    for path in finished[0].glob("cells/*/*/run/split.csv"):
        assert not tests & set(Split.load(path).by_path)


def test_it_is_told_before_on_how_many_images_a_cell_trains(finished):
    study, output = finished
    splits = [Split.load(path) for path in (study / "splits").glob("r*.csv")]
    counts = {len(split.part("labeled")) for split in splits}
    low, high = min(counts), max(counts)
    told = f"{low} to {high}" if low < high else f"{low}"
    assert f"a cell trains on {told} labelled images" in output
    assert output.index("a cell trains") < output.index("cell 1/16")


def test_what_asks_another_models_trains_none(finished):
    study, _ = finished
    assert not list(study.glob("cells/tiny-*/*/run"))
    assert len(list(study.glob("cells/tiny/*/run/weights/ema.safetensors"))) == 4
    assert not list(study.glob("cells/*/*/run/checkpoints"))
    for path in study.glob("cells/tiny-flips/*/predictions.npz"):
        assert Predictions.load(path).tta == "flips"
    for path in study.glob("cells/tiny-thresholds/*/predictions.npz"):
        assert Predictions.load(path).rule.bias


def test_all_strategies_have_the_seed_of_the_repeat(finished):
    for path in finished[0].glob("cells/*/*/run/config.yaml"):
        repeat = path.parent.parent.name[1]
        assert f"\nseed: {repeat}\n" in path.read_text()


def test_labels_that_the_split_file_alone_knows(home, tmp_path):
    """As `uda suggest` and `uda split --labels` fill them in."""
    split = Split.load(home / "split.csv")
    given = next(row for row in split.part("unlabeled") if row.label is None)
    rows = [
        replace(row, part="labeled", label="Rust") if row == given else row
        for row in split.rows
    ]
    Split(tuple(rows)).save(tmp_path / "split.csv")
    request = Request.of(
        home / "data", tmp_path / "split.csv", [home / "more"], folds=2, repeats=1,
        steps=3, budget=None, seed=0,
    )  # fmt: skip
    catalog, _ = images_of(request)
    assert catalog.by_path[given.path].label == "Rust"


def test_equal_files_of_a_split_without_hashes_are_in_one_fold(home, tmp_path):
    """Else each cell would find the same file on two sides, and refuse to train."""
    data = tmp_path / "data"
    shutil.copytree(home / "data", data)
    split = Split.load(home / "split.csv")
    twins = []
    for row in split.part("labeled")[:4]:
        copy = row.path.replace("/", "/copy-of-")
        shutil.copy(data / row.path, data / copy)
        twins.append(replace(row, path=copy))
    rows = [replace(r, sha256="", group="") for r in (*split.rows, *twins)]
    Split(ordered(rows)).save(tmp_path / "split.csv")
    (tmp_path / "one.yaml").write_text("texture: --method texture --imgsz 16\n")
    code, output = run(
        data, "--unlabeled", home / "more", "--split", tmp_path / "split.csv",
        "--strategies", tmp_path / "one.yaml", "--folds", 2, "--repeats", 2,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0, output
    assert "failed" not in output
    for path in (tmp_path / "out" / "splits").iterdir():
        parts = Split.load(path).by_path
        for row in twins:
            pair = parts[row.path], parts[row.path.replace("copy-of-", "")]
            assert len({one.part == "test" for one in pair}) == 1


def test_images_of_unknown_type_train_and_are_never_asked(home, tmp_path, monkeypatch):
    """A folder `Defect` says less than Rust or Scratch."""
    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    shutil.copytree(home / "data", data)
    (data / "Defect").mkdir()
    for number, path in enumerate(sorted((data / "Rust").iterdir())[:4]):
        path.rename(data / "Defect" / f"{number}{path.suffix}")
    words = [
        "split", str(data), "--unlabeled", str(home / "more"), "--group", "none",
        "--good-class", "Good", "--out", str(tmp_path / "split.csv"),
    ]  # fmt: skip
    assert CliRunner().invoke(main, words).exit_code == 0
    tree = "--method supervised --imgsz 16 --batch 6 --eval-every 2 --tsa none"
    file = tmp_path / "strategies.yaml"
    file.write_text(f"tree: {tree} --good-class Good\nflat: {tree}\n")
    words = [
        data, "--unlabeled", home / "more", "--split", tmp_path / "split.csv",
        "--strategies", file, "--folds", 2, "--repeats", 1, "--steps", 2,
        "--out", tmp_path / "out",
    ]  # fmt: skip
    code, output = run(*words)
    assert code == 2
    assert "Defect is no class but several for strategy 'tree'" in output
    file.write_text(f"tree: {tree} --good-class Good\n")
    code, output = run(*words)
    assert code == 0, output
    assert "failed" not in output
    for fold in range(2):
        split = Split.load(tmp_path / f"out/splits/r0-f{fold}.csv")
        parts = {row.part for row in split.rows if row.label == "Defect"}
        assert parts == {"labeled"}
    request, plan = read_study(tmp_path / "out")
    split = training_part(tmp_path / "split.csv")
    answers = read_answers(tmp_path / "out", request, plan, split)
    assert answers.classes == ("Good", "Rust", "Scratch")


def test_a_label_in_the_pile_and_an_image_that_cannot_be_read(
    home, tmp_path, monkeypatch
):
    """Both are held out by some fold: one is asked for, the other is left out."""
    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    shutil.copytree(home / "data", data)
    broken = sorted((data / "Rust").iterdir())[0]
    broken.write_bytes(b"no image")
    words = [
        "split", str(data), "--unlabeled", str(home / "more"), "--group", "none",
        "--test", "0", "--out", str(tmp_path / "drawn.csv"),
    ]  # fmt: skip
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 0, found.output
    drawn = Split.load(tmp_path / "drawn.csv")
    given = next(row for row in drawn.part("unlabeled") if row.path.startswith("@"))
    rows = [
        replace(row, part="labeled", label="Rust") if row == given else row
        for row in drawn.rows
    ]
    Split(tuple(rows)).save(tmp_path / "split.csv")
    file = tmp_path / "strategies.yaml"
    file.write_text("texture: --method texture --imgsz 16\n")
    words = [
        data, "--unlabeled", home / "more", "--split", tmp_path / "split.csv",
        "--strategies", file, "--folds", 2, "--repeats", 1, "--out", tmp_path / "out",
    ]  # fmt: skip
    code, output = run(*words)
    assert code == 0, output
    name = broken.relative_to(data).as_posix()
    assert f"1 image could not be read and is in no number: {name}." in output
    paths = (tmp_path / "out").glob("cells/*/*/predictions.npz")
    ids = {path for file in paths for path in Predictions.load(file).ids}
    assert given.path in ids
    assert name not in ids


@pytest.mark.parametrize(
    ("flags", "validation", "words"),
    [
        ("--prior estimate", "0.2", r"strategy 'asks', repeat 0, fold 0: --prior est"),
        ("--patience 3", "0", r"strategy 'asks', repeat 0, fold 0: --patience: there"),
    ],
)
def test_a_validation_part_too_small_for_a_strategy_is_told_before_any_cell(
    home, tmp_path, flags, validation, words
):
    split = [
        "split", str(home / "data"), "--unlabeled", str(home / "more"), "--group",
        "none", "--validation", validation, "--out", str(tmp_path / "split.csv"),
    ]  # fmt: skip
    assert CliRunner().invoke(main, split).exit_code == 0
    (tmp_path / "one.yaml").write_text(f"asks: --imgsz 16 --batch 6 {flags}\n")
    code, output = run(
        home / "data", "--unlabeled", home / "more", "--split", tmp_path / "split.csv",
        "--strategies", tmp_path / "one.yaml", "--folds", 2, "--repeats", 1,
        "--steps", 900, "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 2, output
    assert re.search(words, output)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_images_by_mistake_is_not_marked_as_results(home, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(home / "data", data)
    words = words_of(home, data / "Good")
    code, output = run(*words)
    assert code == 2
    assert "no study" in output
    assert not (data / "Good" / OUTPUT_MARK).exists()


def test_the_same_command_trains_nothing_again(copy, home):
    before = rows(copy)
    code, output = run(*words_of(home, copy))
    assert code == 0
    assert rows(copy) == before
    assert "cell 16/16" in output


def test_a_lost_cell_is_made_again_as_it_was(copy, home):
    cell = copy / "cells/tiny/r1-f0"
    was = Predictions.load(cell / "predictions.npz")
    shutil.rmtree(cell)
    before = rows(copy)
    assert run(*words_of(home, copy))[0] == 0
    after = rows(copy)
    assert {k: v for k, v in after.items() if k != cell} == before
    now = Predictions.load(cell / "predictions.npz")
    assert now.ids == was.ids
    np.testing.assert_array_equal(now.log_probs, was.log_probs)


def test_a_cell_killed_before_its_configuration_starts_anew(copy, home):
    cell = copy / "cells/tiny/r1-f1"
    (cell / "row.json").unlink()
    (cell / "run" / "config.yaml").unlink()
    (cell / "run" / "status.json").write_text(json.dumps({"state": "running"}))
    assert run(*words_of(home, copy))[0] == 0
    assert "error" not in json.loads((cell / "row.json").read_text())


def test_a_strategy_that_fails_does_not_end_the_study(copy, home, tmp_path):
    text = (home / "strategies.yaml").read_text()
    broken = (
        "broken: --method supervised --imgsz 16 --batch 6 --optimizer sgd --lr 1e30"
    )
    file = tmp_path / "more.yaml"
    file.write_text(f"{text}{broken}\nits flips: {{of: broken, tta: flips}}\n")
    words = words_of(home, copy)
    words[words.index("--strategies") + 1] = file
    before = rows(copy)
    code, output = run(*words)
    assert code == 0
    assert {k: v for k, v in rows(copy).items() if k in before} == before
    row = json.loads((copy / "cells/broken/r0-f0/row.json").read_text())
    assert row["error"]
    assert "4 of 4 cells failed" in (copy / "verdict.txt").read_text()
    assert "was not trained" in (copy / "verdict.txt").read_text()
    assert "broken" in output


def test_another_request_is_refused_and_says_what_differs(copy, home):
    words = words_of(home, copy)
    words[words.index("--steps") + 1] = 4
    code, output = run(*words)
    assert code == 2
    assert "steps is 4 here and 3 there" in output


def test_processes_side_by_side_wait_for_the_model_they_ask(finished):
    study, _ = finished
    request, plan = read_study(study)
    tasks = tasks_of(study, request, plan)
    assert len(tasks) == 16
    place = {task.cell: at for at, task in enumerate(tasks)}
    assert all(place[t.trained_by] <= place[t.cell] for t in tasks)
    asking = [t for t in tasks if t.cell.slug.startswith("tiny-")]
    assert {t.trained_by.slug for t in asking} == {"tiny"}


def test_answers_are_read_with_their_groups(finished, home):
    study, _ = finished
    request, plan = read_study(study)
    split = training_part(home / "split.csv")
    answers = read_answers(study, request, plan, split)
    assert answers.classes == ("Good", "Rust", "Scratch")
    assert sum(answers.counts) == len(split.part("labeled") + split.part("validation"))
    assert len(answers.shared("texture", "tiny")) == 4


@pytest.mark.slow
def test_two_processes_give_what_one_gives(finished, home, tmp_path, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(home / "cache"))
    code, _ = run(*words_of(home, tmp_path / "two"), "--jobs", 2)
    assert code == 0
    found, wanted = (
        {p.relative_to(study) for p in study.glob("cells/*/*/predictions.npz")}
        for study in (tmp_path / "two", finished[0])
    )
    assert found == wanted
    assert found
    for path in (tmp_path / "two" / name for name in found):
        one = finished[0] / path.relative_to(tmp_path / "two")
        np.testing.assert_array_equal(
            Predictions.load(path).log_probs, Predictions.load(one).log_probs
        )
