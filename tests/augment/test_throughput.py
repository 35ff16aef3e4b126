"""Throughput: what is timed, and that known costs come out as such."""

from __future__ import annotations

import numpy as np
import pytest

from tests.augment.test_plugins import plug_in
from uda.augment import throughput
from uda.augment.policy import Policy, load_policy
from uda.augment.throughput import COPY, NORMALIZE, measure
from uda.errors import DataError, UsageError

QUICK = {"batch": 16, "rounds": 3, "seconds": 0.002, "size": (16, 12)}


def test_a_known_cost_is_found(tmp_path):
    policy = plug_in(tmp_path, "import time\ntime.sleep(0.002)\nreturn image")
    found = measure({"slow": policy, "weak": load_policy("weak")}, **QUICK)
    assert list(found.rates) == [COPY, NORMALIZE, "slow", "weak"]
    slow = found.rates["slow"]
    assert 100 < slow.low <= slow.median <= slow.high <= 500
    assert found.executor in ("numba", "pillow")
    assert found.share("slow", COPY) < 0.05
    assert found.share(COPY, COPY) == 1


def test_quartiles_are_of_the_rounds(monkeypatch):
    clock = iter([1.0, 2.0, 4.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr(throughput, "_calls", lambda task, seconds: 1)
    monkeypatch.setattr(throughput, "_time", lambda task, calls: next(clock))
    found = measure({}, batch=8, rounds=3)
    # copy takes 1, 4, 2 seconds and normalize 2, 1, 4
    assert found.rates[COPY].median == 4
    assert found.rates[COPY].low == np.quantile([8, 2, 4], 0.25)
    assert found.rates[NORMALIZE].high == np.quantile([4, 8, 2], 0.75)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_options_run(channels):
    found = measure({"uda": load_policy("uda")}, channels=channels, threads=2, **QUICK)
    assert all(rate.median > 0 for rate in found.rates.values())


def test_names_of_floors_and_faults_are_refused(tmp_path):
    with pytest.raises(UsageError, match="floor"):
        measure({"copy": Policy("copy")}, **QUICK)
    with pytest.raises(DataError, match=r"mine\.py"):
        measure({"bad": plug_in(tmp_path, "return None")}, **QUICK)
