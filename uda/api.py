"""The command line as Python: the same names, the same checks, values back.

Each function is one command. Positional arguments are the command's own, in its order;
options are keywords with ``_`` for ``-``: ``--labels-per-class 5`` is
``labels_per_class=5``, a flag is ``True``, an option that may be repeated takes a list,
and ``CLASS=NUMBER,…`` a dict. So ``uda COMMAND --help`` documents both, and neither can
do what the other cannot. What a command prints, it prints here too; its errors are
raised as `uda.errors.UdaError`.

    from uda import api

    run = api.train("photos", unlabeled=["more"], split="split.csv", steps=600)
    result = api.evaluate(run, good_class="Good")
    answers = api.load(run).predict([image])
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uda.cli.calling import call
from uda.errors import UsageError

if TYPE_CHECKING:
    from uda.data.splitfile import Split
    from uda.evaluation.evaluate import Evaluation
    from uda.evaluation.model import Model
    from uda.evaluation.suggesting import Suggestions
    from uda.evaluation.tuned import Tuned
    from uda.inspect.report import Inspection

Where = str | os.PathLike[str]


def inspect(data: Where, **options: object) -> Inspection:
    """``uda inspect``: which numbers are too low, and what to try first."""
    found: Inspection = call("inspect", data, **options)
    return found


def split(data: Where, **options: object) -> Split:
    """``uda split``: write a grouped, stratified split; its rows."""
    found: Split = call("split", data, **options)
    return found


def train(data: Where, **options: object) -> Path:
    """``uda train``: train to the end; the run folder.

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM; a checkpoint was saved, and
            `resume` goes on.
    """
    return _trained("train", data, options)


def resume(run: Where, **options: object) -> Path:
    """``uda resume``: go on, bit for bit; the run folder. Raises as `train`."""
    return _trained("resume", run, options)


def tune(run: Where, *data: Where, **options: object) -> Tuned:
    """``uda tune``: fit thresholds, an escape limit, an unsure lane; what they gain."""
    found: Tuned = call("tune", run, *data, **options)
    return found


def evaluate(run: Where, *data: Where, **options: object) -> Evaluation:
    """``uda evaluate``: answers and metrics with intervals, by weights.

    The test part is for the end: each look is noted in the run.
    """
    found: Evaluation = call("evaluate", run, *data, **options)
    return found


def predict(run: Where, *paths: Where, **options: object) -> Path | None:
    """``uda predict``: classify files and folders into a CSV file; its path."""
    found: Path | None = call("predict", run, *paths, **options)
    return found


def report(run: Where, **options: object) -> Path:
    """``uda report``: one HTML page; its path."""
    found: Path = call("report", run, **options)
    return found


def export(run: Where, *data: Where, **options: object) -> Path:
    """``uda export``: the model as one file for other programs; its path."""
    found: Path = call("export", run, *data, **options)
    return found


def suggest(run: Where, **options: object) -> Suggestions:
    """``uda suggest``: which unlabelled images to label next, and why."""
    found: Suggestions = call("suggest", run, **options)
    return found


def load(run: Where, **options: Any) -> Model:
    """Open a run's model to classify images in memory, see `uda.evaluation.model`."""
    from uda.evaluation.model import load as opened

    return opened(Path(run), **options)


def _trained(command: str, where: Where, options: Mapping[str, object]) -> Path:
    summary = call(command, where, **options)
    if summary.run is None:
        raise UsageError("a dry run leaves no run; use api.call for it")
    return Path(summary.run)
