"""What a person sees while a command works: a live line, or plain lines.

A terminal gets a line with a bar that is redrawn; a log file or CI gets one
plain line every few seconds. Both write to stderr: results alone go to stdout.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

from uda.training.monitor import tags

_SHOWN = (
    ("loss", ("loss/total",), "{:.3f}"),
    ("mask rate", (tags.MASK_RATE,), "{:.2f}"),
    (
        "val bal. acc.",
        ("val_ema/balanced_accuracy", "val/balanced_accuracy"),
        "{:.3f}",
    ),
)
_MIN_BAR, _MAX_BAR = 8, 40


class Progress:
    """Base of the two displays; on its own it is ``--quiet``.

    A broken pipe or a closed stream silences the display and nothing else:
    a training run must not die because nobody reads along.
    """

    def __init__(
        self,
        *,
        stream: IO[str] | None = None,
        results: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write to ``stream`` (stderr) and ``results`` (stdout)."""
        self._stream = stream if stream is not None else sys.stderr
        self._results = results if results is not None else sys.stdout
        self._clock = clock
        self._values: dict[str, float] = {}
        self._speed = _Speed()
        self.total_steps = 0
        self.step = 0

    def start(self, total_steps: int, start_step: int = 0) -> None:
        """Begin a training of ``total_steps`` steps."""
        self.total_steps, self.step = total_steps, start_step
        self._speed = _Speed()
        self._speed.add(self._clock(), start_step)

    def update(self, step: int, values: Mapping[str, float] | None = None) -> None:
        """Show a step and, where given, its numbers; cheap enough for each step."""
        self.step = max(self.step, step)
        self._values |= {key: float(number) for key, number in (values or {}).items()}
        self._speed.add(self._clock(), step)
        self._show()

    def stage(self, stage: str, done: int, total: int) -> None:
        """Show ``done`` of ``total`` of something that is not training."""

    def note(self, message: str) -> None:
        """Tell something worth knowing; not with ``--quiet``."""

    def warn(self, message: str) -> None:
        """Tell something that needs attention; also with ``--quiet``."""
        self._write(self._stream, f"Warning: {message}\n")

    def result(self, text: str) -> None:
        """Write a result to stdout."""
        self._write(self._results, text + "\n")

    def stop(self) -> None:
        """End the display; a second call does nothing."""

    def status(self) -> str:
        """Return the numbers of the status line, those that are known."""
        parts = []
        for label, keys, form in _SHOWN:
            key = next((k for k in keys if k in self._values), None)
            if key is not None:
                parts.append(f"{label} {form.format(self._values[key])}")
        left = self._speed.seconds_left(self.total_steps - self.step)
        if left is not None:
            parts.append(f"{format_seconds(left)} left")
        return "  ".join(parts)

    def _show(self, *, now: bool = False) -> None:
        """Draw the state of training if it is due; nothing in quiet mode."""

    def _write(self, stream: IO[str], text: str) -> None:
        try:
            stream.write(text)
            stream.flush()
        except UnicodeEncodeError:  # an ASCII terminal: say it without the signs
            encoding = getattr(stream, "encoding", None) or "ascii"
            plain = text.encode(encoding, "backslashreplace").decode(encoding)
            self._write(stream, plain)
        except (OSError, ValueError):
            _abandon(stream)


class PlainProgress(Progress):
    """One plain line every ``every_seconds``: for logs and CI."""

    def __init__(self, *, every_seconds: float = 10.0, **options: Any) -> None:
        """Write at most one line per ``every_seconds``, and always the last."""
        super().__init__(**options)
        self._every = every_seconds
        self._last: float | None = None
        self._shown = ""

    def stage(self, stage: str, done: int, total: int) -> None:
        """Show the stage on a line of its own, not too often."""
        self._line(f"{stage} {counted(done, total)}", now=done >= total)

    def note(self, message: str) -> None:
        """Write the message on a line of its own."""
        self._write(self._stream, message + "\n")

    def stop(self) -> None:
        """Show the last state, if it has not been shown."""
        if self.total_steps:
            self._show(now=True)

    def _show(self, *, now: bool = False) -> None:
        text = f"step {counted(self.step, self.total_steps)}"
        self._line(f"{text}  {self.status()}".rstrip(), now=now)

    def _line(self, text: str, *, now: bool) -> None:
        time_now = self._clock()
        due = self._last is None or time_now - self._last >= self._every
        if (due or now) and text != self._shown:
            self._last, self._shown = time_now, text
            self._write(self._stream, text + "\n")


