"""Advice: each rule fires on its numbers and stays silent without them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from uda.inspect.advice import advise, on_data
from uda.inspect.facts import Advice, Facts

QUIET = Facts(
    counts={"a": 600, "b": 600}, units={"a": 600, "b": 600}, unlabeled=9000, total=10200
)


def titles(facts: Facts) -> list[str]:
    return [advice.title for advice in advise(facts)]


def test_a_healthy_set_gets_the_two_comparisons_alone() -> None:
    assert titles(QUIET) == [
        "Run the baseline that takes seconds",
        "Use the unlabelled images: UDA",
    ]


def test_what_makes_numbers_wrong_comes_first() -> None:
    facts = replace(
        QUIET,
        conflicts=2,
        broken=3,
        leaked=0.9,
        gain=0.7,
        crossing={"test - training": 3, "training - validation": 1},
        shift=0.5,
    )
    found = titles(facts)
    assert found[:4] == [
        "Decide the label of identical images",
        "Replace unreadable images",
        "Mend the given parts: the test part is no independent one",
        "Split by group, never at random",
    ]
    assert "Check where the unlabelled images come from" in found
    leak = advise(facts)[3]
    assert "90%" in leak.reason
    assert "+0.70" in leak.reason
    assert "--group auto" in leak.command
    assert "--group COLUMN" in advise(replace(facts, has_groups=True))[3].command


def test_the_notes_own_numbers() -> None:
    counts = {"Good": 94, "Scratch": 32, "Rust": 11, "Grind_Marks": 7}
    found = advise(Facts(counts=counts, units=counts, unlabeled=400, total=544))
    text = "\n".join(f"{a.title} {a.reason}" for a in found)
    assert "Collect more of Grind_Marks (7)" in text
    assert "0.59" in text
    assert "imbalance 13 : 1" in text
    assert "Leave per-class thresholds alone" in text
    assert all(advice.source for advice in found)
    commands = " ".join(advice.command for advice in found)
    assert "--sampling-power 0.5 --logit-adjustment loss" in commands


def test_moderate_imbalance_few_pool_folds_and_size() -> None:
    counts = {"a": 90, "b": 30}
    found = titles(
        Facts(counts=counts, units={"a": 40, "b": 3}, unlabeled=10, side=640.0)
    )
    assert "Keep class-balanced sampling (the default)" in found
    assert "Collect unlabelled images before trying UDA" in found
    assert "Claim little from one test part" in found
    assert "Choose the image size by the smallest defect" in found


def test_without_labels_there_is_little_to_say() -> None:
    assert advise(Facts(counts={}, units={}, unlabeled=50, total=50)) == []


def test_a_twin_of_a_validation_image_is_not_the_tests():
    (advice,) = [
        one
        for one in advise(replace(QUIET, crossing={"training - validation": 1}))
        if one.title.startswith("Mend")
    ]
    assert (
        advice.title
        == "Mend the given parts: the validation part is no independent one"
    )
    assert "(training - validation: 1)" in advice.reason


def test_advice_for_several_labels_is_accepted_by_training() -> None:
    """No command names what several labels refuse; each names the option."""
    facts = Facts(
        counts={"Rust": 60, "Pit": 4}, units={"Rust": 60, "Pit": 4}, unlabeled=900,
        leaked=0.5, shift=0.4, side=900.0, multi_label=True,
    )  # fmt: skip
    found = advise(facts)
    titles = [one.title for one in found]
    assert "Keep balanced batches, then try weights or the asymmetric loss" in titles
    commands = [one.command for one in found if "uda train" in one.command]
    assert commands
    for command in commands:
        assert re.match(r"uda train DATA( --unlabeled DIR)? --multi-label", command)
        for refused in ("--logit-adjustment", "--tsa", "--prior", "texture", "abc"):
            assert refused not in command


def test_two_depths_in_one_set_are_told_of() -> None:
    title = "Convert all images to one depth"
    for deep, told in ((0, False), (4, True), (9, False)):
        facts = replace(QUIET, total=10, broken=1, deep=deep)
        assert (title in titles(facts)) is told


@pytest.mark.parametrize(
    ("piles", "words"),
    [
        ([], "uda train 'my photos' --multi-label --balanced-head abc"),
        (
            [Path("pile"), Path("more")],
            "uda train 'my photos' --unlabeled pile --unlabeled more --multi-label "
            "--balanced-head abc",
        ),
    ],
)
def test_commands_name_the_folders_that_were_given(piles, words) -> None:
    """Else they would train without the unlabelled images, or on none at all."""
    command = "uda train DATA --unlabeled DIR --multi-label --balanced-head abc"
    advice = Advice("title", "reason", command, "source")
    assert on_data(advice, Path("my photos"), piles).command == words
    other = replace(advice, command=f"{command}   (or --debias)")
    assert on_data(other, Path("my photos"), piles).command == f"{words}  # or --debias"
    bare = replace(advice, command="uda split DATA --group auto, then see inspect.json")
    assert on_data(bare, Path("d"), piles[:1]).command.startswith("uda split d --")
