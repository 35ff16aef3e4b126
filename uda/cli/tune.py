"""``uda tune``: fit how answers become decisions, and say what that gains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.notes import ELSEWHERE, say, say_run
from uda.cli.options import RecallType, data_group_flag, model_flags, tta_flag
from uda.cli.tune_source import (
    Asking,
    Source,
    from_folds,
    from_images,
    try_limit,
)
from uda.errors import UsageError
from uda.files import writing

if TYPE_CHECKING:
    from uda.evaluation.tuned import Tuned
    from uda.evaluation.tuning import TuneConfig
    from uda.run.bundle import Bundle

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command(short_help="Fit thresholds, an escape limit and an unsure lane.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--bias", is_flag=True, help="Fit a bias per class, by macro-F1 or cost.")
@click.option(
    "--cost",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="CSV table of costs: rows the truth (column true), columns the answer.",
)
@click.option("--good-class", help="Class of parts without a defect: shows escapes.")
@click.option(
    "--max-escape",
    type=_SHARE,
    help="At most this share of the defective parts may pass as good.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
    help="How sure --max-escape must be; 0.95 by default.",
)
@click.option(
    "--guarantee",
    type=click.Choice(["confidence", "average"]),
    help="Hold --max-escape with --confidence (default), or on average alone.",
)
@click.option(
    "--recall",
    "recalls",
    multiple=True,
    type=RecallType(),
    help="Find this share of a class's parts: Rust=0.95; repeatable. No promise.",
)
@click.option(
    "--unsure-coverage",
    type=_SHARE,
    help="Leave parts to a person where classes not ruled out at this share disagree.",
)
@click.option("--seed", default=0, show_default=True, help="Of folds and draws.")
@data_group_flag
@tta_flag
@model_flags
def command(
    run: Path,
    data: Path | None,
    bias: bool,
    cost: Path | None,
    good_class: str | None,
    max_escape: float | None,
    confidence: float | None,
    guarantee: str | None,
    recalls: tuple[tuple[str, float], ...],
    unsure_coverage: float | None,
    seed: int,
    group: str | None,
    tta: str | None,
    weights: str,
    batch: int,
    device: str,
) -> Tuned:
    """Fit what RUN does with its answers, and write decision.json into it.

    On the out-of-fold answers of a run with --folds, else on the validation part of
    its split, or on DATA: labelled images (class folders, a manifest) that the run
    never saw, which alone certify an escape limit. A temperature is always fitted,
    and kept where it helps. `uda evaluate` and `uda predict` then decide by it.
    Prints what the rule gains on images that it was not fitted on; with --tta also
    what that gains, and evaluate, predict and export use it from then on.
    """
    from uda.evaluation.tta import NONE, tta_of
    from uda.evaluation.tuned import tune
    from uda.evaluation.tuning import check_config
    from uda.models.device import choose_device
    from uda.run.bundle import load_bundle, require_one_label
    from uda.run.layout import open_run

    config = _config(bias, good_class, max_escape, confidence, guarantee)
    folder = open_run(run)
    bundle = require_one_label(
        load_bundle(folder.path, weights=weights),
        "its thresholds are fitted in training (thresholds.json)",
    )
    say_run(run, folder)
    config = replace(config, coverage=unsure_coverage, seed=seed)
    config = replace(config, recalls=_recalls(recalls))
    config = replace(config, costs=_costs(cost, bundle))
    check_config(config, bundle.classes)
    views = tta_of(NONE if tta is None else tta, bundle)
    if group is not None and data is None:
        raise UsageError("--group has no effect without DATA; leave it out")
    where = str(choose_device(device))
    asking = Asking(folder, bundle, weights, views, batch, where, group)
    _say_earlier(asking)
    source = _source(asking, data, config)
    tuned = tune(config, source.sample, certified=source.fresh)
    if source.folds:
        tuned = replace(tuned, folds=True, check=try_limit(asking, tuned.rule.escape))
    _write(asking, tuned, source)
    _print(tuned, source, asking)
    return tuned


def _source(asking: Asking, data: Path | None, config: TuneConfig) -> Source:
    """Return what to fit on; views that are shown to harm are refused."""
    found = None
    if data is None:
        limited = config.max_escape is not None
        found = from_folds(asking, limit_for=config.good_class if limited else None)
    found = found or from_images(asking, data, config.seed)
    if found.gain is not None and found.gain.worse:
        from uda.reporting.tuning import tta_lines

        lines = "\n".join(tta_lines(found.gain))
        raise UsageError(
            f"--tta {found.gain.label} loses more than chance can explain, so no rule "
            f"is written; leave --tta out, or try other views\n{lines}"
        )
    return found


def _say_earlier(asking: Asking) -> None:
    """Say that there is a rule, which goes in the end, and until then stays."""
    from uda.evaluation.rulefile import stored_rule

    earlier = stored_rule(asking.run)
    if earlier is not None:
        click.echo(
            f"Note: the run has a rule ({earlier.words()}); it is replaced if this "
            "ends well, and stays in force if not",
            err=True,
        )


def _config(
    bias: bool,
    good_class: str | None,
    max_escape: float | None,
    confidence: float | None,
    guarantee: str | None,
) -> TuneConfig:
    """Return what the flags ask for; a flag without effect is refused."""
    from uda.evaluation.tuning import TuneConfig

    given = {"--confidence": confidence, "--guarantee": guarantee}
    for name, value in given.items():
        if max_escape is None and value is not None:
            raise UsageError(
                f"{name} has no effect without --max-escape; leave it out, or say how "
                "many defective parts may pass"
            )
    if guarantee == "average" and confidence is not None:
        raise UsageError(
            "--confidence has no effect with --guarantee average; leave one out"
        )
    return TuneConfig(
        bias=bias,
        good_class=good_class,
        max_escape=max_escape,
        guarantee="average" if guarantee == "average" else "confidence",
        confidence=0.95 if confidence is None else confidence,
    )


def _recalls(given: tuple[tuple[str, float], ...]) -> dict[str, float]:
    names = [name for name, _ in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--recall {twice}: is given twice; keep one")
    return dict(given)


def _costs(cost: Path | None, bundle: Bundle) -> tuple[tuple[float, ...], ...]:
    from uda.evaluation.costs import read_costs

    return () if cost is None else read_costs(cost, bundle.classes)


def _write(asking: Asking, tuned: Tuned, source: Source) -> None:
    from uda.evaluation.rulefile import save_rule
    from uda.evaluation.tta import keep_policy

    facts = {"part": source.name, **tuned.facts()}
    if source.gain is not None:
        facts["tta"] = source.gain.to_json()
    with writing(asking.run.decision, ELSEWHERE):
        keep_policy(asking.views, asking.run)
        save_rule(asking.run, tuned.rule, asking.weights, {"fitted_on": facts})


def _print(tuned: Tuned, source: Source, asking: Asking) -> None:
    from uda.reporting import text, tuning

    for note in source.notes:
        say(note)
    kind = asking.bundle.kind
    asked = text.asked_words(asking.weights, source.sample.tta, kind)
    blocks = [
        [
            f"{source.name}: {source.words}, {asked}",
            f"Rule: {tuned.rule.words()}",
        ],
        [] if source.gain is None else tuning.tta_lines(source.gain),
        tuning.change_lines(tuned),
        tuning.class_lines(tuned),
        tuning.promise_lines(tuned),
    ]
    for block in filter(None, blocks):
        click.echo("\n".join(block) + "\n")
    click.echo(
        f"Written to {asking.run.decision}; uda evaluate and uda predict now decide by "
        "it (--no-decision leaves it aside, and deleting the file takes it back)"
    )
