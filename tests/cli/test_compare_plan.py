"""What `uda compare` trains: a list of one's own, or what fits of the built-in one."""

from __future__ import annotations

import shutil

import pytest
from click.testing import CliRunner

from tests.study.conftest import home
from uda.cli import main
from uda.cli.compare_plan import classes_of, plan_of, strategies_of
from uda.errors import UsageError
from uda.study.plan import check_plan, coarse_labels
from uda.study.request import Request
from uda.study.run import images_of
from uda.study.strategies import read_strategies

__all__ = ["home"]  # a fixture


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        ({"Rust": "Bad"}, "no two classes to tell apart"),
        ({"Rust": "Defect"}, "'Defect' is a class of these data"),
        ({"Rust": "Defect", "Scratch": "Scratch"}, "'Defect' is a class of these data"),
        ({"Rust": "Rust", "Scratch": "Scratch"}, None),
    ],
)
def test_the_built_in_list_suits_the_classes(home, tmp_path, folders, told):
    """A tree that cannot be costs one strategy, which nobody has asked for by name."""
    data = tmp_path / "data"
    for old, new in {"Good": "Good", **folders}.items():
        shutil.copytree(home / "data" / old, data / new)
    shutil.copytree(home / "more", tmp_path / "more")
    words = ["split", str(data), "--unlabeled", str(tmp_path / "more"), "--group"]
    words += ["none", "--out", str(tmp_path / "split.csv")]
    assert CliRunner().invoke(main, words).exit_code == 0
    request = Request.of(
        data, tmp_path / "split.csv", [tmp_path / "more"], folds=2, repeats=1,
        steps=100, budget=None, seed=0,
    )  # fmt: skip
    notes: list[str] = []
    kept = strategies_of(None, tmp_path / "split.csv", "Good", note=notes.append)
    every = read_strategies(None, "Good")
    assert [s.name for s in every if s not in kept] == ["hierarchy"] * bool(told)
    assert [told in note for note in notes] == [True] * bool(told)
    images = images_of(request)
    check_plan(plan_of(kept), request, *images)
    assert coarse_labels(plan_of(kept), request, *images) == ()
    if told:
        with pytest.raises(UsageError, match="hierarchy"):
            check_plan(plan_of(every), request, *images)
            coarse_labels(plan_of(every), request, *images)


def test_a_list_of_one_s_own_is_taken_as_it_is(home, tmp_path):
    path, notes = tmp_path / "mine.yaml", []
    path.write_text("tree: --method supervised --good-class {good_class}\n")
    lines = (home / "split.csv").read_text().splitlines(keepends=True)
    two = tmp_path / "split.csv"
    two.write_text("".join(line for line in lines if ",Rust," not in line))
    assert classes_of(two) == {"Good", "Scratch"}
    (found,) = strategies_of(path, two, "Good", note=notes.append)
    assert found.flags[-2:] == ("--good-class", "Good")
    assert not notes
