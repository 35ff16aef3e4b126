"""Early stopping: the rule by hand, the error against theory, whole runs resumed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tests.training.test_loop import StopAt, same, weights
from uda.errors import UsageError
from uda.training import loop, patience
from uda.training.configure import build_config
from uda.training.launch import resume
from uda.training.length import Length, fix_length
from uda.training.monitor.progress import Progress
from uda.training.patience import (
    Seen,
    check,
    counts_from,
    judge,
    standard_error,
)
from uda.training.stop import StopRequest


def evaluations(values, error=0.05):
    return [Seen(10 * k, v, error) for k, v in enumerate(values, start=1)]


def literal(seen):
    """Both rules in plain loops: (chosen step, best step, evaluations waited)."""
    smooth = {}
    for k in range(2, len(seen)):
        smooth[k] = sum(one.value for one in seen[k - 2 : k + 1]) / 3
    best = max(smooth, key=lambda k: (round(smooth[k], 12), -k))
    bar = max(smooth[k] - seen[k].error for k in smooth)
    chosen = min(k for k in smooth if smooth[k] >= bar)
    return seen[chosen].step, seen[best].step, len(seen) - 1 - best


def test_the_rule_by_hand():
    # Means of three: .3 .5 .7 .8 .82 .80, at steps 30 to 80.
    values = [0.1, 0.3, 0.5, 0.7, 0.9, 0.8, 0.76, 0.84]
    verdict = judge(evaluations(values, error=0.05))
    assert (verdict.chosen, verdict.best, verdict.waited) == (60, 70, 1)
    assert verdict.kept == (60, 70)
    assert judge(evaluations(values, error=0.13)).chosen == 50
    assert judge(evaluations(values, error=0.0)).chosen == 70
    assert judge(evaluations(values[:2])) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_rule_equals_plain_loops(seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.random(12), 3)
    seen = [
        Seen(7 * k, float(v), float(e))
        for k, (v, e) in enumerate(zip(values, rng.random(12) / 5, strict=True))
    ]
    for num in range(3, 13):
        verdict = judge(seen[:num])
        assert (verdict.chosen, verdict.best, verdict.waited) == literal(seen[:num])


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_of_every_later_moment_was_kept(seed):
    """Weights are written at their own evaluation, and removed when out of play."""
    rng = np.random.default_rng(seed)
    seen = [Seen(k, float(rng.random()), float(rng.random() / 5)) for k in range(1, 15)]
    there: set[int] = set()
    for num in range(3, 15):
        verdict = judge(seen[:num])
        if seen[num - 1].step in verdict.kept:
            there.add(seen[num - 1].step)
        there &= set(verdict.kept)
        assert verdict.chosen in there


def test_the_error_of_balanced_accuracy_equals_theory():
    counts = np.array([[40, 10, 0], [5, 20, 5], [0, 2, 8]])
    support = counts.sum(1)
    recall = (np.diag(counts) + 1) / (support + 2)
    expected = np.sqrt((recall * (1 - recall) / support).sum()) / 3
    found = standard_error(counts, "balanced_accuracy", seed=0, step=1)
    assert found == pytest.approx(expected, rel=0.1)
    again = standard_error(counts, "balanced_accuracy", seed=0, step=1)
    assert found == again
    four = standard_error(4 * counts, "macro_f1", seed=0, step=1)
    one = standard_error(counts, "macro_f1", seed=0, step=1)
    assert four == pytest.approx(one / 2, rel=0.15)


def test_a_class_without_images_is_no_fault():
    counts = np.array([[3, 1, 0], [0, 0, 0], [1, 0, 3]])
    assert 0 < standard_error(counts, "macro_f1", seed=0, step=1) < 0.5


def test_evaluations_count_once_everything_is_on():
    config = build_config(
        {
            "loop.steps": 100,
            "consistency.start_share": 0.2,
            "consistency.ramp_share": 0.1,
        }
    )
    assert counts_from(config) == 30
    assert counts_from(config, trust=0.0) == 0
    sizes = {"loop.steps": 100, "data.sizes": ((8, 8, 0.6), (16, 16, 0.4))}
    assert counts_from(build_config(sizes)) == 60
    supervised = {"loop.steps": 100, "method": "supervised"}
    assert counts_from(build_config(supervised)) == 0
    frozen = {**supervised, "model.frozen_steps": 40}
    assert counts_from(build_config(frozen)) == 40
    late = {
        **supervised,
        "supervised.sampling_power": 1.0,
        "supervised.class_weights": "effective",
        "supervised.reweight_from": 0.8,
    }
    assert counts_from(build_config(late)) == 80


STOPPING = {
    "method": "supervised",
    "loop.steps": 20,
    "loop.eval_every": 2,
    "loop.save_every": 3,
    "loop.patience": 2,
    "optimizer.schedule": "constant",
}


@pytest.fixture
def scripted(monkeypatch):
    """Let the averaged weights score what a list says, whatever they do."""
    real = loop.evaluate_state

    def make(values):
        def evaluate(trainer):
            rates, place = patience.rates, trainer.state.step // 2 - 1
            monkeypatch.setattr(
                "uda.training.evaluate.rates",
                lambda counts: {**rates(counts), "macro_f1": values[place]},
            )
            monkeypatch.setattr(
                "uda.training.evaluate.standard_error", lambda *_a, **_k: 0.04
            )
            return real(trainer)

        monkeypatch.setattr(loop, "evaluate_state", evaluate)

    return make


# Means of three: .5 .6 .62 .61 .61 at steps 6 to 14: stops at 14, hands over 8.
VALUES = [0.4, 0.5, 0.6, 0.7, 0.56, 0.57, 0.7, 0.9, 0.9, 0.9]


def test_a_run_stops_and_hands_over_the_chosen_weights(quick, scripted):
    scripted(VALUES)
    whole, summary = quick(STOPPING)
    assert (summary.state, summary.step) == ("done", 14)
    status = json.loads((whole / "status.json").read_text())
    assert (status["stopped"], status["best"], status["chosen"]) == (14, 10, 8)
    assert summary.metrics["val_ema/macro_f1"] == 0.7
    assert [p.name for p in whole.glob("weights/candidate*")] == []
    short, _ = quick({**STOPPING, "loop.steps": 8, "loop.patience": None})
    assert same(weights(whole, "ema"), weights(short, "ema"))
    assert not same(weights(whole, "raw"), weights(short, "raw"))


@pytest.mark.parametrize("step", [7, 8, 9, 13])
def test_stopped_and_resumed_stops_at_the_same_step(quick, scripted, step):
    scripted(VALUES)
    whole, _ = quick(STOPPING)
    folder, summary = quick(STOPPING, stop=StopAt(step))
    assert summary.state == "interrupted"
    ended = resume(folder, workers=2, console=Progress(), stop=StopRequest())
    assert ended.step == 14
    for name in ("raw", "ema"):
        assert same(weights(whole, name), weights(folder, name))


def test_killed_between_the_last_checkpoint_and_the_end(quick, scripted, monkeypatch):
    scripted(VALUES)
    whole, expected = quick(STOPPING)

    def killed(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.save, "table_row", killed)
        with pytest.raises(KeyboardInterrupt):
            quick(STOPPING)
    folder = (whole.parent / "latest").resolve()
    assert folder != whole
    ended = resume(folder, workers=0, console=Progress(), stop=StopRequest())
    assert ended.step == 14
    assert ended.metrics == pytest.approx(expected.metrics)
    assert same(weights(whole, "ema"), weights(folder, "ema"))


def test_a_choice_that_is_gone_is_replaced_by_the_next(quick, scripted, monkeypatch):
    scripted(VALUES)
    look = patience.look

    def careless(trainer):
        over = look(trainer)
        if trainer.state.step == 12:
            for path in trainer.run.weights.glob("candidate-00000008*"):
                path.unlink()
        return over

    monkeypatch.setattr(patience, "look", careless)
    folder, _ = quick(STOPPING)
    status = json.loads((folder / "status.json").read_text())
    assert (status["chosen"], status["best"]) == (10, 10)


def test_a_run_without_end_of_patience_hands_over_by_the_rule_too(quick, scripted):
    scripted(VALUES)
    folder, summary = quick({**STOPPING, "loop.patience": 9})
    assert summary.step == 20
    status = json.loads((folder / "status.json").read_text())
    assert status["chosen"] == status["best"] == 20


def test_semi_supervised_runs_stop_too(quick, scripted):
    """What came before the branch was whole does not count, however good it was."""
    scripted([0.99, 0.99, 0.5, 0.6, 0.4, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2])
    changes = {"loop.steps": 24, "loop.eval_every": 2, "loop.patience": 1}
    folder, summary = quick({**changes, "consistency.start_share": 0.1})
    status = json.loads((folder / "status.json").read_text())
    assert summary.step < 24
    assert status["chosen"] >= 6


def test_a_small_validation_part_is_told():
    told: list[str] = []
    parts = SimpleNamespace(
        validation_targets=np.array([0, 0, 0, 1]), classes=("Good", "Rust")
    )
    trainer = SimpleNamespace(
        config=build_config(STOPPING),
        parts=parts,
        writer=SimpleNamespace(console=SimpleNamespace(warn=told.append)),
    )
    patience._tell_small(trainer, Seen(2, 0.5, 0.02))
    assert told == []
    patience._tell_small(trainer, Seen(2, 0.5, 0.12))
    assert "4 validation images, 1 of the rarest class" in told[0]
    assert "0.24 or more" in told[0]


def test_patience_evaluates_twice_as_often():
    config = build_config({"loop.steps": 400, "loop.patience": 3})
    assert fix_length(config, Length(), None).loop.eval_every == 20
    config = build_config({"loop.steps": 400})
    assert fix_length(config, Length(), None).loop.eval_every == 40


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loop.patience": 2, "data.validation": 0.0}, "no validation part"),
        ({"loop.stop_metric": "macro_f1"}, "nothing stops the run early"),
        ({"loop.patience": 2, "method": "texture"}, "trains no network"),
    ],
)
def test_patience_without_effect_is_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        build_config(changes)


def test_a_split_without_validation_and_too_few_evaluations_are_refused(quick):
    config = build_config(STOPPING)
    with pytest.raises(UsageError, match="no validation part"):
        check(config, type("P", (), {"validation": []})())
    with pytest.raises(UsageError, match="fewer than 3 evaluations after step 0"):
        quick({**STOPPING, "loop.eval_every": 10})
