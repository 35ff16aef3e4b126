"""``uda demo``: a small one in-process, and the real one as a user starts it."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from uda.cli import main
from uda.cli.demo import Demo, run_demo
from uda.data.synthetic import TEST_COUNTS, TRAIN_COUNTS
from uda.errors import UsageError

MOST_MINUTES = 12
FLAGS = ("--imgsz", "16", "--batch", "4", "--threads", "1", "--eval-every", "2")


def uda_exit(*words: object) -> int:
    """Run a command in-process and return its exit code."""
    with pytest.raises(SystemExit) as stopped:
        main.main(args=[str(word) for word in words], prog_name="uda")
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A demo of a few steps: (Demo, what it printed, handlers before)."""
    folder = tmp_path_factory.mktemp("small-demo")
    before = os.environ.get("UDA_CACHE"), signal.getsignal(signal.SIGINT)
    demo = Demo(
        folder / "out", unlabeled=20, side=24, group="none", steps=2, flags=FLAGS
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        run_demo(demo)
    assert (os.environ.get("UDA_CACHE"), signal.getsignal(signal.SIGINT)) == before
    return demo, printed.getvalue()


def test_demo_runs_the_commands_a_user_types(small):
    _, text = small
    commands = re.findall(r"^\$ uda (\w+)", text, re.MULTILINE)
    assert commands == [
        "inspect", "split", "train", "train", "evaluate", "evaluate", "predict",
    ]  # fmt: skip


def test_demo_gives_both_methods_the_same_steps_and_split(small):
    demo, text = small
    lines = [line for line in text.splitlines() if line.startswith("$ uda train")]
    assert all("--steps 2" in line and str(demo.split) in line for line in lines)
    assert (demo.run("uda") / "split.csv").read_bytes() == (
        demo.run("supervised") / "split.csv"
    ).read_bytes()


def test_demo_names_only_files_that_are_there(small):
    demo, text = small
    check_places(demo.out, text)


def test_demo_writes_nothing_beside_its_folder(small):
    demo, _ = small
    assert [path.name for path in demo.out.parent.iterdir()] == ["out"]


def test_demo_table_is_what_the_predictions_say(small):
    demo, text = small
    recall, precision = tables(text)
    for method, column in (("supervised", 0), ("uda", 1)):
        with (demo.evaluation(method) / "predictions.csv").open() as stream:
            rows = [(row["target"], row["class"]) for row in csv.DictReader(stream)]
        truth, called = (Counter(column) for column in zip(*rows, strict=True))
        right = Counter(a for a, b in rows if a == b)
        assert truth == TEST_COUNTS
        for name in TRAIN_COUNTS:
            assert recall[name][column] == f"{right[name] / truth[name]:.2f}"
            wanted = f"{right[name] / called[name]:.2f}" if called[name] else "n/a"
            assert precision[name][column] == wanted


def test_demo_says_how_many_labels_each_class_had(small):
    demo, text = small
    with demo.split.open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["part"] == "labeled"]
    counts = Counter(row["label"] for row in rows)
    for name in TRAIN_COUNTS:
        assert re.search(rf"^{name} +{counts[name]} +{TEST_COUNTS[name]} ", text, re.M)
    assert demo.summary.read_text().splitlines()[1] in text


def test_demo_admits_that_two_steps_teach_nothing(small):
    demo, text = small
    assert "Only 2 steps fitted into the time" in text
    assert "Only 2 steps" in demo.summary.read_text()


def test_demo_predicts_every_unlabelled_photo(small):
    demo, _ = small
    with demo.predictions.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 20
    assert {row["class"] for row in rows} <= set(TRAIN_COUNTS)


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_demo_refuses_what_is_there(tmp_path, capsys, taken):
    out = tmp_path / "mine"
    if taken == "file":
        out.write_text("precious")
    else:
        out.mkdir()
        (out / "precious").write_text("")
    assert uda_exit("demo", "--out", out) == 2
    assert f"--out {out}: is there already" in capsys.readouterr().err
    assert out.exists()
    with pytest.raises(UsageError, match="choose another"):
        run_demo(Demo(out))


@pytest.mark.parametrize("words", [("--minutes", "0"), ("--seed", "-1")])
def test_demo_refuses_bad_numbers(tmp_path, words):
    assert uda_exit("demo", "--out", tmp_path / "x", *words) == 2
    assert not (tmp_path / "x").exists()


def test_demo_ends_with_the_code_of_a_stage_that_fails(tmp_path):
    demo = Demo(tmp_path / "out", unlabeled=2, side=16, group="no-such-column")
    with (
        contextlib.redirect_stderr(io.StringIO()) as errors,
        pytest.raises(SystemExit) as stopped,
    ):
        run_demo(demo)
    assert stopped.value.code in (2, 3)
    assert "no-such-column" in errors.getvalue()


def check_places(out: Path, text: str) -> None:
    """Every path under "Where everything is" exists."""
    section = text.split("== Where everything is\n")[1].split("\n\n")[0]
    places = [Path(line.split()[0]) for line in section.splitlines()]
    assert len(places) >= 7
    for path in places:
        assert path.is_relative_to(out)
        assert path.exists(), path


def tables(text: str) -> list[dict[str, list[str]]]:
    """Class -> value per method, of the recall and of the precision table."""
    found = []
    for title in ("\nrecall ", "\nprecision "):
        block = text.split("== The result")[1].split(title)[1].split("\n\n")[0]
        rows = {}
        for line in block.splitlines()[1:]:
            values = re.findall(r"n/a|\d\.\d\d(?= \()", line)
            rows[line.split()[0]] = values
        found.append(rows)
    return found


@pytest.mark.slow
def test_the_real_demo_ends_in_a_table_in_time(tmp_path):
    begin = time.monotonic()
    out = tmp_path / "demo"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment |= {"HOME": str(tmp_path / "home"), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "uda", "demo", "--out", str(out)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60 * MOST_MINUTES * 2,
    )
    minutes = (time.monotonic() - begin) / 60
    assert done.returncode == 0, done.stderr[-3000:]
    recall, precision = tables(done.stdout)
    for rows in (recall, precision):
        assert set(TRAIN_COUNTS) < set(rows)
        assert all(len(rows[name]) == 2 for name in TRAIN_COUNTS)
    check_places(out, done.stdout)
    # Better than always saying the same: a quarter.
    assert all(float(value) > 0.4 for value in recall["mean"])
    assert minutes < MOST_MINUTES
