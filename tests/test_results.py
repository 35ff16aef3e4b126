"""scripts/results: arms that parse, folds that do not leak, tables that add up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from uda.cli import main
from uda.cli.options import parse_assignments
from uda.cli.train import command
from uda.cli.train_flags import given_keys
from uda.data.records import scan
from uda.data.splits import Split
from uda.evaluation.evaluate import evaluate, load_bundles
from uda.evaluation.parts import split_part
from uda.evaluation.rates import confusion_matrix, rates
from uda.files import read_json
from uda.run.layout import open_run
from uda.training.configure import build_config

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "scripts"))
import _arms  # noqa: E402
import _common  # noqa: E402
import _fold_tables  # noqa: E402
import _folds  # noqa: E402
import _main_suite  # noqa: E402
import results  # noqa: E402

sys.path.remove(str(PROJECT / "scripts"))

CLASSES = ("Good", "Grind_Marks", "Rust", "Scratch")
PRIOR = {"Good": 0.75, "Rust": 0.25}
TINY = _arms.Draw("tiny", (6, 4, 3, 2), words="tiny")


def config_of(flags: list[str]):
    context = command.make_context("train", ["data", *flags])
    words = context.params.pop("assignments")
    given = {**given_keys(context.params), **parse_assignments(words)}
    return build_config(given)


@pytest.mark.parametrize("name", _arms.ARMS)
@pytest.mark.parametrize("draw", _arms.DRAWS)
def test_every_arm_is_a_configuration_without_idle_options(name, draw):
    flags = _arms.flags_of(name, _arms.DRAWS[draw], PRIOR)
    config = config_of([*flags, "--threads", "1"])
    assert config.semi_supervised == _arms.is_semi_supervised(flags)
    overruled = config.consistency.texture_weight == 0
    guarded = config.semi_supervised and config.consistency.weak_pass == "table"
    assert guarded == _arms.has_guard(flags)
    alone = "consistency.texture_weight=0" in _arms.ARMS[name]
    assert overruled == (
        (guarded and _arms.DRAWS[draw].overrule and name != _arms.DEFAULT) or alone
    )


@pytest.mark.parametrize("arm", _main_suite.ARMS)
def test_every_arm_of_the_main_suite_too(arm):
    flags = [word for word in _main_suite.ARMS[arm] if word != "{seconds}s"]
    config_of([word for word in flags if word != "--budget"])


def test_suites_name_arms_and_no_two_arms_are_one_run_by_mistake():
    for suite in _arms.SUITES.values():
        assert {suite.reference, *suite.arms} <= set(_arms.ARMS)
        assert len(set(suite.arms)) == len(suite.arms)
    folders = {
        name: _folds.Cell("d", "l", 0, 0, name).folder(Path()) for name in _arms.ARMS
    }
    shared = Counter(folders.values())
    twins = {name for name in folders if shared[folders[name]] > 1}
    assert twins == {*_arms.SAME, *_arms.SAME.values()}
    for one, other in _arms.SAME.items():
        assert _arms.ARMS[one] == _arms.ARMS[other]


def test_generations_share_the_length_of_one_run():
    steps, time = _folds.Length("--steps", "400"), _folds.Length("--budget", "8m")
    crest = _arms.ARMS["uda, CReST, 3 generations"]
    assert steps.flags([]) == ["--steps", "400"]
    assert steps.flags(crest) == ["--steps", "133"]
    assert time.flags(crest) == ["--budget", "8m"]  # uda train divides it


def test_the_seed_turns_which_class_is_rare():
    draw = _arms.Draw("x", (9, 5, 1))
    assert draw.labels(("a", "b", "c"), 0) == {"a": 9, "b": 5, "c": 1}
    assert draw.labels(("a", "b", "c"), 1) == {"b": 9, "c": 5, "a": 1}
    assert draw.labels(("a", "b", "c"), 3) == draw.labels(("a", "b", "c"), 0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A set of 4 classes in groups of two, with a test part of its own."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = ["path,label,group,split"]
    (root / "tiny").mkdir()
    for number, label in enumerate(CLASSES):
        for i in range(28):
            name = f"{label}-{i:02}.png"
            pixels = rng.integers(20 * number, 20 * number + 120, (16, 16))
            Image.fromarray(pixels.astype(np.uint8)).save(root / "tiny" / name)
            part = "test" if i >= 24 else "train"
            lines.append(f"{name},{label},{label}{i // 2},{part}")
    (root / "tiny" / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def test_folds_share_no_group_and_leave_the_test_part_alone(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.setitem(_folds.DRAWS, "tiny", TINY)
    catalog = scan(tiny / "tiny")
    group, part = catalog.groups(), {r.path: r.part for r in catalog.records}
    folds = _folds.folds_of(catalog)
    everything = [path for fold in folds for path in fold]
    assert sorted(everything) == sorted(p for p in part if part[p] == "train")
    names = [{group[path] for path in fold} for fold in folds]
    assert sum(map(len, names)) == len(set().union(*names))
    for fold in folds:
        assert Counter(path.split("-")[0] for path in fold) == dict.fromkeys(CLASSES, 8)
    _folds.write_splits(tiny, tmp_path, "tiny", [0, 1])
    for seed in (0, 1):
        for fold in range(3):
            split = Split.load(_folds.split_path(tmp_path, "tiny", seed, fold))
            assert {row.path for row in split.part("test")} == folds[fold]
            assert all(part[row.path] == "train" for row in split.rows)
            assert split.crossings(unlabeled=True) == []
            counts = Counter(row.label for row in split.part("labeled"))
            assert counts == TINY.labels(catalog.classes, seed)
            assert split.part("unlabeled")
            assert split.part("validation")


def test_runs_resumes_and_pools_the_folds(tiny, tmp_path, monkeypatch, capsys):
    calls: list[tuple[str, ...]] = []

    def in_process(*words: str, log: Path) -> None:
        calls.append(words)
        done = CliRunner().invoke(main, list(words))
        assert done.exit_code == 0, done.output

    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    elsewhere = "**neu** (words); length of a run: budget-8m.\n\n| arm |\n|---|\n| x |"
    page.write_text(
        "before\n<!-- begin claim -->\n\n**tiny** (w); length of a run: steps-1.\n\n"
        f"stale table\n\n{elsewhere}\n<!-- end claim -->\nafter\n"
    )
    monkeypatch.setitem(_folds.DRAWS, "tiny", TINY)
    monkeypatch.setattr(_folds, "uda", in_process)
    monkeypatch.setattr(_fold_tables, "PROJECT", tmp_path)
    monkeypatch.setattr(_common, "PAGE", page)
    monkeypatch.setenv("UDA_DATA", str(tiny))
    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    words = [
        "--suite", "claim", "--data", "tiny", "--arms", _arms.TEXTURE,
        _arms.BALANCED, "--steps", "1", "--jobs", "1", "--work",
        str(tmp_path / "work"), "--", "--size", "16",
    ]  # fmt: skip
    results.main(words)
    assert len(calls) == 6  # two arms, three folds
    assert calls[0][1] == str(tiny / "tiny")
    assert {"--steps", "--threads"} & set(calls[0]) == set()  # texture has no length
    results.main(words)
    assert len(calls) == 6
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale table" not in text
    assert text.count(elsewhere) == 1  # a table of runs that are not here
    assert "| texture | seed 0; fold 0,1,2 |" in text
    work = tmp_path / "work" / "3-folds"
    assert_pooled(work, text)
    table = tmp_path / "docs" / "results_claim.csv"
    rows = table.read_text()
    assert rows.count("\n") == 7
    # Another machine has the rows alone: nothing runs again, the tables are the same.
    shutil.rmtree(tmp_path / "work")
    without = words[: words.index("--")]
    results.main(without)
    assert len(calls) == 6
    assert (page.read_text(), table.read_text()) == (text, rows)
    # A row of an arm that is not here stays, until that run is here.
    table.write_text(rows + "tiny,steps-1,0,0,neither,1,9,,,,,,,,,,\n")
    results.main([*without, "--tables"])
    assert [r["arm"] for r in _fold_tables.read_rows(table)].count("neither") == 1
    assert page.read_text() == text


def assert_pooled(work: Path, text: str) -> None:
    """The table's numbers are those of all folds' answers in one matrix."""
    counts = np.zeros((4, 4), int)
    for fold in range(3):
        cell = _folds.Cell("tiny", "steps-1", 0, fold, _arms.TEXTURE)
        row = read_json(cell.folder(work) / "row.json")
        split = Split.load(_folds.split_path(work, "tiny", 0, fold))
        true = [CLASSES.index(image.label) for image in split.part("test")]
        given = [int(digit) for digit in row["answers"]]
        # The run's own evaluation agrees, image by image.
        folder = cell.folder(work) / "latest"
        bundle = load_bundles(folder.resolve())["ema"]
        found = evaluate(
            {"ema": bundle},
            split_part(open_run(folder.resolve()), bundle.classes, "test"),
        ).predictions["ema"]
        by_path = dict(zip(found.ids, found.predicted.tolist(), strict=True))
        assert given == [by_path[image.path] for image in split.part("test")]
        matrix = confusion_matrix(np.array(true), np.array(given), 4)
        assert row["rarest"] == "Scratch"
        assert row["balanced_accuracy"] == pytest.approx(
            float(rates(matrix)["balanced_accuracy"])
        )
        counts += matrix
    assert counts.sum() == 4 * 24
    rate = rates(counts)
    line = next(line for line in text.splitlines() if line.startswith("| texture"))
    for name in ("macro_f1", "balanced_accuracy"):
        assert f"| {float(rate[name]):.3f} (" in line
    assert f"| {float(rate['recall'][3]):.3f} (" in line


def test_a_killed_run_goes_on_and_its_pieces_are_added(tmp_path, monkeypatch):
    calls = []

    def killed(*words: str, log: Path) -> None:
        calls.append(words)
        run = tmp_path / "cell" / "run"
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        (run / "checkpoints" / "step-00000002.pt").touch()
        (run / "status.json").write_text('{"state": "running"}')
        if len(calls) == 1:
            (tmp_path / "cell" / "latest").symlink_to("run")
            (run / "metrics.jsonl").touch()
            later = read_json(tmp_path / "cell" / "begun.json")["at"] + 100
            os.utime(run / "metrics.jsonl", (later, later))
            raise subprocess.CalledProcessError(137, words)

    monkeypatch.setattr(_folds, "uda", killed)
    with pytest.raises(subprocess.CalledProcessError):
        _folds.train(tmp_path / "cell", "train", "data")
    seconds = _folds.train(tmp_path / "cell", "train", "data")
    assert calls == [
        ("train", "data"), ("resume", str(tmp_path / "cell" / "run")),
    ]  # fmt: skip
    assert seconds == pytest.approx(100, abs=5)
    (tmp_path / "cell" / "run" / "status.json").write_text('{"state": "done"}')
    _folds.train(tmp_path / "cell", "train", "data")
    assert len(calls) == 2


def test_a_failing_run_does_not_stop_the_others(tiny, tmp_path, monkeypatch, capsys):
    from subprocess import CalledProcessError

    def fails(*words: str, log: Path) -> None:
        raise CalledProcessError(3, "uda")

    monkeypatch.setitem(_folds.DRAWS, "tiny", TINY)
    monkeypatch.setattr(_folds, "uda", fails)
    length = _folds.Length("--steps", "1")
    _folds.write_splits(tiny, tmp_path, "tiny", [0])
    cells = _folds.all_cells("tiny", length, [0], [0, 1], [_arms.TEXTURE])
    failed = _folds.run_all(tiny, tmp_path, cells, length, jobs=1, extra=[])
    assert len(failed) == 2
    assert all("exit code 3" in line for line in failed)
    with pytest.raises(SystemExit, match="no such arm: teksture"):
        _folds.all_cells("tiny", length, [0], [0], ["teksture"])


def test_the_page_has_a_place_for_every_table():
    text = _common.PAGE.read_text()
    for name in ("tables", *_arms.SUITES):
        assert text.count(f"<!-- begin {name} -->") == 1
        assert text.count(f"<!-- end {name} -->") == 1


def test_one_folder_answers_for_both_arms_that_share_it(tmp_path):
    cell = _folds.Cell("neu", "steps-1", 0, 0, "supervised")
    folder = cell.folder(tmp_path)
    folder.mkdir(parents=True)
    row = {**vars(cell), "answers": "012", "steps": 1}
    (folder / "row.json").write_text(json.dumps(row))
    for arm in ("supervised", "neither"):
        (found,) = _folds.finished(tmp_path, "neu", (arm,))
        assert found["arm"] == arm
        assert _fold_tables.order(_arms.SUITES["claim"], found | {"arm": "neither"})
    # Rows of before, whose answers lay beside them, count as not there.
    (folder / "row.json").write_text(json.dumps({"steps": 1}))
    assert _folds.finished(tmp_path, "neu", ("supervised",)) == []


def test_lines_of_arms_that_are_not_here_stay_in_a_table():
    suite = _arms.SUITES["claim"]
    head = [
        "",
        "**neu** (w); length of a run: steps-1.",
        "",
        "| arm | runs |",
        "|---|---|",
    ]
    old = [*head, "| texture | old |", "| neither | old |"]
    new = [*head, "| texture | new |", f"| {_arms.BALANCED} | new |"]
    assert _fold_tables.merged(suite, old, new) == [
        *head, "| texture | new |", f"| {_arms.BALANCED} | new |", "| neither | old |",
    ]  # fmt: skip
    assert _fold_tables.merged(suite, [], new) == new


def test_rows_that_nobody_makes_any_more_are_left_out_aloud(capsys):
    suite = _arms.SUITES["claim"]
    assert _fold_tables.is_known(suite, {"draw": "neu", "arm": "neither"})
    assert not _fold_tables.is_known(suite, {"draw": "neu", "arm": "teksture"})
    assert "nobody makes it any more: neu, teksture" in capsys.readouterr().out
