"""Annealing against the confidence mask: when one lets the other through."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.training.test_loop import StopAt
from uda.training import alerts
from uda.training.alerts import (
    accepts,
    alarm_book,
    annealing_starts,
    confidence_threshold,
    interplay,
    passing_step,
)
from uda.training.configure import build_config
from uda.training.launch import resume
from uda.training.monitor.progress import Progress
from uda.training.objective import _labeled
from uda.training.prior import sampling_prior
from uda.training.settled import settle
from uda.training.stop import StopRequest


def config(**keys):
    given = {"loop.steps": 1000, **{k.replace("__", "."): v for k, v in keys.items()}}
    return build_config(given)


@pytest.mark.parametrize(
    ("schedule", "classes", "share"),
    # Where the threshold 0.8 is passed, solved by hand: for six classes
    # (0.8 - 1/6) / (5/6) = 0.76 = alpha(s).
    [("log", 6, 0.285), ("linear", 6, 0.76), ("exp", 6, 0.945), ("log", 2, 0.183)],
)
def test_the_step_at_which_annealing_passes_the_threshold(schedule, classes, share):
    whole = config(supervised__tsa=schedule, supervised__tsa_share=1.0)
    assert passing_step(whole, classes) == pytest.approx(1000 * share, abs=2)


def test_a_branch_that_waits_for_annealing_is_told():
    early = interplay(config(), 6)
    assert early is not None
    assert "idles" not in early
    late = config(supervised__tsa="linear", supervised__tsa_share=1.0)
    text = interplay(late, 6)
    assert text is not None
    assert "from step 761; the unlabelled branch starts at step 150" in text
    assert "idles over 61%" in text


def test_where_nothing_is_capped_or_needed_there_is_nothing_to_say():
    assert interplay(config(supervised__tsa="none"), 6) is None
    assert interplay(config(supervised__tsa_form="quota"), 6) is None
    assert interplay(config(method="freematch"), 6) is None
    assert confidence_threshold(config(method="mean-teacher")) is None
    assert confidence_threshold(config(method="fixmatch")) == 0.95


def test_both_are_logged(quick):
    folder, _ = quick({"supervised.tsa_share": 1.0})
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    both = [x for x in lines if "unlabeled/threshold" in x]
    assert both
    assert all(x["unlabeled/threshold"] == 0.8 for x in both)
    assert all("labeled/tsa_threshold" in x for x in both)


def test_a_quota_has_no_level_that_could_be_logged(quick):
    folder, _ = quick({"supervised.tsa_share": 1.0, "supervised.tsa_form": "quota"})
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert any("labeled/kept_share/Good" in json.loads(x) for x in lines)
    assert not any("labeled/tsa_threshold" in json.loads(x) for x in lines)


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, (1 / 3, 1 / 3, 1 / 3)),
        ({"supervised__tsa_exempt_below": 20}, (1 / 3, 1 / 3, 1.0)),
        (
            {"supervised__tsa_form": "prior", "supervised__sampling_power": 1.0},
            (0.6, 1 / 3, 1 / 3),
        ),
        ({"supervised__tsa_form": "quota"}, ()),
        ({"supervised__tsa": "none"}, ()),
    ],
)
def test_the_threshold_from_which_each_class_starts(keys, wanted):
    """Of 60, 30 and 10 images; the annealing itself is asked at its beginning."""
    counts = np.array([60, 30, 10])
    parts = SimpleNamespace(classes=("a", "b", "c"), class_counts=counts)
    whole = config(**keys)
    found = annealing_starts(whole, parts)
    assert found == pytest.approx(wanted)
    if found:
        shares = torch.tensor(sampling_prior(whole, counts))
        branch = _labeled(whole, torch.from_numpy(counts), shares, torch.device("cpu"))
        for number, start in enumerate(found):
            for above in (-0.01, 0.01):
                rest = (1 - start - above) / 2
                probs = torch.full((1, 3), max(rest, 1e-9))
                probs[0, number] = start + above
                kept, _ = branch.annealing(probs.log(), torch.tensor([number]), 0.0, {})
                assert bool(kept) == (above < 0 or start == 1)


def test_what_changes_nothing_or_would_be_refused_is_not_accepted():
    usual = config()
    assert accepts(usual, {"consistency.threshold": 0.5})
    assert not accepts(usual, {"consistency.threshold": usual.consistency.threshold})
    assert not accepts(config(method="freematch"), {"consistency.threshold": 0.5})
    both = {"supervised.class_weights": "inverse"}
    assert accepts(config(supervised__sampling_power=1.0), both)
    assert not accepts(config(supervised__sampling_power=0.5), both)


@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        # As flags: what the run was told, and the change.
        ({"supervised__tsa_share": 0.3}, {"supervised.tsa": "none"}),
        (
            {"consistency__weak_pass": "joint", "consistency__entropy_weight": 0.1},
            {"consistency.class_floor": 0.6, "consistency.weak_pass": "table"},
        ),
        ({"consistency__unlabeled_ratio": 1}, {"consistency.unlabeled_ratio": 1}),
    ],
)
def test_what_is_accepted_is_what_the_command_line_would(keys, changes):
    told = config(**keys)
    assert not accepts(told, changes)
    assert not accepts(settle(told, 1000), changes)


def test_a_resumed_run_is_advised_as_an_unbroken_one(quick, monkeypatch):
    """It reads its own copies of the policies, which nobody asked for."""
    found = []
    plain = alerts.alarm_book

    def spy(*given):
        found.append(plain(*given).facts)
        return plain(*given)

    monkeypatch.setattr(alerts, "alarm_book", spy)
    folder, _ = quick(stop=StopAt(3))
    console = Progress(stream=io.StringIO(), results=io.StringIO())
    resume(folder, workers=None, console=console, stop=StopRequest())
    changes = [
        {"consistency.threshold": 0.5},
        {"consistency.class_floor": 0.6},
        {"supervised.tsa": "none"},
    ]
    assert len(found) == 2
    before, after = ([facts.accepts(c) for c in changes] for facts in found)
    assert before == after
    assert before[0]


def test_several_labels_are_compared_with_the_labels_drawn():
    """By hand: images {a}, {a, b}, {b, c}, each drawn for its rarest class, by thirds.

    Labels drawn: a 2/3, b 2/3, c 1/3 of the images; a 2/5, b 2/5, c 1/5 of the labels.
    """
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]])
    parts = SimpleNamespace(
        classes=("a", "b", "c"),
        targets=targets,
        drawn_as=np.array([0, 1, 2]),
        validation_targets=targets,
    )
    whole = config(data__multi_label=True)
    book = alarm_book(whole, parts)
    assert book.facts.prior == pytest.approx((0.4, 0.4, 0.2))
    assert book.facts.validation_counts == (2, 2, 1)
