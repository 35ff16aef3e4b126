"""The estimated prior: right on a known mix, refused on few images, exact on resume."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests.training.test_loop import StopAt, same, weights
from uda.errors import UsageError
from uda.objectives.consistency.alignment import Aligned
from uda.objectives.priors import prior_by_confusion
from uda.training import estimate
from uda.training.configure import build_config
from uda.training.estimate import PRIOR, confusion_of
from uda.training.launch import resume
from uda.training.monitor.progress import Progress
from uda.training.prior import learned_prior, refuse_unestimable, teaching_prior
from uda.training.state import load_newest
from uda.training.stop import StopRequest

ASK = {"consistency.prior": "estimate", "data.validation": 0.4}


def status(folder):
    return json.loads((folder / "status.json").read_text())


def test_mistakes_are_taken_out_of_the_counts():
    """A classifier that is wrong in a known way: the mix behind its answers."""
    targets = torch.arange(3).repeat_interleave(200)
    told = targets.clone()
    told[:40] = 1  # a fifth of class 0 is called 1
    confusion = confusion_of(targets.numpy(), told.numpy(), 3)
    assert confusion.tolist() == [[160, 40, 0], [0, 200, 0], [0, 0, 200]]
    mix = torch.tensor([0.9, 0.05, 0.05], dtype=torch.float64)
    predicted = (confusion / 200).double().T @ mix * 10_000
    found = prior_by_confusion(confusion, predicted)
    torch.testing.assert_close(found, mix, atol=0.01, rtol=0)


def test_it_is_estimated_when_the_branch_starts_stored_and_used(quick, monkeypatch):
    built = []
    plain = estimate.build_objective

    def spy(*args, **options):
        built.append(plain(*args, **options))
        return built[-1]

    monkeypatch.setattr(estimate, "build_objective", spy)
    folder, _ = quick(ASK)
    told = status(folder)["prior"]
    assert told["step"] == 2  # 0.3 of 6 steps
    assert sum(told["shares"].values()) == pytest.approx(1)
    assert min(told["shares"].values()) > 0
    assert len(built) == 1
    assert isinstance(built[0].method, Aligned)
    assert built[0].method.prior == pytest.approx(tuple(told["shares"].values()))
    saved, _ = load_newest(folder / "checkpoints")
    assert saved["objective_state"][PRIOR].tolist() == list(told["shares"].values())
    assert float(saved["objective_state"]["method/alignment"].sum()) > 0.99


@pytest.mark.parametrize("stop", [2, 4])
@pytest.mark.parametrize("refinery", ["align", "darp"])
def test_stopped_and_resumed_equals_uninterrupted(quick, stop, refinery):
    changes = {**ASK, "consistency.refinery": refinery, "loop.eval_every": 6}
    whole, _ = quick(changes)
    folder, summary = quick(changes, stop=StopAt(stop))
    assert summary.state == "interrupted"
    resume(folder, workers=0, console=Progress(), stop=StopRequest())
    assert status(whole)["prior"] == status(folder)["prior"]
    assert same(weights(whole, "raw"), weights(folder, "raw"))
    assert same(weights(whole, "ema"), weights(folder, "ema"))


def test_too_few_validation_images_are_refused_with_numbers(quick):
    with pytest.raises(UsageError, match=r"5 validation images.*Good \(\d\)"):
        quick({"consistency.prior": "estimate"})
    config = build_config({"consistency.prior": "estimate"})
    with pytest.raises(UsageError, match=r"fewer of b \(4\)\."):
        refuse_unestimable(config, {"a": 5, "b": 4})
    refuse_unestimable(config, {"a": 5, "b": 5})


def test_without_a_warm_start_there_is_nothing_to_estimate_with():
    with pytest.raises(UsageError, match="warm start"):
        build_config({"consistency.prior": "estimate", "consistency.start_share": 0})


def test_what_the_network_learned_is_the_samplers_mix_less_what_is_adjusted():
    counts = np.array([90, 10])
    plain = {"supervised.sampling_power": 1.0}
    found = learned_prior(build_config(plain), counts)
    assert found == pytest.approx((0.9, 0.1))
    adjusted = build_config({**plain, "supervised.logit_adjustment": "loss"})
    assert learned_prior(adjusted, counts) == pytest.approx((0.5, 0.5))
    weighted = build_config({**plain, "supervised.class_weights": "inverse"})
    assert learned_prior(weighted, counts) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    ("given", "answers", "targets"),
    [
        ({}, (0.5, 0.5), (0.5, 0.5)),
        ({"supervised.sampling_power": 1.0}, (0.9, 0.1), (0.9, 0.1)),
        ({"supervised.sampling_power": 0.5}, (0.75, 0.25), (0.75, 0.25)),
        (
            {
                "supervised.sampling_power": 1.0,
                "supervised.logit_adjustment": "post-hoc",
            },
            (0.5, 0.5),
            (0.9, 0.1),
        ),
        (
            {
                "supervised.sampling_power": 1.0,
                "supervised.logit_adjustment": "loss",
                "supervised.adjustment_tau": 0.5,
            },
            (0.75, 0.25),
            (0.75, 0.25),
        ),
        (
            {"supervised.sampling_power": 1.0, "consistency.debias": True},
            (0.5, 0.5),
            (0.5, 0.5),
        ),
        (
            {
                "supervised.sampling_power": 1.0,
                "supervised.class_weights": "inverse",
                "supervised.reweight_from": 0.8,
            },
            (0.9, 0.1),
            (0.9, 0.1),
        ),
        (
            {
                "supervised.sampling_power": 1.0,
                "supervised.class_weights": "inverse",
                "supervised.reweight_from": 0.15,  # where the branch starts
            },
            (0.9, 0.1),
            (0.9, 0.1),
        ),
    ],
)
def test_the_mix_that_answers_and_targets_rest_on(given, answers, targets):
    """Late weights have not begun when the branch does; post-hoc is of answers."""
    config, counts = build_config(given), np.array([90, 10])
    assert learned_prior(config, counts) == pytest.approx(answers)
    start = config.consistency.start_share
    assert teaching_prior(config, counts, start) == pytest.approx(targets)


def test_targets_rest_on_class_weights_from_when_they_begin():
    """Inverse weights on 90 and 10 images make both classes count the same."""
    config = build_config(
        {
            "supervised.sampling_power": 1.0,
            "supervised.class_weights": "inverse",
            "supervised.reweight_from": 0.8,
        }
    )
    for progress, shares in ((0.15, (0.9, 0.1)), (0.8, (0.9, 0.1)), (0.81, (0.5, 0.5))):
        found = teaching_prior(config, np.array([90, 10]), progress)
        assert found == pytest.approx(shares)
