"""`uda monitor`: start TensorBoard for a run, or a folder of runs, on localhost.

TensorBoard has no passwords, so it is not shown to the network unless asked.
"""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from uda.errors import CheckpointError, UdaError, UsageError

_TRIES = 20
_REFRESH_SECONDS = 5.0
_STOP_SECONDS = 5.0


@click.command(name="monitor")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=6006,
    show_default=True,
    help="First port to try; when it is taken, the next free one is used.",
)
@click.option(
    "--host",
    default="localhost",
    show_default=True,
    help="Address to listen on. TensorBoard has no passwords: whoever reaches "
    "another address than localhost can read the run, its images included.",
)
def command(run: Path, port: int, host: str) -> None:
    """Watch RUN in TensorBoard; Ctrl-C ends it.

    RUN is a run folder, for example runs/train, or a folder of runs such as
    runs, to compare them.
    """
    event_folders(run)  # before anything is started: is there something to show?
    chosen = free_port(host, port)
    if chosen != port:
        click.echo(f"Port {port} is taken; using {chosen}.", err=True)
    with (
        _terminated_like_interrupted(),
        tempfile.TemporaryDirectory(prefix="uda-monitor-") as folder,
    ):
        link_runs(run, Path(folder))
        _serve(folder, host, chosen, lambda: link_runs(run, Path(folder)))


def event_folders(run: Path) -> dict[str, Path]:
    """Return run name -> ``tb`` folder of a run, or of the runs in a folder.

    A run with folds has those of its fold trainings, too; among other runs, only as
    long as it has none of its own.

    Raises:
        CheckpointError: when there is nothing to show, naming the way out.
    """
    run = Path(run)
    if not run.is_dir():
        raise CheckpointError(
            f"{run}: no such folder; give the run folder that `uda train` printed, "
            "for example runs/train"
        )
    name = run.resolve().name
    if own := {**_curves(run, name), **_fold_curves(run, name)}:
        return own
    if _is_run(run):
        raise CheckpointError(_without_curves(run))
    # `latest` is a link to one of the others: it would be shown twice.
    folders = [one for one in sorted(run.iterdir()) if not one.is_symlink()]
    found: dict[str, Path] = {}
    for one in folders:
        found |= _curves(one, one.name) or _fold_curves(one, one.name)
    runs = [one for one in folders if _is_run(one)]
    if not found and runs:
        raise CheckpointError(_without_curves(runs[-1]))
    if not found:
        raise CheckpointError(
            f"{run}: neither a run folder (it has no tb/) nor a folder of runs; "
            "give the run folder that `uda train` printed, for example runs/train"
        )
    return found


def _curves(run: Path, name: str) -> dict[str, Path]:
    return {name: run / "tb"} if (run / "tb").is_dir() else {}


def _fold_curves(run: Path, name: str) -> dict[str, Path]:
    """Return the curves of a run's fold trainings, which come before its own."""
    events = sorted((run / "folds").glob("*/tb"))
    return {f"{name}-{tb.parent.name}": tb for tb in events if tb.is_dir()}


def _is_run(folder: Path) -> bool:
    return any((folder / n).is_file() for n in ("status.json", "folds/folds.json"))


def _without_curves(run: Path) -> str:
    """Say why a run has nothing to show."""
    from uda.training.configfile import read_config_file

    bases = (run / "config.yaml", run / "folds" / "base.yaml")
    base = next((path for path in bases if path.is_file()), None)
    if base is not None and read_config_file(base).get("method") == "texture":
        return (
            f"{run}: a run of --method texture is fitted in one go and has no curves; "
            f"`uda evaluate {run}` says how good it is"
        )
    return (
        f"{run}: a run without curves (no tb/): its training has not begun, or it was "
        "copied without them; try again in a moment"
    )


def free_port(host: str, first: int) -> int:
    """Return the first port from ``first`` on that nobody listens on.

    Raises:
        UsageError: when the host is none of this machine's, or no port is free.
    """
    for port in range(first, min(first + _TRIES, 65536)):
        if _is_free(host, port):
            return port
    raise UsageError(
        f"--port {first}: this and the next {_TRIES - 1} ports are taken; "
        "choose another with --port"
    )


def _is_free(host: str, port: int) -> bool:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"--host {host}: unknown address ({error.strerror})") from None
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except PermissionError as error:
            raise UsageError(
                f"--port {port}: not allowed for this user; choose one above 1023"
            ) from error
        except OSError as error:
            if _is_taken(error):
                return False
            if len(addresses) == 1:
                raise UsageError(
                    f"--host {host}: cannot be listened on ({error.strerror}); "
                    "localhost always can"
                ) from error
    return True


def _is_taken(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE


def link_runs(run: Path, folder: Path) -> None:
    """Link the events of each run into ``folder``, below the run's plain name.

    TensorBoard names a run by its path below the folder that it reads; pointed
    at RUN/tb it would call the run ".".
    """
    for name, events in event_folders(run).items():
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(events.resolve(), target_is_directory=True)


def _serve(folder: str, host: str, port: int, watch: Callable[[], None]) -> None:
    arguments = ["--logdir", folder, "--host", host, "--port", str(port)]
    arguments.append("--load_fast=false")
    process = subprocess.Popen(
        # -P: a tensorboard.py beside the data is not TensorBoard.
        [sys.executable, "-P", "-m", "tensorboard.main", *arguments]
    )
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"TensorBoard: http://{shown}:{port}/ (Ctrl-C ends it)")
    try:
        code = _wait(process, watch)
    except KeyboardInterrupt:
        click.echo("TensorBoard ended.", err=True)
        return
    finally:
        # In a terminal Ctrl-C reaches TensorBoard too; elsewhere it is told here.
        _stop(process)
    if code:
        raise UdaError(
            f"TensorBoard ended with code {code}; what it wrote above says why "
            "(a port taken in the meantime: choose another with --port)"
        )


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the block, so that no server is left.

    SIGINT too: a shell starts background jobs with it ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(process: subprocess.Popen[bytes], watch: Callable[[], None]) -> int:
    while True:
        try:
            return process.wait(timeout=_REFRESH_SECONDS)
        except subprocess.TimeoutExpired:
            watch()


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
