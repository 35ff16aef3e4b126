"""The command line as a whole: help without torch, hints, exit codes, odd outputs."""

from __future__ import annotations

import errno
import os
import pty
import re
import struct
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import uda
from tests.support.surfaces import write_surfaces
from uda import cli, errors
from uda.cli import COMMANDS, main

PROJECT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "torchvision", "sklearn", "skimage", "scipy", "matplotlib", "numba")

ASK_ALL_FOR_HELP = f"""
import sys
from click.testing import CliRunner
from uda.cli import COMMANDS, main
of_commands = ([name, "--help"] for name in COMMANDS)
for words in (["--help"], ["-h"], ["--version"], *of_commands):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, (words, done.output, done.exception)
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    assert not loaded, (words, loaded)
"""


def call(*words, **options):
    return CliRunner().invoke(main, [str(word) for word in words], **options)


def test_no_help_imports_torch():
    done = subprocess.run(
        [sys.executable, "-c", ASK_ALL_FOR_HELP], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_command_is_listed_and_has_its_file():
    listed = call("--help").output
    files = {path.stem for path in (PROJECT / "uda" / "cli").glob("[a-z]*.py")}
    inner = {name for name in files if name.startswith(("policy_", "augment_"))}
    commands = {name.replace("-", "_") for name in COMMANDS}
    assert commands == files - inner - {
        *("calling", "compare_plan", "folders", "notes", "options", "progress"),
        *("replacing", "studies", "train_flags", "tune_source"),
    }
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", listed, re.M)


def test_every_option_of_every_command_says_what_it_does():
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.help, name
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                # --batch 64 and the like explain themselves by name and default
                assert option.help or option.show_default, f"{name} {option.opts}"


def test_version():
    assert call("--version").output == f"uda, version {uda.__version__}\n"


def test_python_dash_m():
    done = subprocess.run(
        [sys.executable, "-m", "uda", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"uda, version {uda.__version__}\n")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["trian", "data"], "'train'"),
        (["--verison"], "--version"),
        (["train", "data", "--lables-per-class", "3"], "--labels-per-class"),
        (["train", "data", "--epoch", "3"], "--epochs"),
        (["evaluate", "run", "--requires", "x"], "--require"),
        (["split", "data", "--group", "auto", "--sead", "1"], "--seed"),
        (["train", "data", "--set", "consistency.treshold=0.5"], "threshold"),
        (["train", "data", "--set", "loop.stpes=3"], "loop.steps"),
        (["train", "data", "--recipe", "papr"], "paper"),
        (["train", "data", "--imgsz", "64 px"], "64x96"),
        (["train", "data", "--budget", "20"], "20m"),
        (["train", "data", "--sizes", "64:many,96:0.5"], "write 64:0.4"),
        (["train", "data", "--sizes", "64:0.5,96:0.4"], "add up to 1"),
        (["train", "data", "--sizes", "64:0.5,96:0.5", "--imgsz", "64"], "--sizes"),
        (["train", "data", "--tiles", "two"], "write 2x2"),
        (["train", "data", "--tiles", "2x2"], "--background"),
        (["lrfind", "data"], "'lr-find'"),
        (["train", "data", "--set", "seed"], "section.key=value"),
        (["train", "data", "--steps", "5", "--epochs", "2"], "give one of them"),
        (["train", "d", "--steps", "5", "--set", "loop.steps=3"], "loop.steps has no"),
        (["train", "d", "--budget", "1m", "--set", "loop.steps=3"], "give one of them"),
        (
            ["train", "data", "--method", "supervised", "--threshold", "0.9"],
            "--threshold has no effect",
        ),
        (
            [
                *("train", "data", "--method", "supervised"),
                *("--set", "consistency.prior=estimate"),
            ],
            "consistency.prior has no effect",
        ),
        (["train"], "uda train DATA"),
    ],
)
def test_what_is_misspelt_gets_a_hint(words, hint, restored_signals):
    done = call(*words)
    assert done.exit_code == 2, done.output
    assert hint in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("consistency:\n  treshold: 0.5\n", "consistency.threshold"),
        ("loop:\n  batch: many\n", "loop.batch"),
        ("loop: {steps: 3}\nloop: {steps: 4}\n", "twice"),
        ("[1, 2]", "keys and values"),
        ("a: [", "settings.yaml"),
    ],
)
def test_a_wrong_configuration_file_is_named(tmp_path, text, hint, restored_signals):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    done = call("train", "data", "--config", path)
    assert done.exit_code == 2, done.output
    assert hint in done.stderr


