"""Data health and the unlabelled branch: counts, groups, what is too low."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.reports import make_run
from uda.data.splits import Split, SplitRow
from uda.reporting import health
from uda.reporting.rundata import read_run
from uda.run.layout import RunFolder


def rows(part, label, count, groups=None):
    return [
        SplitRow(
            f"{part}{label}{n}",
            part,
            label,
            None if groups is None else f"{part}{label}{n % groups}",
            "",
        )
        for n in range(count)
    ]


def test_counts_and_what_they_prove():
    split = Split(
        (
            *rows("labeled", "a", 12),
            *rows("validation", "a", 10),
            *rows("test", "a", 17),
            *rows("labeled", "b", 30, groups=4),
            *rows("test", "b", 16),
            *rows("unlabeled", "a", 5),
        )
    )
    a, b, c = health.class_counts(split, ["a", "b", "c"])
    assert a.images == {"labeled": 12, "validation": 10, "test": 17}
    assert (a.low, a.verdict) == (frozenset(), "")
    assert b.groups["labeled"] == 4
    assert b.low == {"labeled", "validation", "test"}
    assert b.proves == pytest.approx(0.025 ** (1 / 16))  # all of 16 right
    assert "only 0.79" in b.verdict
    assert "no test image" in c.verdict


def test_an_image_with_several_labels_counts_for_each():
    split = Split(tuple(rows("labeled", "a|b", 3)))
    a, b = health.class_counts(split, ["a", "b"])
    assert (a.images["labeled"], b.images["labeled"]) == (3, 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = make_run(tmp_path_factory.mktemp("run"))
    return read_run(RunFolder(made.folder), images=False)


def test_the_mix_is_held_against_the_stated_prior(run):
    shares, name = health.reference_mix(run)
    assert shares == pytest.approx([1 / 3] * 3)
    assert name == "labelled images"
    prior = {"Good": 8, "Rust": 1, "Scratch": 1}
    stated = replace(run, config={"consistency": {"prior": prior}})
    assert health.reference_mix(stated) == ([0.8, 0.1, 0.1], "stated prior")
    assert health.reference_mix(replace(run, split=None)) == (None, "")


def test_the_branch_in_words(run):
    facts = dict(health.branch_facts(run))
    assert facts["Mask rate at the end"] == "80% of the unlabelled images teach"
    assert facts["Pseudo-labels that are right"].startswith("90%")
    assert facts["Guard"].startswith("weight cut to 50%")
    assert facts["Warm start"].endswith(
        "0.50 ± 0.10; the network at the last step 0.80"
    )
    assert facts["Handed over"] == "the final averaged weights"
    off = replace(run, status={"guard_factor": 0.0}, history=[])
    assert health.branch_facts(off)[0][1].startswith("switched off")
    assert health.branch_facts(replace(run, status={}, history=[])) == []
    assert health.number_unlabeled(run) == 9
    assert len(health.alarms(run)) == 1


def test_the_end_is_the_networks_whatever_is_handed_over(run):
    """The status holds the accuracy of what was handed over."""
    status = {**run.status, "handed_over": "texture", "val_ema/balanced_accuracy": 0.3}
    facts = dict(health.branch_facts(replace(run, status=status)))
    assert facts["Warm start"].endswith("the network at the last step 0.80")
