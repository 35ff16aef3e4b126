"""RunWriter: one place through which a run reports what it does.

It feeds TensorBoard (``tb/``), metrics.jsonl, results.csv, the console and the
alarms, and makes all of them consistent again after a resume.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.training.monitor import tags
from uda.training.monitor.alarms import Alarm
from uda.training.monitor.book import AlarmBook
from uda.training.monitor.confusion import confusion_figure
from uda.training.monitor.journal import CsvRows, JsonLines
from uda.training.monitor.progress import Progress

OnAlarms = Callable[[list[dict[str, Any]]], None]


class RunWriter:
    """Write the scalars, evaluations, pictures and texts of one run.

    Tags are listed in ``uda.training.monitor.tags``. Use it as a context
    manager, or call ``close()``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        classes: Sequence[str],
        total_steps: int,
        start_step: int = 0,
        console: Progress,
        alarms: AlarmBook | None = None,
        on_alarms: OnAlarms | None = None,
    ) -> None:
        """Open the run's records.

        Args:
            folder: the run folder; ``tb/``, ``metrics.jsonl`` and
                ``results.csv`` are written in it.
            classes: the C class names, in the order of the logits.
            total_steps: the step at which the run ends.
            start_step: the first step that will be written; what an earlier
                attempt wrote from here on vanishes from every record.
            console: where the person at the terminal reads along.
            alarms: what to watch for; None watches nothing.
            on_alarms: called with the list of alarms that are on (as in
                status.json) whenever that list changes.
        """
        # Imported here: loading it costs half a second that `--help` must not.
        from torch.utils.tensorboard import SummaryWriter

        self.folder = Path(folder)
        self.classes = tuple(classes)
        self.tags = tags.class_tags(classes)
        self.console = console
        events = self.folder / "tb"
        resumed = events.is_dir() and any(events.iterdir())
        self._tensorboard: Any = SummaryWriter(  # its methods have no types
            str(events), purge_step=start_step if resumed else None
        )
        self._lines = JsonLines(self.folder / "metrics.jsonl", start_step=start_step)
        self._rows = CsvRows(
            self.folder / "results.csv",
            result_columns(self.tags),
            start_step=start_step,
        )
        self._latest = self._lines.last_values
        self._pending: dict[str, object] = {}
        self._alarms = alarms
        self._on_alarms = on_alarms
        self._started = time.monotonic() - self._lines.last_time
        self._step = start_step
        self._hparams_written = False
        self._closed = False
        if start_step == 0:
            self._tensorboard.add_custom_scalars(_layout())
        console.start(total_steps, start_step)

    def __enter__(self) -> RunWriter:
        """Return the writer itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the records, also when the block raised."""
        self.close()

    def class_values(
        self, group: str, values: Sequence[float] | npt.NDArray[Any]
    ) -> dict[str, float]:
        """Name C values: ``class_values("unlabeled/pseudo_share", shares)``."""
        return {
            f"{group}/{tag}": float(value)
            for tag, value in zip(self.tags, values, strict=True)
        }

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of one step, and raise or clear alarms on them.

        A tag that means nothing at this step (the mask rate before consistency
        training starts) is left out rather than given as 0 or NaN.
        """
        self._numbers(step, values)
        self._watch(step, values)
        self.console.update(step, values)

    def evaluation(
        self,
        step: int,
        name: str,
        metrics: Mapping[str, float],
        *,
        confusion: npt.ArrayLike,
        targets: npt.ArrayLike | None = None,
        probs: npt.ArrayLike | None = None,
    ) -> None:
        """Write one evaluation of one set of weights.

        ``val`` and ``val_ema`` of the same step share a row of results.csv,
        written when both are there, or else by ``flush()``.

        Args:
            step: optimisation steps done.
            name: ``val`` (raw weights) or ``val_ema``; the tags' first part.
            metrics: ``balanced_accuracy``, ``macro_f1`` and any other scalar.
            confusion: (C, C) counts, rows are true classes.
            targets: (N,) class indices, -1 where unknown; for PR curves.
            probs: (N, C) probabilities; for PR curves.
        """
        counts = np.asarray(confusion, dtype=np.int64)
        values = {f"{name}/{key}": float(value) for key, value in metrics.items()}
        values |= self.class_values(f"{name}/recall", recall_per_class(counts))
        self._evaluated(step, values)
        figure = confusion_figure(counts, self.classes, title=f"{name}, step {step}")
        self.images(step, f"{name}/confusion_matrix", figure)
        if targets is not None and probs is not None:
            self._pr_curves(step, name, np.asarray(targets), np.asarray(probs))
        self._stage_row(step, values)
        self.console.update(step, values)

    def label_evaluation(
        self,
        step: int,
        name: str,
        metrics: Mapping[str, float],
        recall: Sequence[float] | npt.NDArray[Any],
    ) -> None:
        """Write an evaluation of several labels per image, without confusion matrix.

        Args:
            step: optimisation steps done.
            name: ``val`` (raw weights) or ``val_ema``; the tags' first part.
            metrics: ``balanced_accuracy``, ``macro_f1`` and any other scalar.
            recall: (C,) by class; NaN for a class that is absent.
        """
        values = {f"{name}/{key}": float(value) for key, value in metrics.items()}
        values |= self.class_values(f"{name}/recall", recall)
        self._evaluated(step, values)
        self._stage_row(step, values)
        self.console.update(step, values)

    def expect(self, prior: Sequence[float]) -> None:
        """Tell the alarms the (C,) mix of the unlabelled images, once it is known."""
        if self._alarms is not None:
            self._alarms.expect(tuple(prior))

    def images(self, step: int, tag: str, grid: npt.NDArray[np.uint8]) -> None:
        """Write one picture, uint8 (H, W, K) with K in {1, 3}."""
        picture = grid if grid.shape[2] == 3 else np.repeat(grid[:, :, :1], 3, axis=2)
        self._tensorboard.add_image(tag, picture, step, dataformats="HWC")

    def histogram(self, step: int, tag: str, values: npt.ArrayLike) -> None:
        """Write a histogram of the finite values; of none, nothing."""
        numbers = np.asarray(values, dtype=np.float64).reshape(-1)
        numbers = numbers[np.isfinite(numbers)]
        if numbers.size:
            self._tensorboard.add_histogram(tag, numbers, step)

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Write a Markdown text."""
        self._tensorboard.add_text(tag, markdown, step)

    def config(self, yaml_text: str, step: int = 0) -> None:
        """Write the configuration as a YAML block."""
        self.text("config", f"```yaml\n{yaml_text.rstrip()}\n```", step)

    def hparams(
        self, parameters: Mapping[str, Any], metrics: Mapping[str, float]
    ) -> None:
        """Write the run's row of the hparams table; call it once, at the end.

        Args:
            parameters: flat; values that are not int, float or str are written
                as text. Give every run the same keys, or runs do not compare,
                and few of them: the table shows about five beside the metrics.
            metrics: final numbers; their tags become ``hparam/NAME``.
        """
        if self._hparams_written:
            raise RuntimeError("hparams are written once, at the end of a run")
        self._hparams_written = True
        from torch.utils.tensorboard import summary

        plain = {key: _hparam(value) for key, value in parameters.items()}
        final = {f"hparam/{key}": float(value) for key, value in metrics.items()}
        # SummaryWriter.add_hparams opens a second event file; TensorBoard then
        # stops reading the first, so the summaries go into the one that is open.
        make_summaries: Any = summary.hparams
        for message in make_summaries(plain, final):
            self._tensorboard.file_writer.add_summary(message, self._step)
        for tag, value in final.items():
            self._tensorboard.add_scalar(tag, value, self._step)

    def flush(self) -> None:
        """Put everything on disk; call it before each checkpoint."""
        self._write_row()
        self._tensorboard.flush()

    def close(self) -> None:
        """Flush and close; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self.flush()
        self._tensorboard.close()
        self._lines.close()
        self.console.stop()

    def _evaluated(self, step: int, values: Mapping[str, float]) -> None:
        self._numbers(step, values)
        if self._alarms is not None:
            self._alarms.evaluated(step, values)

    def _numbers(self, step: int, values: Mapping[str, float]) -> None:
        numbers = {tag: float(value) for tag, value in values.items()}
        for tag, value in numbers.items():
            self._tensorboard.add_scalar(tag, value, step)
        self._lines.write(step, time.monotonic() - self._started, numbers)
        self._latest |= numbers
        self._step = max(self._step, step)

    def _watch(self, step: int, values: Mapping[str, float]) -> None:
        if self._alarms is None:
            return
        before = self._alarms.active
        for alarm in self._alarms.observe(step, values):
            self._announce(step, alarm)
        if self._on_alarms is not None and self._alarms.active != before:
            self._on_alarms([alarm.to_dict() for alarm in self._alarms.active])

    def _announce(self, step: int, alarm: Alarm) -> None:
        self.console.warn(f"step {step}: {alarm.text()}")
        self.text("alarms", alarm.markdown(), step)

    def _stage_row(self, step: int, values: Mapping[str, float]) -> None:
        if self._pending.get("step") != step:
            self._write_row()
            seconds = time.monotonic() - self._started
            self._pending = {"step": step, "time[s]": seconds}
            self._pending["epoch"] = self._latest.get(tags.EPOCH)
            self._pending |= {tag: self._latest.get(tag) for tag in tags.LOSSES}
        self._pending |= values
        if all(
            f"{name}/balanced_accuracy" in self._pending for name in tags.EVALUATIONS
        ):
            self._write_row()

    def _write_row(self) -> None:
        if self._pending:
            self._rows.write(self._pending)
        self._pending = {}

    def _pr_curves(
        self,
        step: int,
        name: str,
        targets: npt.NDArray[Any],
        probs: npt.NDArray[Any],
    ) -> None:
        known = (targets >= 0) & np.isfinite(probs).all(axis=1)
        clipped = np.clip(probs[known].astype(np.float64), 0.0, 1.0)
        for index, tag in enumerate(self.tags):
            truth = targets[known] == index
            if truth.any():  # without one positive there is no curve to see
                self._tensorboard.add_pr_curve(
                    f"{name}/pr/{tag}", truth, clipped[:, index], step
                )


def recall_per_class(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return (C,) recall from (C, C) counts; NaN for a class that is absent."""
    support = confusion.sum(axis=1)
    found = np.diag(confusion).astype(np.float64)
    recall = np.full(len(confusion), np.nan)
    np.divide(found, support, out=recall, where=support > 0)
    return recall


