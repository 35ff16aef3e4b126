"""Slow, hanging and failing plug-ins in whole runs: who is named, and when."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from uda.errors import DataError
from uda.training import pace
from uda.training.configure import build_config
from uda.training.meter import Meter
from uda.training.monitor.progress import Progress

SLEEPY = """
import time

def augment(image, rng):
    time.sleep(0.01)
    return image
"""


@pytest.fixture
def warnings(monkeypatch):
    told = []
    monkeypatch.setattr(Progress, "warn", lambda self, message: told.append(message))
    return told


def test_a_slow_plug_in_is_named_once_with_its_rate(quick, tmp_path, warnings):
    file = tmp_path / "sleepy.py"
    file.write_text(SLEEPY)
    pace_before = pace._MIN_SECONDS
    pace._MIN_SECONDS = 0.05
    try:
        quick({"views.strong": str(file)})
    finally:
        pace._MIN_SECONDS = pace_before
    slow = [text for text in warnings if "sleepy.py" in text]
    assert len(slow) == 1
    assert "% of the time goes into waiting for images" in slow[0]
    rate = int(slow[0].split(" makes ")[1].split()[0])
    assert 20 < rate <= 100
    assert "Try --workers 2 (now 0" in slow[0]


def test_quick_policies_are_not_complained_about(quick, warnings):
    quick({"views.strong": "example_gamma"})
    assert [text for text in warnings if "example_gamma" in text] == []


@pytest.mark.parametrize(
    ("share", "waited", "told"), [(0.19, 5.0, 0), (0.21, 5.0, 1), (0.21, 0.9, 0)]
)
def test_waiting_is_told_beyond_a_share_and_a_second(monkeypatch, share, waited, told):
    seen, policy = [], mock.Mock(path="mine.py")
    images = np.zeros((9, 4, 4, 1), np.uint8)
    stream = SimpleNamespace(python_policies=(policy,), images=images)
    trainer = SimpleNamespace(
        meter=Meter(seconds=waited / share, waited=waited),
        told_slow=False,
        stream=stream,
        config=build_config({}),
        writer=SimpleNamespace(console=SimpleNamespace(warn=seen.append)),
    )
    monkeypatch.setattr(pace, "images_per_second", lambda *_: 50.0)
    pace.tell_slow(trainer)
    pace.tell_slow(trainer)
    assert len(seen) == told


def test_a_plug_in_that_hangs_is_named(quick, tmp_path, warnings, monkeypatch):
    file = tmp_path / "sleepy.py"
    file.write_text(SLEEPY)
    monkeypatch.setattr(
        "uda.data.prefetching.Prefetcher.__init__.__kwdefaults__",
        {"stalled": None, "patience": 0.02},
    )
    quick({"views.strong": str(file)})
    hanging = [text for text in warnings if "may hang" in text]
    assert len(hanging) == 1
    assert "no batch for 0 s" in hanging[0]
    assert "sleepy.py" in hanging[0]


def test_a_strong_policy_that_fails_does_so_before_the_first_step(quick, tmp_path):
    file = tmp_path / "late.py"
    file.write_text("def augment(image, rng):\n    return image[:3]\n")
    with pytest.raises(DataError, match=r"late\.py: augment returned uint8 of shape"):
        quick({"views.strong": str(file), "consistency.start_share": 0.9})
    assert not list(tmp_path.glob("runs/*/checkpoints/*"))
