"""Treatments of imbalance: each rule fires on its facts and stays silent without."""

from __future__ import annotations

import re
from dataclasses import replace

import click
import pytest

from uda.cli.train import command
from uda.inspect import treatments
from uda.inspect.facts import Facts
from uda.training.config import SupervisedConfig
from uda.training.configure import build_config

RULES = (
    treatments.correction,
    treatments.balanced_head,
    treatments.discouraged,
    treatments.annealing,
    treatments.mix,
    treatments.foreign_images,
)
SKEWED = Facts(
    counts={"Good": 94, "Rust": 11, "Grind": 7},
    units={"Good": 94, "Rust": 11, "Grind": 7},
    unlabeled=400,
    shift=0.5,
)
EVEN = Facts(counts={"a": 90, "b": 80}, units={"a": 90, "b": 80}, unlabeled=900)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_fires_on_its_facts_alone(rule):
    found = rule(SKEWED)
    assert found is not None
    assert found.source
    assert found.reason
    assert rule(EVEN) is None


def test_one_correction_is_named_and_accepted_by_the_command():
    found = treatments.correction(SKEWED)
    assert "--sampling-power 0.5 --logit-adjustment loss" in found.command
    build_config(
        {"supervised.sampling_power": 0.5, "supervised.logit_adjustment": "loss"}
    )
    moderate = treatments.correction(replace(SKEWED, counts={"a": 30, "b": 10}))
    assert "the default" in moderate.title
    default = f"--sampling-power {SupervisedConfig().sampling_power:g}, the default"
    assert default in moderate.reason


def test_pool_rules_are_silent_without_a_pool():
    poor = replace(SKEWED, unlabeled=100)
    assert treatments.balanced_head(poor) is None
    assert treatments.discouraged(poor) is None
    assert treatments.mix(poor) is None
    assert treatments.correction(poor) is not None


def test_the_data_own_test_part_does_not_count_as_training():
    """94 to 7 on the whole, even in what training may use."""
    even = replace(SKEWED, trained={"Good": 10, "Rust": 9, "Grind": 7})
    assert treatments.correction(even) is None


def test_annealing_is_named_for_few_repeated_images_alone():
    many = replace(SKEWED, counts={"a": 900, "b": 50})
    assert treatments.annealing(many) is None
    assert "--tsa-exempt-below 8" in treatments.annealing(SKEWED).command


def test_treatments_name_options_that_exist():
    given = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
    for rule in RULES:
        found = rule(SKEWED)
        named = set(re.findall(r"--[a-z][a-z-]*[a-z]", found.title + found.command))
        assert named - {"--out"} <= given, rule


def test_a_class_without_training_images_is_not_the_rarest():
    """All images of C are in the data's own test part."""
    facts = replace(SKEWED, trained={"A": 50, "B": 4, "C": 0})
    assert "each of the 4 images of B 12 times" in treatments.correction(facts).reason
