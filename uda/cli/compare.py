"""``uda compare DATA``: strategies side by side on folds, and a verdict."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda.cli.compare_plan import classes_of, curve_of, plan_of, strategies_of
from uda.cli.notes import say
from uda.cli.options import DurationType, SharesType
from uda.cli.studies import cells_progress, table_text
from uda.errors import DataError, TrainingError, UsageError

if TYPE_CHECKING:
    from uda.study.report import Report
    from uda.study.request import Planned, Request

# What is wrong with the place of a study, and not with the program.
_PLACE = frozenset((
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENOSPC,
    errno.ENOTDIR, errno.EPERM, errno.EROFS,
))  # fmt: skip
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_FOLDER = click.Path(path_type=Path)


@click.command(short_help="Try many strategies on folds of your data; a verdict.")
@click.argument("data", type=_FOLDER, required=False)
@click.option("--split", type=_FILE, help="Split file; its test part is not read.")
@click.option(
    "--unlabeled",
    type=_FOLDER,
    multiple=True,
    help="Folder of unlabelled images, as `uda split` got it; repeatable.",
)
@click.option(
    "--strategies",
    type=_FILE,
    help="YAML file: a name and its flags of `uda train`; a built-in list if left.",
)
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Length of every training; a warm start without labels comes on top.",
)
@click.option(
    "--budget",
    type=DurationType(),
    help="Length of every training as a time, for example 2m, warm start included.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Trainings side by side, one thread each.",
)
@click.option("--good-class", help="Class of parts without a defect: shows escapes.")
@click.option("--reference", help="Strategy that the others are compared to.")
@click.option("--out", type=_FOLDER, help="Folder of the study; continued if there.")
@click.option(
    "--learning-curve",
    type=SharesType(),
    help="Train one strategy on shares of the labels, such as 0.25,0.5,1.",
)
@click.option("--strategy", help="Which one, for --learning-curve.")
@click.option(
    "--finish",
    is_flag=False,
    flag_value="",
    metavar="[STRATEGY]",
    help="Of a study: train this strategy, or the verdict's, on all but the test part.",
)
@click.option(
    "--project",
    type=_FOLDER,
    default=Path("runs"),
    show_default=True,
    help="Folder of run folders, for --finish.",
)
@click.option(
    "--show-strategies", is_flag=True, help="Print the built-in list and stop."
)
@click.pass_context
def command(
    context: click.Context,
    data: Path | None,
    split: Path | None,
    unlabeled: tuple[Path, ...],
    strategies: Path | None,
    folds: int,
    repeats: int,
    steps: int | None,
    budget: float | None,
    seed: int,
    jobs: int,
    good_class: str | None,
    reference: str | None,
    out: Path | None,
    learning_curve: tuple[float, ...] | None,
    strategy: str | None,
    finish: str | None,
    project: Path,
    show_strategies: bool,
) -> None:
    """Train every strategy on the same folds of DATA, and say what can be told.

    Folds are of the labelled and validation images of --split; its test part is not
    read. A study that was killed goes on by the same command, and strategies may be
    added to it. Writes table.csv, verdict.txt and verdict.html into --out.

    \b
    uda compare photos --split split.csv --steps 500 --out study
    uda compare study                          (the verdict so far)
    uda compare study --finish                 (train what it says, on everything)
    """  # noqa: D301
    if show_strategies:
        from uda.study.strategies import BUILT_IN

        click.echo(BUILT_IN.read_text(encoding="utf-8"), nl=False)
        return
    if data is None:
        raise UsageError("give DATA, or the folder of a study")
    if not data.exists():
        raise DataError(f"{data}: there is no such folder, of data or a study")
    if finish is None and _given(context, "project"):
        raise UsageError("--project has no effect without --finish; leave it out")
    if (data / "study.json").is_file():
        _only(context, {"data", "good_class", "reference", "finish", "project"})
        _of_study(data, reference, good_class, finish, project)
        return
    if finish is not None:
        raise UsageError(
            f"--finish: {data} is no study; give the folder that --out was"
        )
    if split is None or out is None:
        raise UsageError("give --split and --out")
    from uda.study.request import Request

    _check_good(split, good_class)
    plan = plan_of(strategies_of(strategies, split, good_class, note=say))
    shares = learning_curve or ()
    plan = curve_of(plan, shares, strategy)
    _check_length(plan, steps, budget)
    request = Request.of(
        data, split, unlabeled, folds=folds, repeats=repeats, steps=steps,
        budget=budget, seed=seed, shares=shares,
    )  # fmt: skip
    _run(out, request, plan, jobs, reference, good_class)


def _given(context: click.Context, name: str) -> bool:
    from click.core import ParameterSource

    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def _only(context: click.Context, known: set[str]) -> None:
    """Refuse options that a study has settled."""
    for name in context.params:
        if name not in known and _given(context, name):
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect on a study that is there; "
                "give DATA and all its options to continue it, or leave this one out"
            )


def _check_length(
    plan: tuple[Planned, ...], steps: int | None, budget: float | None
) -> None:
    given = sum(length is not None for length in (steps, budget))
    networks = any(
        p.strategy.of is None and p.keys.get("method") != "texture" for p in plan
    )
    if networks and given != 1:
        raise UsageError("give one of --steps and --budget: every training's length")
    if not networks and given:
        raise UsageError(
            "--steps and --budget have no effect: no strategy trains a network; leave "
            "them out"
        )


def _run(
    out: Path,
    request: Request,
    plan: tuple[Planned, ...],
    jobs: int,
    reference: str | None,
    good_class: str | None,
) -> None:
    from uda.study.report import keep_view, reference_of
    from uda.study.run import run_study

    reference_of(plan, reference)  # a misspelt name must not cost a night
    with _written(out), cells_progress() as show:

        def on_cell(done: int, total: int, row: dict[str, Any] | None) -> None:
            if row is None:  # the study is there, and nothing is trained yet
                keep_view(out, reference, good_class)
            show(done, total, row)

        run_study(out, request, plan, jobs=jobs, on_cell=on_cell, note=say)
    _tell(out, request, plan, reference, good_class)


@contextmanager
def _written(out: Path) -> Iterator[None]:
    """Say what to do where a study cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in _PLACE:
            raise
        raise DataError(
            f"{error.filename or out}: {error.strerror or error}; the study cannot go "
            "on. Choose another --out, or make room: the same command goes on where it "
            "was"
        ) from error


