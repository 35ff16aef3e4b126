from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from uda.cli import main
from uda.cli.monitor import _serve, event_folders, free_port
from uda.errors import CheckpointError, UsageError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def make_run(folder: Path) -> Path:
    (folder / "tb").mkdir(parents=True)
    return folder


def test_a_run_a_folder_of_runs_and_the_link_to_the_latest(tmp_path: Path) -> None:
    for name in ("train", "train2"):
        make_run(tmp_path / name)
    (tmp_path / "notes").mkdir()
    (tmp_path / "latest").symlink_to("train2")
    assert list(event_folders(tmp_path)) == ["train", "train2"]
    assert list(event_folders(tmp_path / "train")) == ["train"]
    assert list(event_folders(tmp_path / "latest")) == ["train2"]


def test_the_fold_trainings_are_shown_from_the_first_on(tmp_path: Path) -> None:
    run = tmp_path / "train"
    (run / "folds").mkdir(parents=True)
    (run / "folds" / "folds.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"train: a run without curves.*begun"):
        event_folders(run)
    for name in ("r0-f0", "r0-f1"):
        make_run(run / "folds" / name)
    (run / "folds" / "r0-f2").mkdir()  # has not come to its curves
    shown = {f"train-{n}": run / "folds" / n / "tb" for n in ("r0-f0", "r0-f1")}
    assert event_folders(run) == shown
    make_run(tmp_path / "other")
    assert event_folders(tmp_path) == {"other": tmp_path / "other" / "tb", **shown}
    # To compare runs their own curves are enough, once they are there.
    make_run(run)
    assert event_folders(run) == {"train": run / "tb", **shown}
    assert list(event_folders(tmp_path)) == ["other", "train"]


@pytest.mark.parametrize("config", ["config.yaml", "folds/base.yaml"])
def test_a_run_without_curves_is_told_what_it_is(tmp_path: Path, config: str) -> None:
    run = tmp_path / "runs" / "train"
    (run / "folds").mkdir(parents=True)
    (run / "status.json").write_text("{}")
    (run / config).write_text("method: texture\n")
    for folder in (run, run.parent):
        with pytest.raises(CheckpointError, match=r"method texture.*uda evaluate") as e:
            event_folders(folder)
        assert str(run) in str(e.value)
        assert "neither a run folder" not in str(e.value)


def test_what_is_no_run_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        event_folders(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"no tb/.*runs/train"):
        event_folders(tmp_path)
    done = CliRunner().invoke(main, ["monitor", str(tmp_path)])
    assert done.exit_code == 3
    assert "runs/train" in done.output


def test_a_taken_port_leads_to_the_next(taken: int) -> None:
    assert free_port("127.0.0.1", taken) > taken


def test_ports_and_hosts_that_cannot_be_used(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uda.cli.monitor._TRIES", 1)
    with pytest.raises(UsageError, match="choose another with --port"):
        free_port("127.0.0.1", taken)
    with pytest.raises(UsageError, match=r"--host no\.such\.host\.invalid"):
        free_port("no.such.host.invalid", 6006)
    with pytest.raises(UsageError, match=r"--host 192\.0\.2\.1"):
        free_port("192.0.2.1", 6006)  # set apart for documentation: nobody's


def test_port_out_of_range_is_a_usage_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["monitor", str(tmp_path), "--port", "70000"])
    assert done.exit_code == 2


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start `uda monitor` as a script would; return it and its address."""
    child = subprocess.Popen(
        [sys.executable, "-m", "uda", "monitor", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    return child, line.split()[1]


def wait_for(address: str, wanted: bytes) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{address}data/runs", timeout=5) as answer:
                if answer.read() == wanted:
                    return
        except OSError:
            pass
        time.sleep(0.25)
    pytest.fail(f"{address} did not show {wanted!r}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_told_to_stop_and_leaves_nothing(
    tmp_path: Path, taken: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils.tensorboard import SummaryWriter

    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    for name in ("train", "train2"):
        with SummaryWriter(str(tmp_path / "runs" / name / "tb")) as writer:
            writer.add_scalar("loss/total", 1.0, 0)
    (tmp_path / "runs" / "latest").symlink_to("train2")
    child, address = start(
        str(tmp_path / "runs"), "--host", "127.0.0.1", "--port", str(taken)
    )
    try:
        assert address.startswith("http://127.0.0.1:")
        assert f":{taken}/" not in address
        wait_for(address, b'["train", "train2"]')
        (held,) = temporary.glob("uda-monitor-*")
        assert sorted(link.name for link in held.iterdir()) == ["train", "train2"]
        child.send_signal(number)
        assert child.wait(timeout=30) == 0
    finally:
        if child.poll() is None:  # and what it started, or reading would never end
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    assert list(temporary.glob("uda-monitor-*")) == []
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=5)


def test_a_module_of_the_folder_is_not_taken_for_tensorboard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[list[str]] = []

    def popen(command: list[str]) -> None:
        started.append(command)
        raise OSError

    monkeypatch.setattr("uda.cli.monitor.subprocess.Popen", popen)
    with pytest.raises(OSError):  # noqa: PT011
        _serve("tb", "127.0.0.1", 6006, lambda: None)
    assert started[0][1:4] == ["-P", "-m", "tensorboard.main"]
