from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from uda.cli.train import command
from uda.training.config import known_keys
from uda.training.monitor import alarms
from uda.training.monitor.alarms import (
    Check,
    History,
    Point,
    check_kept_labels,
    check_loss,
    check_mask_rate,
    check_memorised,
    check_pseudo_labels,
    check_validation_size,
    check_waiting,
    mean_over,
)
from uda.training.monitor.facts import Facts

FACTS = Facts(("Good", "a/b"), (0.5, 0.5), (50, 50), 1000)


def history(
    values: Mapping[str, float], *, stop: int = 400, every: int = 10
) -> History:
    return [Point(step, values) for step in range(0, stop, every)]


def keys(check: Check, points: History, facts: Facts = FACTS) -> list[str]:
    return [alarm.key for alarm in check(points, facts)]


@pytest.mark.parametrize(
    ("check", "values", "expected"),
    [
        (check_mask_rate, {"unlabeled/mask_rate": 0.01}, ["mask-rate-low"]),
        (check_mask_rate, {"unlabeled/mask_rate": 0.0}, ["mask-rate-low"]),
        (check_mask_rate, {"unlabeled/mask_rate": 0.995}, ["mask-rate-high"]),
        (
            check_mask_rate,  # these targets are not the network's own
            {"unlabeled/mask_rate": 0.995, "unlabeled/texture_alone": 1.0},
            [],
        ),
        (
            check_mask_rate,
            {"unlabeled/mask_rate": 0.995, "unlabeled/texture_alone": 0.0},
            ["mask-rate-high"],
        ),
        (check_mask_rate, {"unlabeled/mask_rate": 0.5}, []),
        (check_mask_rate, {"unlabeled/mask_rate": math.nan}, []),
        (check_mask_rate, {}, []),
        (
            check_pseudo_labels,
            {"unlabeled/pseudo_share/Good": 0.92, "unlabeled/pseudo_share/a_b": 0.08},
            ["pseudo-labels/Good"],
        ),
        (check_pseudo_labels, {"unlabeled/pseudo_share/a_b": 0.7}, []),
        (check_waiting, {"time/waiting_share": 0.2}, ["waiting-for-data"]),
        (check_waiting, {"time/waiting_share": 0.04}, []),
        (
            check_memorised,
            {"labeled/accuracy": 1.0, "unlabeled/mask_rate": 0.0},
            ["memorised"],
        ),
        (check_memorised, {"labeled/accuracy": 1.0, "unlabeled/mask_rate": 0.4}, []),
        (check_memorised, {"labeled/accuracy": 0.9, "unlabeled/mask_rate": 0.0}, []),
        (
            check_kept_labels,
            {"labeled/tsa_threshold": 0.6, "labeled/kept_share/Good": 0.01},
            ["labels-dropped/Good"],
        ),
        (
            check_kept_labels,
            {"labeled/tsa_threshold": 0.6, "labeled/kept_share/a_b": 1.0},
            ["labels-not-learned/a_b"],
        ),
        # At the end the threshold is 1 and everything is kept, by definition.
        (
            check_kept_labels,
            {"labeled/tsa_threshold": 0.99, "labeled/kept_share/a_b": 1.0},
            [],
        ),
        (check_kept_labels, {"labeled/kept_share/a_b": 0.0}, []),  # TSA is off
    ],
)
def test_each_check(
    check: Check, values: Mapping[str, float], expected: list[str]
) -> None:
    assert keys(check, history(values)) == expected


def test_three_times_the_prior_is_too_much() -> None:
    facts = Facts(("Good", "a/b"), (0.85, 0.15), (50, 50), 1000)
    rare = history({"unlabeled/pseudo_share/a_b": 0.65})
    common = history({"unlabeled/pseudo_share/Good": 0.89})
    assert keys(check_pseudo_labels, rare, facts) == ["pseudo-labels/a_b"]
    assert keys(check_pseudo_labels, common, facts) == []


def test_a_class_that_is_nearly_all_of_the_labels_may_take_nearly_all() -> None:
    facts = Facts(("Good", "a/b"), (0.95, 0.05), (50, 50), 1000)
    points = history({"unlabeled/pseudo_share/Good": 0.96})
    assert keys(check_pseudo_labels, points, facts) == []


