"""study.json: the same request goes on, another is refused, strategies may be added."""

from __future__ import annotations

import pytest

from uda.errors import CheckpointError, UsageError
from uda.study.request import Planned, Request, open_study, read_study
from uda.study.strategies import Strategy


@pytest.fixture
def request_of(tmp_path):
    (tmp_path / "split.csv").write_text("x")

    def make(**changes):
        values = {"folds": 5, "repeats": 2, "steps": 9, "budget": None, "seed": 0}
        return Request.of(
            tmp_path, tmp_path / "split.csv", [tmp_path / "u"], **{**values, **changes}
        )

    return make


A = Planned(Strategy("a", ("--imgsz", "16")), {"data.size": (16, 16)})
B = Planned(Strategy("b", of="a", tune="bias", tta="flips"), {})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_what_is_written_is_read(request_of, folder):
    open_study(folder, request_of(), [A, B])
    request, plan = read_study(folder)
    assert request == request_of()
    assert [p.strategy for p in plan] == [A.strategy, B.strategy]
    assert plan[0].keys == {"data.size": [16, 16]}
    open_study(folder, request, plan)  # as read, it is the same


def test_strategies_may_be_added_and_left_out(request_of, folder):
    open_study(folder, request_of(), [A])
    open_study(folder, request_of(), [A, B])
    assert [p.strategy.name for p in read_study(folder)[1]] == ["a", "b"]
    open_study(folder, request_of(), [A])
    assert [p.strategy.name for p in read_study(folder)[1]] == ["a"]
    other = Planned(Strategy("b", of="a", tune="bias"), {})
    with pytest.raises(UsageError, match="'b' has other flags"):  # it is not forgotten
        open_study(folder, request_of(), [A, other])


def test_a_name_in_other_letters_is_the_same_strategy(request_of, folder):
    """Its cells are in the same folder, so it must have been trained alike."""
    open_study(folder, request_of(), [A, B])
    large = Planned(Strategy("A", ("--imgsz", "64")), {"data.size": (64, 64)})
    with pytest.raises(UsageError, match=r"'A' \(there called 'a'\) has other flags"):
        open_study(folder, request_of(), [large])
    renamed = [
        Planned(Strategy("A", A.strategy.flags), A.keys),
        Planned(Strategy("B", of="A", tune="bias", tta="flips"), {}),
    ]
    open_study(folder, request_of(), renamed)
    assert [p.strategy.name for p in read_study(folder)[1]] == ["A", "B"]
    with pytest.raises(UsageError, match=r"'a' .there called 'A'. has other flags"):
        open_study(folder, request_of(), [Planned(Strategy("a"), {})])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"folds": 4}, "folds is 4 here and 5 there"),
        ({"steps": None, "budget": 60.0}, "budget is 60.0 here and None there"),
        ({"seed": 1}, "seed is 1 here and 0 there"),
        ({"shares": (0.5, 1.0)}, "shares is"),
    ],
)
def test_another_request_is_refused(request_of, folder, changes, told):
    open_study(folder, request_of(), [A])
    with pytest.raises(UsageError, match="holds another study") as caught:
        open_study(folder, request_of(**changes), [A])
    assert told in str(caught.value)


def test_another_split_and_other_flags_are_refused(request_of, folder, tmp_path):
    open_study(folder, request_of(), [A])
    other = Planned(Strategy("a", ("--imgsz", "32")), {"data.size": (32, 32)})
    with pytest.raises(UsageError, match=r"'a' has other flags .--imgsz 32 here"):
        open_study(folder, request_of(), [other])
    (tmp_path / "split.csv").write_text("y")
    with pytest.raises(UsageError, match="split_sha256"):
        open_study(folder, request_of(), [A])


def test_a_policy_edited_between_is_refused(request_of, folder, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("one")
    mine = Planned(Strategy("a", ("--strong", str(file))), {"views.strong": str(file)})
    open_study(folder, request_of(), [mine])
    open_study(folder, request_of(), [mine])
    file.write_text("two")
    with pytest.raises(UsageError, match=r"another content .views.strong"):
        open_study(folder, request_of(), [mine])


def test_a_folder_of_something_else_is_left_alone(request_of, folder):
    (folder / "thesis.doc").write_text("")
    with pytest.raises(UsageError, match="holds files but no study"):
        open_study(folder, request_of(), [A])
    with pytest.raises(CheckpointError, match="no study here"):
        read_study(folder)


def test_a_damaged_file_is_told(request_of, folder):
    open_study(folder, request_of(), [A])
    path = folder / "study.json"
    path.write_text(path.read_text().replace('"folds"', '"flods"'))
    with pytest.raises(CheckpointError, match="damaged"):
        read_study(folder)


def test_lengths_in_words(request_of):
    assert request_of().length_words.startswith("9 steps; a warm start")
    assert "90 s, warm start" in request_of(steps=None, budget=90.0).length_words
    assert "no network" in request_of(steps=None).length_words
