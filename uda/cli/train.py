"""``uda train DATA``: flags to a configuration, then one call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda.cli.options import DurationType
from uda.cli.train_flags import built, given_settings, settings_flags, train_flags
from uda.errors import UsageError

if TYPE_CHECKING:
    from uda.training.summary import Summary


@click.command(name="train")
@click.argument("data", type=click.Path(path_type=Path), required=False)
@train_flags
@click.option("--steps", type=click.IntRange(1), help="Length: optimiser updates.")
@click.option(
    "--epochs",
    type=click.FloatRange(0, min_open=True),
    help="Length: passes over the labelled images.",
)
@click.option(
    "--budget",
    type=DurationType(),
    help="Length: time to train, for example 20m; a few steps are timed first.",
)
@settings_flags
@click.option(
    "--project",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of run folders.",
)
@click.option("--name", default="train", show_default=True, help="Name of the run.")
@click.option(
    "--generations",
    type=click.IntRange(1, 20),
    default=1,
    help="CReST: train so often from scratch, with pseudo-labels of the run before.",
)
@click.option(
    "--folds",
    type=click.IntRange(2, 50),
    help="First train so many folds, each without a part of the labelled images, and "
    "keep what they say of it; --budget is for all trainings together.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 20),
    help="Deal --folds so often; 1 if left.",
)
@click.option(
    "--dry-run", is_flag=True, help="Plan, two steps, one evaluation; keeps nothing."
)
@click.option("-q", "--quiet", is_flag=True, help="Warnings and the result alone.")
def command(
    data: Path | None,
    steps: int | None,
    epochs: float | None,
    budget: float | None,
    config: Path | None,
    assignments: tuple[str, ...],
    project: Path,
    name: str,
    generations: int,
    folds: int | None,
    repeats: int | None,
    dry_run: bool,
    quiet: bool,
    **flags: Any,
) -> Summary:
    """Train a classifier from few labelled and many unlabelled images.

    DATA is a folder: class folders, or train/ val/ test/ unlabeled/, or a
    manifest.csv with path,label[,split,group].

    \b
    uda train photos --unlabeled more-photos
    uda train photos --unlabeled more-photos --split split.csv --budget 20m
    uda train photos --method supervised        (the baseline)
    uda train photos --folds 5 --budget 1h      (cross-validated, then trained)
    """  # noqa: D301
    from uda.training.stop import StopRequest

    # Before torch is imported: a signal during the import must end cleanly too.
    stop = StopRequest().install()
    from uda.training.length import Length
    from uda.training.monitor.progress import make_progress

    given = given_settings(data, flags, assignments)
    length = Length(steps, epochs, budget)
    if length.given and "loop.steps" in given:
        raise UsageError(
            "--set loop.steps has no effect beside --steps, --epochs or --budget, "
            "which say how long to train; give one of them"
        )
    resolved = built(given, flags, config)
    options: dict[str, Any] = {
        "project": project,
        "name": name,
        "console": make_progress(quiet=quiet),
        "stop": stop,
        "dry_run": dry_run,
    }
    summary = _launcher(folds, repeats, generations)(resolved, length, **options)
    if summary.state == "interrupted":
        raise SystemExit(stop.exit_code)
    return summary


def _launcher(
    folds: int | None, repeats: int | None, generations: int
) -> Callable[..., Summary]:
    """Return what trains: folds, generations, or one run."""
    from uda.training.generations import launch_generations

    if folds is None:
        if repeats is not None:
            raise UsageError("--repeats has no effect without --folds; give both")
        return partial(launch_generations, num=generations)
    if generations > 1:
        raise UsageError(
            "--folds and --generations: each would train the other over again; "
            "cross-validate one training, or train generations"
        )
    from uda.reporting.folds import fold_lines
    from uda.training.dealing import Dealing
    from uda.training.folds import launch_folds

    return partial(launch_folds, dealing=Dealing(folds, repeats or 1), tell=fold_lines)
