"""One call from answers to a rule with its gain, as plain values too."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.test_tuning import CLASSES, drawn
from uda.errors import DataError
from uda.evaluation.calibration import scaled
from uda.evaluation.tuned import tune
from uda.evaluation.tuning import Sample, TuneConfig
from uda.reporting.tuning import change_lines, class_lines, promise_lines


def test_the_rule_and_what_it_gains():
    sample = drawn()
    tuned = tune(TuneConfig(bias=True, coverage=0.9), sample, certified=False)
    assert tuned.rule.bias
    rows = tuned.by_class
    assert [row.name for row in rows] == list(CLASSES)
    assert sum(row.images for row in rows) == 300
    assert sum(row.groups for row in rows) == 150
    alone = sample.log_probs.argmax(axis=1)
    assert rows[1].recall_before == pytest.approx(
        (alone[sample.targets == 1] == 1).mean()
    )
    assert np.average(
        [row.unsure for row in rows], weights=[row.images for row in rows]
    ) == pytest.approx(tuned.answers.unsure.mean())
    assert tuned.unsure.value == tuned.answers.unsure.mean()
    assert tuned.unsure.interval.high - tuned.unsure.interval.low > 0.05


def test_facts_are_plain():
    costs = ((0.0, 1.0, 1.0), (20.0, 0.0, 1.0), (20.0, 1.0, 0.0))
    tuned = tune(TuneConfig(costs=costs, good_class="Good"), drawn(), certified=True)
    facts = json.loads(json.dumps(tuned.facts(), allow_nan=False))
    assert facts["asked"]["costs"]["Rust"]["Good"] == 20
    assert facts["never_seen_by_the_model"] is True
    assert (facts["images"], facts["groups"]) == (300, 150)
    names = [change["name"] for change in facts["cross_fitted"]["changes"]]
    assert names[-2:] == ["mean_cost", "log_loss"]


def test_a_class_without_images_is_not_a_number():
    sample = drawn()
    some = sample.take(np.flatnonzero(sample.targets != 2))
    tuned = tune(TuneConfig(bias=True), some, certified=False)
    assert tuned.by_class[2].recall_before is None
    assert tuned.rule.bias[2] == 0
    json.dumps(tuned.facts(), allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(2, 12),
    spread=st.sampled_from([0.1, 3.0, 300.0]),
    bias=st.booleans(),
    coverage=st.sampled_from([None, 0.5, 0.8]),
    max_escape=st.sampled_from([None, 0.5]),
    with_costs=st.booleans(),
)
def test_however_few_there_are_it_is_a_rule_or_a_refusal(
    seed, size, spread, bias, coverage, max_escape, with_costs
):
    """Absent classes, ties and impossible classes included; nothing is NaN."""
    rng = np.random.default_rng(seed)
    logs = np.round(scaled(rng.normal(0, spread, (size, 3)))).astype(np.float32)
    groups = tuple(f"g{row % max(2, size // 2)}" for row in range(size))
    targets = rng.integers(0, rng.integers(1, 4), size)
    costs = ((0.0, 1.0, 1.0), (9.0, 0.0, 1.0), (9.0, 1.0, 0.0))
    config = TuneConfig(
        bias=bias,
        coverage=coverage,
        costs=costs if with_costs and max_escape is None else (),
        good_class="Good",
        max_escape=max_escape,
        confidence=0.6,
    )
    try:
        tuned = tune(config, Sample(logs, targets, groups, CLASSES), certified=True)
    except DataError:  # it says how many images are needed
        return
    json.dumps([tuned.rule.to_json(), tuned.facts()], allow_nan=False)
    assert change_lines(tuned)
    assert class_lines(tuned)
    assert promise_lines(tuned)