class LiveProgress(Progress):
    """One line with a bar, redrawn in place: for terminals."""

    def __init__(self, *, every_seconds: float = 0.2, **options: Any) -> None:
        """Redraw at most every ``every_seconds``."""
        super().__init__(**options)
        from rich.console import Console

        class _Console(Console):
            def on_broken_pipe(self) -> None:
                raise BrokenPipeError  # rich would end the whole program

        self._console = _Console(file=self._stream)
        self._live: Any = None
        self._every = every_seconds
        self._last = 0.0
        self._dead = False

    def stage(self, stage: str, done: int, total: int) -> None:
        """Show the stage with its own bar."""
        self._draw(stage, done, total, "", now=done >= total)
        if done >= total:
            self._end()

    def note(self, message: str) -> None:
        """Write the message above the live line."""
        self._print(message)

    def warn(self, message: str) -> None:
        """Write the warning above the live line."""
        self._print(f"Warning: {message}", style="yellow")

    def result(self, text: str) -> None:
        """Take the live line away, then write to stdout."""
        self.stop()
        super().result(text)

    def stop(self) -> None:
        """Leave the last state of the line standing."""
        if self._live is not None and self.total_steps:
            self._show(now=True)
        self._end()

    def _end(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            self._safely(live.stop)

    def _show(self, *, now: bool = False) -> None:
        self._draw("step", self.step, self.total_steps, self.status(), now=now)

    def _draw(
        self, label: str, done: int, total: int, status: str, *, now: bool
    ) -> None:
        time_now = self._clock()
        if self._dead or (time_now - self._last < self._every and not now):
            return
        self._last = time_now
        self._safely(lambda: self._redraw(label, done, total, status))

    def _redraw(self, label: str, done: int, total: int, status: str) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,  # no thread: nothing is drawn behind our back
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        row = live_row(
            f"{label} {done}/{total}", status, done, total, width=self._console.width
        )
        self._live.update(row, refresh=True)

    def _print(self, message: str, style: str | None = None) -> None:
        self._safely(
            lambda: self._console.print(
                message, style=style, markup=False, highlight=False
            )
        )

    def _safely(self, action: Callable[[], object]) -> None:
        if self._dead:
            return
        try:
            action()
        except (OSError, ValueError):
            self._dead, self._live = True, None
            _abandon(self._stream)


def make_progress(
    *, quiet: bool = False, stream: IO[str] | None = None, every_seconds: float = 10.0
) -> Progress:
    """Return the display that fits the stream: quiet, live or plain lines."""
    target = stream if stream is not None else sys.stderr
    if quiet:
        return Progress(stream=target)
    if _is_terminal(target) and os.environ.get("TERM", "") not in {"dumb", "unknown"}:
        return LiveProgress(stream=target)
    return PlainProgress(stream=target, every_seconds=every_seconds)


def live_row(head: str, status: str, done: int, total: int, *, width: int) -> Any:
    """Return one rich line: head, bar where there is room, status cut to fit."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    cells: list[Any] = [Text(head, no_wrap=True, overflow="ellipsis")]
    bar = min(_MAX_BAR, width - len(head) - len(status) - 4)
    if bar >= _MIN_BAR:
        cells.append(ProgressBar(total=max(total, 1), completed=done, width=bar))
    if status:
        cells.append(Text(status, no_wrap=True, overflow="ellipsis"))
    grid.add_row(*cells)
    return grid


def counted(done: int, total: int) -> str:
    """Return ``30/120 (25 %)``."""
    return f"{done}/{total} ({100 * done // total} %)" if total else str(done)


def format_seconds(seconds: float) -> str:
    """Return ``0:42``, ``12:05`` or ``3:07:00``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Speed:
    """Seconds per step over the last updates: phases differ in speed."""

    def __init__(self, size: int = 200) -> None:
        self._points: deque[tuple[float, int]] = deque(maxlen=size)

    def add(self, now: float, step: int) -> None:
        if not self._points or step > self._points[-1][1]:
            self._points.append((now, step))

    def seconds_left(self, steps: int) -> float | None:
        if len(self._points) < 2 or steps <= 0:
            return None
        (first_time, first), (last_time, last) = self._points[0], self._points[-1]
        return (last_time - first_time) / (last - first) * steps


def _is_terminal(stream: IO[str]) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed already
        return False


def _abandon(stream: IO[str]) -> None:
    """Point a broken standard stream at nothing, so that exit stays silent."""
    with suppress(OSError, ValueError, AttributeError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(descriptor, stream.fileno())
        finally:
            os.close(descriptor)
