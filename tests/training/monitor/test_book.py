"""The book of alarms: told once, remembered, and never misled by a line passed over."""

from __future__ import annotations

import json
import time

import pytest

from uda.training.monitor.book import AlarmBook
from uda.training.monitor.facts import Facts

FACTS = Facts(("Good", "a/b"), (0.5, 0.5), (50, 50), 1000)


def test_an_alarm_is_told_once_until_it_clears() -> None:
    book = AlarmBook(FACTS)
    told: list[tuple[int, str]] = []
    for step in range(0, 900, 10):
        rate = 0.5 if 300 <= step < 600 else 0.0
        new = book.observe(step, {"unlabeled/mask_rate": rate})
        told += [(step, alarm.key) for alarm in new]
        if step == 500:
            assert book.active == ()
    assert [key for _, key in told] == ["mask-rate-low"] * 2
    assert told[0][0] < 100
    assert told[1][0] > 600
    assert [alarm.key for alarm in book.active] == ["mask-rate-low"]


def test_every_alarm_says_what_is_seen_why_and_what_to_change() -> None:
    facts = Facts(("Good", "a/b"), (0.5, 0.5), (2, 2), 1000)
    book = AlarmBook(facts)
    values = {
        "unlabeled/mask_rate": 0.0,
        "unlabeled/pseudo_share/Good": 1.0,
        "labeled/accuracy": 1.0,
        "labeled/tsa_threshold": 0.5,
        "labeled/kept_share/Good": 0.0,
        "labeled/kept_share/a_b": 1.0,
        "time/waiting_share": 0.5,
        "loss/total": 1.0,
    }
    for step in range(0, 400, 10):
        book.observe(step, values | {"loss/total": 99.0 if step > 350 else 1.0})
    assert {alarm.key for alarm in book.active} == {
        *("mask-rate-low", "pseudo-labels/Good", "memorised", "waiting-for-data"),
        *("labels-dropped/Good", "labels-not-learned/a_b", "loss-growing"),
        "validation-small",
    }
    for alarm in book.active:
        assert all(
            part.endswith(".") for part in (alarm.seen, alarm.why, alarm.change)
        ), alarm
        assert alarm.change in alarm.text()
        assert alarm.seen in alarm.markdown()
        assert json.loads(json.dumps(alarm.to_dict()))["key"] == alarm.key


def test_a_long_run_with_many_points_stays_cheap() -> None:
    classes = tuple(f"class {i}" for i in range(50))
    facts = Facts(classes, (0.02,) * 50, (50,) * 50, 500_000)
    book = AlarmBook(facts)
    values = {f"unlabeled/pseudo_share/class_{i}": 0.02 for i in range(50)}
    begin = time.process_time()
    for step in range(5000):
        book.observe(step, values)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("steps", [1_000, 500_000])
def test_what_is_told_in_one_line_of_many_holds_until_it_is_told_again(
    steps: int,
) -> None:
    """Texture names the targets: told in the line after each renewal of the table.

    In a long run most lines are passed over, and that one always.
    """
    book = AlarmBook(Facts(("Good", "a/b"), (0.5, 0.5), (50, 50), steps))
    for step in range(0, 3000, 10):
        values = {"unlabeled/mask_rate": 0.995}
        if step % 50 == 10:
            values["unlabeled/texture_alone"] = 1.0
        book.observe(step, values)
    assert book.active == ()
    for step in range(3000, 6000, 10):
        values = {"unlabeled/mask_rate": 0.995}
        if step % 50 == 10:
            values["unlabeled/texture_alone"] = 0.0
        book.observe(step, values)
    assert [alarm.key for alarm in book.active] == ["mask-rate-high"]


@pytest.mark.parametrize("log_every", [1, 10, 17, 40, 100])
@pytest.mark.parametrize("steps", [1_000, 4_000])
def test_alarms_work_whatever_is_logged(steps: int, log_every: int) -> None:
    facts = Facts(("Good", "a/b"), (0.5, 0.5), (50, 50), steps, log_every=log_every)
    book = AlarmBook(facts)
    for step in range(log_every, steps + 1, log_every):
        book.observe(step, {"unlabeled/mask_rate": 0.01})
    assert [alarm.key for alarm in book.active] == ["mask-rate-low"]
