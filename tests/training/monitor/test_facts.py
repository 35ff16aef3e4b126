"""What a run could do otherwise, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from uda.training.monitor.facts import Facts, less_annealing, one_of, sentence

FACTS = Facts(("Good", "Rust"), (0.5, 0.5), (9, 9), 1000)
OPTIONS = (
    ("lower --threshold", {"consistency.threshold": 0.5}),
    ("train longer", None),
    ("take no annealing", {"supervised.tsa": "none"}),
)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ((), "lower --threshold, train longer, or take no annealing"),
        (("consistency.threshold",), "train longer, or take no annealing"),
        (("consistency.threshold", "supervised.tsa"), "train longer"),
    ],
)
def test_options_that_a_run_would_accept(refused, words):
    facts = replace(FACTS, accepts=lambda new: not set(refused) & set(new))
    assert one_of(facts, *OPTIONS) == words


@pytest.mark.parametrize(
    ("kinds", "words"),
    [("log none", "--tsa log or none"), ("none", "--tsa none"), ("", "")],
)
def test_less_annealing(kinds, words):
    facts = replace(FACTS, accepts=lambda new: new["supervised.tsa"] in kinds.split())
    assert less_annealing(facts) == words


def test_no_option_is_no_sentence():
    nothing = replace(FACTS, accepts=lambda new: False)
    assert one_of(nothing, OPTIONS[0]) == ""
    assert sentence("") == ""
    assert sentence("train longer") == "Train longer."


@pytest.mark.parametrize(("steps", "window"), [(100, 50), (6000, 300), (90_000, 1000)])
def test_for_long_is_a_twentieth_of_a_run_within_bounds(steps, window):
    assert replace(FACTS, total_steps=steps).window == window


@pytest.mark.parametrize(("log_every", "window"), [(10, 50), (17, 85), (400, 2000)])
def test_for_long_is_five_lines_of_the_log_at_least(log_every, window):
    assert replace(FACTS, log_every=log_every).window == window
