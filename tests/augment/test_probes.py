"""Each probe alone: silent on what is fit, in words on what is not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.augment.helpers import make_images
from tests.augment.test_plugins import plug_in
from uda.augment.policy import Policy
from uda.augment.probes import PROBES, Case, judge, renders, same_elsewhere

IMAGES = make_images("noise", 4, 8, 8, 1)


def judged(policy, probe):
    return judge("probe", probe, [Case(policy, IMAGES, "mine: on noise")])


@pytest.mark.parametrize("probe", [renders, same_elsewhere, *PROBES.values()])
def test_a_native_policy_passes(probe):
    verdict = judged(Policy("flip", hflip=0.5), probe)
    assert verdict.passed
    assert verdict.name == "probe"


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("grey levels up to 255", "return image // 255", "multiplied by 255"),
        ("same seed, same views", "return image + next(count)", "two calls with"),
        ("independent of the batch split", "return image + next(count)", "batches"),
    ],
)
def test_what_is_unfit_is_named_with_the_images(tmp_path, name, body, words):
    policy = plug_in(tmp_path, body)
    levels = iter(range(10**6))
    policy.function.__globals__["count"] = (np.uint8(n % 251) for n in levels)
    fault = judged(policy, PROBES[name]).fault
    assert fault.startswith("mine: on noise: ")
    assert words in fault


def test_a_policy_that_raises_is_its_own_message(tmp_path):
    fault = judged(plug_in(tmp_path, "raise ValueError('no')"), renders).fault
    assert "mine.py:4: augment failed" in fault


def test_views_are_those_of_their_numbers():
    case = Case(Policy("flip", hflip=0.5), IMAGES, "")
    np.testing.assert_array_equal(case.views(1, 3), case.views()[1:3])
