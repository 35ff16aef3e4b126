"""The watch over the unlabelled branch: its rule, its numbers, whole runs."""

from __future__ import annotations

import json

import pytest
import torch

from tests.training.test_loop import StopAt, same, weights
from uda.training import loop, targets, watch
from uda.training.launch import resume
from uda.training.monitor.progress import Progress
from uda.training.stop import StopRequest


def test_strikes_halve_the_third_ends_and_recovery_restores():
    strikes, seen = 0, []
    for worse in (True, True, False, True, True, True, False):
        strikes = watch.next_strikes(strikes, worse=worse)
        seen.append(watch.factor({watch.STRIKES: torch.tensor(strikes)}))
    assert seen == [0.5, 0.25, 1.0, 0.5, 0.25, 0.0, 0.0]
    assert watch.factor({}) == 1.0


def test_health_equals_counts_by_hand():
    before = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]).log()
    table = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]]).log()
    start = torch.tensor([0.75, 0.25])
    values, shares = watch.table_health(table, before, start)
    assert shares.tolist() == pytest.approx([2 / 3, 1 / 3])  # the last knows nothing
    assert values["unlabeled/target_flips"] == pytest.approx(2 / 3)
    assert values["unlabeled/mix_drift"] == pytest.approx(0.75 - 2 / 3)
    rows = [(0.9, 0.1), (0.2, 0.8), (0.6, 0.4), (0.5, 0.5)]
    entropy = sum(
        -p * torch.tensor(p).log().item() - q * torch.tensor(q).log().item()
        for p, q in rows
    )
    assert values["unlabeled/target_entropy[nats]"] == pytest.approx(entropy / 4, 1e-6)


BAD = {"consistency.refresh_steps": 1, "consistency.start_share": 0.34}


@pytest.fixture
def hopeless(monkeypatch):
    """Every teacher after the warm start fails on validation."""
    monkeypatch.setattr(targets, "balanced_accuracy", lambda *_: (-1.0, 0.0))


def test_a_harmful_branch_loses_its_weight_and_the_log_says_so(quick, hopeless):
    folder, _ = quick(BAD)
    status = json.loads((folder / "status.json").read_text())
    assert status["guard_factor"] == 0.0
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    factors = [
        x["unlabeled/guard_factor"] for x in lines if "unlabeled/guard_factor" in x
    ]
    assert factors == [0.5, 0.25, 0.0, 0.0]
    by_step = {
        x["step"]: x["unlabeled/weight"] for x in lines if "unlabeled/weight" in x
    }
    assert by_step[6] == 0.0


@pytest.mark.parametrize(("told", "factor"), [(0.84, 0.0), (0.86, None)])
def test_a_strike_is_beyond_the_standard_error(quick, monkeypatch, told, factor):
    monkeypatch.setattr("uda.training.guard.balanced_accuracy", lambda *_: (0.9, 0.05))
    monkeypatch.setattr(targets, "balanced_accuracy", lambda *_: (told, 0.05))
    folder, _ = quick(BAD)
    status = json.loads((folder / "status.json").read_text())
    assert status.get("guard_factor") == factor


def test_resumed_in_between_equals_uninterrupted(quick, hopeless):
    whole, _ = quick(BAD)
    folder, _ = quick(BAD, stop=StopAt(4))
    resume(folder, workers=0, console=Progress(), stop=StopRequest())
    assert same(weights(whole, "raw"), weights(folder, "raw"))


def test_a_good_teacher_keeps_the_full_weight(quick, monkeypatch):
    monkeypatch.setattr(targets, "balanced_accuracy", lambda *_: (1.0, 0.0))
    folder, _ = quick(BAD)
    status = json.loads((folder / "status.json").read_text())
    assert "guard_factor" not in status


@pytest.mark.parametrize("weak_pass", ["joint", "no-grad", "ema"])
def test_without_a_table_evaluations_judge_the_teacher(quick, monkeypatch, weak_pass):
    plain = loop.evaluate_state

    def hopeless(trainer):
        return {**plain(trainer), "val_ema/balanced_accuracy": -1.0}

    monkeypatch.setattr(loop, "evaluate_state", hopeless)
    keys = {
        "consistency.weak_pass": weak_pass, "consistency.start_share": 0.34,
        "loop.eval_every": 1,
    }  # fmt: skip
    if weak_pass != "ema":
        keys["consistency.teacher_flips"] = None
    whole, _ = quick(keys)
    status = json.loads((whole / "status.json").read_text())
    assert status["guard_factor"] == 0.0
    part, _ = quick(keys, stop=StopAt(4))
    resume(part, workers=0, console=Progress(), stop=StopRequest())
    assert same(weights(whole, "raw"), weights(part, "raw"))