def _check_good(split: Path, good_class: str | None) -> None:
    classes = classes_of(split)
    if good_class is not None and good_class not in classes:
        from uda.words import did_you_mean

        raise UsageError(
            f"--good-class {good_class!r} is not a class"
            f"{did_you_mean(good_class, classes)}; choose one of "
            f"{', '.join(sorted(classes))}"
        )


def _of_study(
    study: Path,
    reference: str | None,
    good_class: str | None,
    finish: str | None,
    project: Path,
) -> None:
    from uda.study.report import last_view
    from uda.study.request import read_study

    request, plan = read_study(study)
    known = last_view(study)
    report = _tell(study, request, plan, reference or known[0], good_class or known[1])
    if finish is None:
        return
    choice = report.choice
    if not finish and (report.curve or not report.findings.complete or not choice):
        raise UsageError(
            f"--finish: {study} has no last word (cells missing, a reference without "
            "answers, or a learning curve); continue it, or name the strategy: "
            "--finish NAME"
        )
    from uda.study.finish import finish as train
    from uda.training.monitor.progress import make_progress
    from uda.training.stop import StopRequest

    name, why = (finish, finish) if finish or not choice else (choice.name, choice.why)
    click.echo(f"Training {why}.")
    stop = StopRequest().install()
    run = train(
        request, plan, name, project=project,
        console=make_progress(quiet=False), stop=stop,
    )  # fmt: skip
    if run is None:
        raise SystemExit(stop.exit_code)


def _tell(
    study: Path,
    request: Request,
    plan: tuple[Planned, ...],
    reference: str | None,
    good_class: str | None,
) -> Report:
    """Print the study's table and verdict, and write them where that can be done."""
    from uda.reporting.verdict import write_verdict
    from uda.study.report import report_study, write_report
    from uda.study.run import own_split

    report = report_study(
        study, request, plan, own_split(study, request),
        reference=reference, good_class=good_class,
    )  # fmt: skip
    click.echo(table_text(report))
    click.echo(report.text)
    try:
        write_report(study, report)
        page = write_verdict(study)
        click.echo(f"Written to {page.parent}: table.csv, verdict.txt, {page.name}")
    except OSError as error:  # a full disk, or another's study on a share
        say(
            f"{error.filename or study}: {error.strerror or error}, so table.csv, "
            "verdict.txt and verdict.html are not written; make room, or copy the "
            "study to where you may write, and run `uda compare STUDY`"
        )
    errors = [error for row in report.findings.rows for error in row.errors]
    if errors and not any(row.cells for row in report.findings.rows):
        raise TrainingError(
            f"no cell has an answer, so nothing can be chosen; the first error: "
            f"{errors[0]}; see error.txt and log.txt in {study / 'cells'}"
        )
    return report
