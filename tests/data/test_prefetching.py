"""Prefetching: order, errors, waiting times and nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from uda.data.prefetching import Here, Prefetcher, Processes, Threads
from uda.errors import DataError, TrainingError


def square(step: int) -> int:
    return step * step


def fail_at_3(step: int) -> int:
    if step == 3:
        raise DataError("bad image")
    return step


class _Stubborn(Exception):
    """Cannot be rebuilt from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("stubborn")


def fail_stubbornly(step: int) -> int:
    raise _Stubborn(step, step)


def die(step: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return step


def interrupt_itself(step: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return step


def batch_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("uda-batch")]


@pytest.mark.parametrize("threads", [1, 4])
def test_items_come_in_order_whatever_their_duration(threads):
    def uneven(step: int) -> int:
        time.sleep(0.01 * (step % 3 == 0))
        return step

    items = Prefetcher(Threads(uneven, 5, 25, 2, threads))
    assert list(items) == list(range(5, 25))
    assert batch_threads() == []
    assert list(items) == []


def test_no_more_than_depth_items_are_made_ahead():
    made = []
    items = Prefetcher(Threads(lambda step: made.append(step), 0, 100, 2, 1))
    for _ in range(3):
        next(items)
    time.sleep(0.1)
    items.close()
    assert len(made) <= 5


@pytest.mark.parametrize("source", [Here, Threads])
def test_an_error_comes_at_its_step_with_its_type(source):
    extra = () if source is Here else (2, 2)
    items = Prefetcher(source(fail_at_3, 0, 9, *extra))
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match=r"^bad image$"):
        next(items)
    assert batch_threads() == []
    with pytest.raises(StopIteration):
        next(items)


def test_closing_early_leaves_no_thread():
    items = Prefetcher(Threads(square, 0, 10**6, 3, 3))
    assert next(items) == 0
    assert batch_threads()
    items.close()
    items.close()
    assert batch_threads() == []


def test_waiting_is_measured():
    def slow(step: int) -> int:
        time.sleep(0.05)
        return step

    with Prefetcher(Threads(slow, 0, 3, 1, 1)) as items:
        next(items)
        first = items.waited
        assert first > 0.03
        time.sleep(0.2)
        next(items)
        assert items.waited < first
        assert items.waited_total == first + items.waited


def test_processes_give_the_same_and_go_away():
    items = Prefetcher(Processes(square, 2, 9, 2, 2))
    assert list(items) == [step * step for step in range(2, 9)]
    assert multiprocessing.active_children() == []


def test_errors_of_processes_keep_type_and_text():
    with Prefetcher(Processes(fail_at_3, 0, 9, 2, 1)) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(DataError, match=r"^bad image$"):
            next(items)
    with (
        Prefetcher(Processes(fail_stubbornly, 0, 9, 2, 1)) as items,
        pytest.raises(TrainingError, match="_Stubborn: stubborn"),
    ):
        next(items)


def test_a_killed_worker_is_an_error_with_advice():
    with (
        Prefetcher(Processes(die, 0, 9, 2, 1)) as items,
        pytest.raises(TrainingError, match="fewer --workers"),
    ):
        next(items)


def test_a_worker_outlives_ctrl_c_so_that_the_trainer_can_save():
    with Prefetcher(Processes(interrupt_itself, 0, 6, 2, 1)) as items:
        assert list(items) == list(range(6))


def test_a_source_that_hangs_is_told_about_once():
    told = []
    source = Here(lambda step: time.sleep(0.2) or step, 0, 2)
    with Prefetcher(source, stalled=told.append, patience=0.05) as items:
        assert [next(items), next(items)] == [0, 1]
    assert told == [0.05]


def test_a_source_that_answers_is_not_told_about():
    told = []
    with Prefetcher(Here(square, 0, 3), stalled=told.append, patience=0.3) as items:
        assert list(items) == [0, 1, 4]
    time.sleep(0.4)
    assert told == []


HANG = """
import sys, time
from uda.data.prefetching import Prefetcher, Processes

def hang(step):
    print(__import__("os").getpid(), flush=True)
    while step == 1:
        time.sleep(0.01)
    return step

items = Prefetcher(Processes(hang, 0, 4, 2, 1))
next(items)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_worker_that_hangs_does_not_outlive_the_training(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(HANG)
    done = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    )
    assert done.stdout is not None
    worker = int(done.stdout.readline())
    done.kill()
    done.wait()
    done.stdout.close()
    limit = time.monotonic() + 15
    while time.monotonic() < limit and _alive(worker):
        time.sleep(0.2)
    assert not _alive(worker)


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