@pytest.fixture
def restored_signals():
    """`uda train` takes over SIGINT and SIGTERM; give them back to pytest."""
    import signal

    before = {number: signal.getsignal(number) for number in (2, 15)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def failing(monkeypatch):
    """A command that raises what it is told to."""
    what: list[BaseException] = []

    @click.command()
    def command() -> None:
        raise what[0]

    module = types.ModuleType("uda.cli.failing")
    module.command = command
    monkeypatch.setitem(sys.modules, "uda.cli.failing", module)
    monkeypatch.setitem(cli.COMMANDS, "failing", "Raise.")
    return what


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UdaError, 1),
        (errors.TrainingError, 1),
        (errors.UsageError, 2),
        (errors.DataError, 3),
        (errors.CheckpointError, 3),
        (errors.GateError, 4),
    ],
)
def test_exit_codes(failing, error, code):
    failing.append(error("photos/7.png: broken; take it out"))
    done = call("failing")
    assert done.exit_code == code
    assert done.stderr == "Error: photos/7.png: broken; take it out\n"
    assert done.stdout == ""
    assert re.search(rf"{error.__name__} +{code} ", errors.__doc__)


def test_ctrl_c_in_any_command_is_130(failing):
    failing.append(KeyboardInterrupt())
    done = call("failing")
    assert done.exit_code == 130
    assert done.stderr == "Interrupted.\n"


def test_a_fault_of_our_own_is_not_hidden(failing):
    failing.append(ZeroDivisionError())
    assert isinstance(call("failing").exception, ZeroDivisionError)


def test_a_full_disk_is_told_with_the_way_on(failing):
    failing.append(OSError(errno.ENOSPC, "No space left on device", "runs/t/x.pt"))
    done = call("failing")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: runs/t/x.pt: No space left on device; make")
    assert "uda resume" in done.stderr


def test_another_error_of_the_system_is_not_hidden_either(failing):
    failing.append(PermissionError(errno.EACCES, "Permission denied", "x"))
    assert isinstance(call("failing").exception, PermissionError)


def test_unknown_runs_are_refused(tmp_path, restored_signals):
    image = tmp_path / "a.png"
    image.write_bytes(b"")
    for words in (["resume"], ["evaluate"], ["monitor"], ["predict", image]):
        done = call(words[0], tmp_path / "nothing", *words[1:])
        assert done.exit_code in {2, 3}, (words, done.output)
        assert "nothing" in done.stderr


def test_a_closed_pipe_ends_help_quietly():
    """`uda --help | head -0`: no traceback, whatever the code."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "uda", "--help"],
            stdout=closed, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode in {0, 1}


def on_terminal(words, *, columns, **environment):
    """Run a command on a terminal so many columns wide; return (code, text)."""
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    blank = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
    inherited = {key: value for key, value in os.environ.items() if key not in blank}
    with subprocess.Popen(
        [sys.executable, "-m", "uda", *map(str, words)],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env={**inherited, "TERM": "xterm-256color", **environment},
    ) as process:  # fmt: skip
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the last writer has gone
                break
            if not part:
                break
            parts.append(part)
    os.close(ours)
    return process.returncode, b"".join(parts).decode()


def test_a_narrow_terminal_without_colours(tmp_path):
    home = write_surfaces(tmp_path, per_class=10, unlabeled=1)
    out = home / "split.csv"
    words = ["split", home / "data", "--group", "none", "--out", out]
    code, text = on_terminal(words, columns=24, NO_COLOR="1")
    assert code == 0, text
    assert out.is_file()
    # Bold and dim may stay; 30-37, 40-47, 90-107 and 38/48;5 are colours.
    assert not re.search(r"\x1b\[(?:\d+;)*(?:[349]\d|10\d)[;m]", text)
    assert "…" not in text  # a number cut short would be a wrong number
    counts = re.search(r"all\D+(\d+)\D+(\d+)\D+(\d+)\D+(\d+)", text)
    assert counts is not None
    assert sum(map(int, counts.groups())) == 30


def test_narrow_help():
    assert call("train", "--help", terminal_width=30).exit_code == 0
    assert call("--help", terminal_width=10).exit_code == 0


def test_a_daemon_may_have_closed_the_standard_streams():
    """The next file opened would be what libraries take for standard error."""
    code = (
        "import os, sys; os.close(0); os.close(2); sys.stdin = sys.stderr = None\n"
        "from uda.cli import main\n"
        "import contextlib\n"
        "with contextlib.suppress(SystemExit): main(['nonsense'])\n"
        "import subprocess; link = ['readlink', '/proc/self/fd/2']\n"
        "print(subprocess.run(link, stdout=-1, text=True).stdout, end='')\n"
        "print(sys.stderr.isatty(), flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [os.devnull, "False"]