def result_columns(class_tags: Sequence[str]) -> list[str]:
    """Return the columns of results.csv for the given class tags."""
    columns = ["step", "epoch", "time[s]", *tags.LOSSES]
    for name in tags.EVALUATIONS:
        columns += [f"{name}/balanced_accuracy", f"{name}/macro_f1"]
        columns += [f"{name}/recall/{tag}" for tag in class_tags]
    return columns


def _hparam(value: Any) -> int | float | str:
    if isinstance(value, int | str) and not isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return json.dumps(value, default=str)  # a bool too: the table would show 1.0000


def _layout() -> dict[str, dict[str, list[Any]]]:
    """Charts of the custom-scalars tab; the tags are regular expressions."""
    multi = "Multiline"
    return {
        "losses": {
            "loss": [multi, [rf"^{tag}$" for tag in tags.LOSSES]],
            "balanced accuracy": [multi, [r"^val.*/balanced_accuracy$"]],
            "mask rate": [multi, [rf"^{tags.MASK_RATE}$"]],
            "annealing against the confidence threshold": [
                multi,
                [rf"^{tags.TSA_THRESHOLD}$", rf"^{tags.CONFIDENCE_THRESHOLD}$"],
            ],
        },
        "per class": {
            "pseudo-label share": [multi, [rf"^{tags.PSEUDO_SHARE}/"]],
            "labelled images kept (TSA)": [multi, [rf"^{tags.KEPT_SHARE}/"]],
            "recall": [multi, [r"^val/recall/"]],
            "recall, EMA": [multi, [r"^val_ema/recall/"]],
        },
    }
