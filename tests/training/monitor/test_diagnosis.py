"""Each rule that names a treatment, on constructed facts."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from uda.cli.train import command
from uda.training.alerts import accepts, confidence_threshold
from uda.training.configure import build_config
from uda.training.monitor import diagnosis
from uda.training.monitor.alarms import CHECKS, Point
from uda.training.monitor.book import AlarmBook
from uda.training.monitor.diagnosis import (
    DIAGNOSIS,
    check_annealing,
    check_mix,
    check_recall,
    check_starving,
)
from uda.training.monitor.facts import Facts

FACTS = Facts(("Good", "a/b"), (0.5, 0.5), (50, 9), 1000, threshold=0.8)
STARVED = {
    "unlabeled/mask_rate": 0.4,
    "unlabeled/pseudo_share/Good": 1.0,
    "unlabeled/pseudo_share/a_b": 0.0,
}


def history(values, *, recalls=(), stop=400):
    points = [Point(step, dict(values)) for step in range(0, stop, 10)]
    every = stop // (len(recalls) + 1)
    evaluations = [
        Point(every * (i + 1), {"val_ema/recall/a_b": value, "val_ema/recall/Good": 1})
        for i, value in enumerate(recalls)
    ]
    return sorted([*points, *evaluations], key=lambda point: point.step)


def keys(check, points, facts=FACTS):
    return [alarm.key for alarm in check(points, facts)]


@pytest.mark.parametrize(
    ("recalls", "fires"),
    [
        ((0.6, 0.5, 0.2), True),
        ((), True),
        ((0.2, 0.3, 0.5), False),
        ((0.4, 0.4), False),
    ],
)
def test_a_starving_class_is_told_while_its_recall_falls_or_is_unknown(recalls, fires):
    found = list(check_starving(history(STARVED, recalls=recalls), FACTS))
    assert [alarm.key for alarm in found] == ["class-starves/a_b"] * fires
    for alarm in found:
        assert "--class-floor 0.6" in alarm.change
        assert "ICML 2022" in alarm.source
    if len(recalls) > 1 and fires:
        assert "0.60 to 0.20" in found[0].seen


def test_starving_needs_others_that_are_fed():
    nobody = STARVED | {"unlabeled/mask_rate": 0.0}
    assert keys(check_starving, history(nobody)) == []
    some = STARVED | {"unlabeled/pseudo_share/a_b": 0.05}
    assert keys(check_starving, history(some)) == []


def facts_of(**keys):
    """Facts as of a run with these settings."""
    config = build_config({k.replace("__", "."): v for k, v in keys.items()})
    return replace(
        FACTS,
        threshold=confidence_threshold(config),
        accepts=partial(accepts, config),
    )


@pytest.mark.parametrize(
    ("keys", "advice"),
    [
        ({}, "Try --class-floor 0.6:"),
        ({"consistency__threshold": 0.4}, "Try --class-floor 0.3:"),
        ({"consistency__weak_pass": "ema"}, "--class-floor 0.6 --weak-pass table:"),
        ({"method": "freematch"}, "Try --method uda --class-floor 0.6"),
        ({"method": "flexmatch"}, "Try --method uda --class-floor 0.6"),
        ({"data__multi_label": True}, "Label more of this class, or lower --threshold"),
        ({"model__good_class": "Good"}, "Label more of this class, or lower"),
        ({"consistency__class_floor": 0.6}, "Label more of this class, or lower"),
        (
            {
                "consistency__balanced_head": "acr",
                "supervised__sampling_power": 1.0,
            },
            "Label more of this class, or lower --threshold.",
        ),
    ],
)
def test_a_starving_class_is_offered_what_the_run_would_accept(keys, advice):
    (alarm,) = check_starving(history(STARVED), facts_of(**keys))
    assert advice in alarm.change


@pytest.mark.parametrize(
    ("keys", "named", "left_out"),
    [
        ({}, ["--prior CLASS", "--prior estimate", "abc"], []),
        ({"data__multi_label": True}, ["Label a few dozen"], ["--prior", "abc"]),
        ({"model__good_class": "Good"}, ["--prior CLASS"], ["abc"]),
        ({"consistency__start_share": 0.0}, ["--prior CLASS"], ["estimate"]),
        (
            {"supervised__logit_adjustment": "loss", "supervised__sampling_power": 1.0},
            ["--prior CLASS"],
            ["abc"],
        ),
        (
            {"consistency__balanced_head": "abc", "supervised__sampling_power": 1.0},
            ["Label a few dozen"],
            ["--prior", "abc"],
        ),
    ],
)
def test_an_unknown_mix_is_offered_what_the_run_would_accept(keys, named, left_out):
    values = {"unlabeled/pseudo_share/Good": 0.97, "unlabeled/pseudo_share/a_b": 0.03}
    (alarm,) = check_mix(history(values), facts_of(**keys))
    assert all(words in alarm.change for words in named), alarm.change
    assert not any(words in alarm.change for words in left_out), alarm.change


def test_too_few_validation_images_estimate_no_mix():
    values = {"unlabeled/pseudo_share/Good": 0.97, "unlabeled/pseudo_share/a_b": 0.03}
    facts = replace(facts_of(), validation_counts=(50, 4))
    (alarm,) = check_mix(history(values), facts)
    assert "estimate" not in alarm.change


@pytest.mark.parametrize(("weak_pass", "told"), [("table", True), ("ema", False)])
def test_a_missed_prior_names_the_refinery_where_there_is_a_table(weak_pass, told):
    values = {"unlabeled/pseudo_share/Good": 0.6, "unlabeled/pseudo_share/a_b": 0.4}
    keys = {"consistency__prior": {"Good": 0.95, "a/b": 0.05}}
    facts = facts_of(**keys, consistency__weak_pass=weak_pass)
    (alarm,) = check_mix(history(values), replace(facts, unlabeled_prior=(0.95, 0.05)))
    assert ("--refinery darp" in alarm.change) == told
    assert "Check --prior against" in alarm.change


@pytest.mark.parametrize(
    ("shares", "prior", "expected"),
    [
        ((0.97, 0.03), None, ["prior-unknown"]),
        ((0.8, 0.2), None, []),
        ((0.97, 0.03), (0.95, 0.05), []),
        ((0.6, 0.4), (0.95, 0.05), ["prior-missed"]),
    ],
)
def test_the_mix_of_pseudo_labels(shares, prior, expected):
    values = {
        "unlabeled/pseudo_share/Good": shares[0],
        "unlabeled/pseudo_share/a_b": shares[1],
    }
    facts = replace(FACTS, unlabeled_prior=prior)
    assert keys(check_mix, history(values), facts) == expected


def test_no_mix_without_pseudo_labels():
    assert keys(check_mix, history({})) == []
    nothing = {"unlabeled/pseudo_share/Good": 0.0, "unlabeled/pseudo_share/a_b": 0.0}
    assert keys(check_mix, history(nothing)) == []


@pytest.mark.parametrize(
    ("level", "rate", "threshold", "fires"),
    [
        (0.6, 0.05, 0.8, True),
        (0.9, 0.05, 0.8, False),
        (0.6, 0.5, 0.8, False),
        (0.6, 0.05, None, False),
    ],
)
def test_annealing_that_holds_back(level, rate, threshold, fires):
    values = {"labeled/tsa_threshold": level, "unlabeled/mask_rate": rate}
    facts = replace(FACTS, threshold=threshold)
    found = keys(check_annealing, history(values), facts)
    assert found == ["annealing-holds-back"] * fires


@pytest.mark.parametrize(
    ("starts", "words"),
    [
        ((), "labelled confidence near 0.60"),
        ((0.5, 0.5), "labelled confidence near 0.60"),
        ((0.6, 0.5), "near 0.60 to 0.68"),  # 0.6 + 0.4 / 5
        ((0.5, 1.0), "of the classes that are not exempt near 0.60"),
        ((0.8, 0.5), None),  # one class may be as sure as a target has to be
        ((1.0, 1.0), None),
    ],
)
def test_annealing_by_class_is_told_as_it_is(starts, words):
    values = {"labeled/tsa_threshold": 0.6, "unlabeled/mask_rate": 0.05}
    facts = replace(FACTS, tsa_starts=starts)
    found = [alarm.seen for alarm in check_annealing(history(values), facts)]
    assert len(found) == (words is not None)
    assert all(words in seen for seen in found), found


def test_annealing_or_a_branch_that_is_over_is_no_matter():
    assert keys(check_annealing, history({"unlabeled/mask_rate": 0.0})) == []
    assert keys(check_annealing, history({"labeled/tsa_threshold": 0.5})) == []


@pytest.mark.parametrize(
    ("recalls", "stop", "expected"),
    [
        ((0, 0, 0), 400, ["labels-not-learned/a_b"]),
        ((0.5, 0, 0, 0), 400, ["labels-not-learned/a_b"]),
        ((0, 0, 0.2), 400, []),
        ((0, 0), 400, []),
        ((0, 0, 0), 200, []),  # too early to say
    ],
)
def test_a_class_that_is_never_found(recalls, stop, expected):
    """Without a word of annealing: in the default recipe that has ended by then."""
    points = history({}, recalls=recalls, stop=stop)
    assert keys(check_recall, points) == expected


def test_evaluations_reach_the_checks_and_the_mix_may_come_late():
    book = AlarmBook(FACTS, (*CHECKS, *DIAGNOSIS))
    values = STARVED | {"loss/total": 1.0}
    for step in range(0, 600, 10):
        book.observe(step, values)
        if step % 100 == 50:
            book.evaluated(step, {"val_ema/recall/a_b": 0.8 - step / 1000})
    active = {alarm.key for alarm in book.active}
    assert {"class-starves/a_b", "prior-unknown"} <= active
    book.expect((0.98, 0.02))
    for step in range(600, 800, 10):
        book.observe(step, values)
    assert "prior-unknown" not in {alarm.key for alarm in book.active}
    starving = next(a for a in book.active if a.key.startswith("class-starves"))
    assert starving.source in starving.text()
    assert "*Rule:*" in starving.markdown()


def test_treatments_name_options_that_exist():
    source = Path(diagnosis.__file__).read_text(encoding="utf-8")
    named = set(re.findall(r"--[a-z][a-z-]*[a-z]", source))
    assert named <= {option for param in command.params for option in param.opts}