@pytest.mark.parametrize(
    ("share", "prior", "expected"),
    [
        # Drawn evenly; stated: nearly all of the pile is good, or half of it.
        (0.93, (0.95, 0.05), []),
        (0.93, (0.5, 0.5), ["pseudo-labels/Good"]),
        (0.93, None, ["pseudo-labels/Good"]),
    ],
)
def test_pseudo_labels_are_held_against_the_prior_where_it_is_known(
    share: float, prior: tuple[float, ...] | None, expected: list[str]
) -> None:
    facts = replace(FACTS, unlabeled_prior=prior)
    points = history({"unlabeled/pseudo_share/Good": share})
    found = list(check_pseudo_labels(points, facts))
    assert [alarm.key for alarm in found] == expected
    for alarm in found:
        stated = prior is not None
        assert ("by the prior" in alarm.seen) == stated
        assert ("--prior" in alarm.change) == (not stated)
        assert ("that is fine" in alarm.change) == (not stated)


def test_a_class_that_never_waits_is_not_called_one_that_is_not_learned() -> None:
    kept = {
        "labeled/tsa_threshold": 0.6,
        "labeled/kept_share/Good": 1.0,
        "labeled/kept_share/a_b": 1.0,
    }
    facts = replace(FACTS, tsa_starts=(0.5, 1.0))
    assert keys(check_kept_labels, history(kept), facts) == ["labels-not-learned/Good"]


def test_each_class_is_held_against_the_threshold_it_has() -> None:
    """Annealing by prior: from 0.85 to 1, where the published one goes 0.5 to 1.

    At 0.6 a fifth of the way is gone, so it stands at 0.85 + 0.15 / 5 = 0.88.
    """
    kept = {"labeled/tsa_threshold": 0.6, "labeled/kept_share/Good": 1.0}
    facts = replace(FACTS, tsa_starts=(0.85, 0.5))
    (alarm,) = check_kept_labels(history(kept), facts)
    assert "threshold (0.88)" in alarm.seen
    further = replace(FACTS, tsa_starts=(0.9, 0.5))
    assert keys(check_kept_labels, history(kept), further) == []


def test_kept_share_is_not_judged_at_the_start() -> None:
    dropped = {"labeled/tsa_threshold": 0.5, "labeled/kept_share/Good": 0.0}
    assert keys(check_kept_labels, history(dropped, stop=90)) == []
    # A class may take longer to be learned than to be dropped.
    kept = {"labeled/tsa_threshold": 0.5, "labeled/kept_share/Good": 1.0}
    assert keys(check_kept_labels, history(kept, stop=290)) == []


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0] * 20, []),
        ([1.0] * 16 + [30.0] * 4, ["loss-growing"]),
        ([0.01] * 16 + [0.5] * 4, []),  # small losses may jump
        ([1.0] * 18 + [math.nan], ["loss-growing"]),
        ([1.0, 50.0, math.inf], []),  # too short to tell
    ],
)
def test_loss_growth(losses: list[float], expected: list[str]) -> None:
    points = [Point(10 * i, {"loss/total": loss}) for i, loss in enumerate(losses)]
    assert keys(check_loss, points) == expected


def test_validation_interval_is_clopper_pearson() -> None:
    from scipy.stats import beta

    facts = Facts(("Good", "Rust"), (0.5, 0.5), (50, 3), 1000)
    (alarm,) = check_validation_size([], facts)
    assert "Rust 3" in alarm.seen
    assert "Good" not in alarm.seen
    assert f"{beta.ppf(0.025, 3, 1):.2f}" in alarm.why
    (none,) = check_validation_size([], Facts(("A",), (1.0,), (0,), 10))
    assert "no recall" in none.why


def test_mean_needs_the_whole_window() -> None:
    points = [Point(step, {"x": float(step)}) for step in range(0, 101, 10)]
    assert mean_over(points, "x", 50) == pytest.approx((60 + 70 + 80 + 90 + 100) / 5)
    assert mean_over(points, "x", 500) is None
    assert mean_over(points, "y", 50) is None
    assert mean_over([], "x", 50) is None


def test_alarms_name_options_that_exist() -> None:
    source = Path(alarms.__file__).read_text(encoding="utf-8")
    named = set(re.findall(r"--[a-z][a-z-]*[a-z]", source))
    given = {option for param in command.params for option in param.opts}
    assert named <= given
    keys_named = set(re.findall(r"--set ([a-z_.]+)=", source))
    assert keys_named
    assert keys_named <= set(known_keys())
