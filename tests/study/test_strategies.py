"""The file of strategies: what it may say, and what is refused by name."""

from __future__ import annotations

import pytest

from uda.cli.compare_plan import plan_of
from uda.errors import UsageError
from uda.study.strategies import BUILT_IN, Strategy, read_strategies


def read(tmp_path, text, good_class=None):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return read_strategies(path, good_class)


def test_flags_as_text_as_a_list_or_none(tmp_path):
    found = read(tmp_path, "a: --tree 'my tree.yaml'\nb: [--lr, 0.01]\nc:\nd: []\n")
    assert found == (
        Strategy("a", ("--tree", "my tree.yaml")),
        Strategy("b", ("--lr", "0.01")),
        Strategy("c"),
        Strategy("d"),
    )


def test_models_of_another_are_asked_again(tmp_path):
    found = read(tmp_path, "a: []\nb: {of: a, tune: bias, tta: flips}\n")
    assert found[1] == Strategy("b", of="a", tune="bias", tta="flips")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no strategy"),
        ("- a\n", "keys and values"),
        ("a: 3\n", "strategy 'a': 3 is neither"),
        ("a: []\na: []\n", "given twice"),
        ('a: "--tree \'x"\n', "strategy 'a': cannot be read as words"),
        ("a: []\nb: {of: a}\n", "strategy 'b': give 'of'"),
        ("a: []\nb: {tune: bias}\n", "strategy 'b': give 'of'"),
        ("a: []\nb: {of: a, tune: magic}\n", "tune: magic is not known"),
        ("a: []\nb: {of: a, flags: --lr 1}\n", "unknown key 'flags'"),
        ("a: []\nb: {of: c, tune: bias}\n", "models of 'c'"),
        ("a: []\nb: {of: a, tta: flips}\nc: {of: b, tune: bias}\n", "models of 'b'"),
        ("A b: []\na-b: []\n", "too like 'A b'"),
        ("'+': []\n", "a name of its own"),
        ("a: --good-class {good_class}\n", "say which class"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, text, told):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)


def test_the_good_class_is_filled_in(tmp_path):
    (found,) = read(tmp_path, "a: --good-class '{good_class}'\n", "All fine")
    assert found.flags == ("--good-class", "All fine")


def test_the_built_in_list_can_be_trained():
    short = read_strategies(None, None)
    whole = read_strategies(None, "Good")
    assert {s.name for s in whole} - {s.name for s in short} == {"hierarchy"}
    plan = plan_of(whole)
    methods = {p.strategy.name: p.keys.get("method", "uda") for p in plan}
    assert methods["texture"] == "texture"
    assert methods["supervised"] == "supervised"
    assert methods["UDA"] == "uda"
    assert BUILT_IN.suffix == ".yaml"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_strategies(tmp_path / "none.yaml", None)
