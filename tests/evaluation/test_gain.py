"""The gain of views by hand: two answers to the same images, groups drawn whole."""

from __future__ import annotations

import json

import numpy as np
import pytest

from uda.evaluation.gain import tta_gain
from uda.evaluation.tta import Tta
from uda.evaluation.tuning import Sample

CLASSES = ("a", "b", "c")  # of c there is no image
FLIPS = Tta("flips", (np.asarray,) * 4)


def sample(targets, answers, groups=None, tta="none"):
    logs = np.full((len(targets), 3), -5.0)
    logs[np.arange(len(targets)), answers] = -0.01
    names = tuple(groups or [str(row) for row in range(len(targets))])
    return Sample(logs, np.asarray(targets), names, CLASSES, tta)


def test_the_values_by_hand():
    targets = [0] * 8 + [1] * 4
    plain = sample(targets, [0] * 8 + [1, 0, 0, 0])  # recalls 1 and 1/4
    under = sample(targets, [0] * 6 + [1, 1] + [1, 1, 1, 0], tta="flips")  # 3/4, 3/4
    gain = tta_gain(FLIPS, under, plain)
    found = gain.differences["balanced_accuracy"]
    assert (found.second, found.first) == pytest.approx((0.625, 0.75))
    assert found.interval.low <= found.value <= found.interval.high
    assert gain.differences["rarest_recall"].first == pytest.approx(0.75)  # of b
    assert (gain.label, gain.views) == ("flips", 4)
    stored = json.loads(json.dumps(gain.to_json(), allow_nan=False))
    assert stored["gain"]["macro_f1"]["first"] > 0


def test_the_same_answers_gain_nothing():
    targets = [0, 0, 1, 1]
    same = sample(targets, [0, 1, 1, 0])
    found = tta_gain(FLIPS, same, same).differences["balanced_accuracy"]
    assert (found.value, *found.interval) == (0, 0, 0)


def test_photos_of_one_part_count_once():
    targets = [0] * 10 + [1] * 20
    plain, under = [0] * 10 + [0] * 20, [0] * 10 + [0, 1] * 10
    alone = tta_gain(FLIPS, sample(targets, under), sample(targets, plain))
    parts = ["g"] * 10 + [f"p{row % 2}" for row in range(20)]
    pair = (sample(targets, under, parts), sample(targets, plain, parts))
    grouped = tta_gain(FLIPS, *pair)
    low, high = alone.differences["balanced_accuracy"].interval
    wide_low, wide_high = grouped.differences["balanced_accuracy"].interval
    assert wide_high - wide_low > high - low
