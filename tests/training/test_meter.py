"""The clock of the steps, against times that are known."""

from __future__ import annotations

import pytest

from uda.training import meter as meter_module
from uda.training.meter import Meter


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set."""
    now = [100.0]
    monkeypatch.setattr(meter_module, "perf_counter", lambda: now[0])
    return now


def test_an_evaluation_between_two_reports_takes_no_time_and_loses_no_images(clock):
    meter = Meter()
    for step in range(1, 11):  # a second each, of which a fifth waits
        clock[0] += 1.0
        meter.lap(64, 0.2 * step)
        if step == 5:
            clock[0] += 1000.0
            meter.leave_out()
    assert meter.images_per_second == pytest.approx(64.0)
    assert meter.waiting_share == pytest.approx(0.2)


def test_a_report_begins_anew_and_the_time_of_writing_it_is_left_out(clock):
    meter = Meter()
    clock[0] += 2.0
    meter.lap(10, 1.0)
    clock[0] += 50.0
    meter.reset()
    clock[0] += 4.0
    meter.lap(10, 1.0)
    assert (meter.seconds, meter.waited) == (4.0, 0.0)
    assert meter.images_per_second == pytest.approx(2.5)


def test_before_the_first_step_there_is_no_rate(clock):
    assert (Meter().images_per_second, Meter().waiting_share) == (0.0, 0.0)
