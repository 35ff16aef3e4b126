"""``uda tune``: fit how answers become decisions, and say what that gains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.options import model_flags, tta_flag
from uda.cli.progress import counter
from uda.errors import DataError, UsageError

if TYPE_CHECKING:
    from uda.evaluation.gain import TtaGain
    from uda.evaluation.parts import EvaluationSet
    from uda.evaluation.tta import Tta
    from uda.evaluation.tuned import Tuned
    from uda.evaluation.tuning import Sample, TuneConfig
    from uda.run.bundle import Bundle
    from uda.run.layout import RunFolder

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
    "--unsure-coverage",
    type=_SHARE,
    help="Leave parts to a person where classes not ruled out at this share disagree.",
)
@click.option("--seed", default=0, show_default=True, help="Of folds and draws.")
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
    unsure_coverage: float | None,
    seed: int,
    tta: str | None,
    weights: str,
    batch: int,
    device: str,
) -> None:
    """Fit what RUN does with its answers, and write decision.json into it.

    On the validation part of the run's split, or on DATA: labelled images (class
    folders, a manifest) that the run never saw, which alone certify an escape limit.
    A temperature is always fitted, and kept where it helps. `uda evaluate` and
    `uda predict` then decide by it. Prints what the rule gains on images that it was
    not fitted on; with --tta also what that gains, and evaluate, predict and export
    use it from then on.
    """
    from uda.data.manifest import shown
    from uda.evaluation.evaluate import choose_device
    from uda.evaluation.tta import NONE, tta_of
    from uda.evaluation.tuned import tune
    from uda.evaluation.tuning import check_config
    from uda.run.bundle import load_bundle, require_one_label
    from uda.run.layout import open_run

    config = _config(bias, good_class, max_escape, confidence, guarantee)
    folder = open_run(run)
    bundle = require_one_label(
        load_bundle(folder.path, weights=weights),
        "its thresholds are fitted in training (thresholds.json)",
    )
    config = replace(config, coverage=unsure_coverage, seed=seed)
    config = replace(config, costs=_costs(cost, bundle))
    check_config(config, bundle.classes)
    views = tta_of(NONE if tta is None else tta, bundle)
    where = choose_device(device)
    images, fresh = _choose(folder, bundle, data)
    sample, skipped = _ask(bundle, images, batch, where, views)
    for path, reason in skipped:
        click.echo(f"skipped {shown(path)}: {shown(reason)}", err=True)
    gain = _gain(bundle, images, batch, where, views, sample, seed)
    tuned = tune(config, sample, certified=fresh)
    _write(folder, tuned, gain, weights, images.name)
    _print(tuned, gain, images, weights, folder)


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


def _costs(cost: Path | None, bundle: Bundle) -> tuple[tuple[float, ...], ...]:
    from uda.evaluation.costs import read_costs

    return () if cost is None else read_costs(cost, bundle.classes)


def _choose(
    run: RunFolder, bundle: Bundle, data: Path | None
) -> tuple[EvaluationSet, bool]:
    """Return what to fit on, and whether the model never saw any of its groups."""
    from uda.evaluation.parts import data_root, split_part, unseen_folder

    own = data_root(run)
    moved = data is not None and not own.exists() and _holds_validation(run, data)
    if data is not None and data.resolve() != own.resolve() and not moved:
        return unseen_folder(run, bundle.classes, data), True
    if data is None and not own.exists():
        raise DataError(
            f"{own}: the run's data folder is not there; say where it is now, or give "
            f"labelled images that the run never saw: uda tune {run.path} DATA"
        )
    return split_part(run, bundle.classes, "validation", data=data), False


def _holds_validation(run: RunFolder, data: Path) -> bool:
    """Tell whether a folder is the run's own one, moved; hashes are checked later."""
    from uda.data.splits import Split

    root = data.parent if data.is_file() else data
    rows = Split.load(run.split).part("validation") if run.split.is_file() else []
    return bool(rows) and all((root / row.path).is_file() for row in rows)


def _ask(
    bundle: Bundle, images: EvaluationSet, batch: int, device: str, tta: Tta
) -> tuple[Sample, list[tuple[str, str]]]:
    """Let the model answer; return what has a label, and what could not be read."""
    from uda.evaluation.evaluate import answer
    from uda.evaluation.tuning import Sample

    found = answer(
        {"model": bundle},
        images,
        batch=batch,
        device=device,
        progress=counter(),
        tta=tta,
    )
    return Sample.of(found.predictions["model"], found.groups), found.skipped


def _gain(
    bundle: Bundle,
    images: EvaluationSet,
    batch: int,
    device: str,
    tta: Tta,
    sample: Sample,
    seed: int,
) -> TtaGain | None:
    """Let the model answer without views too, and compare; without any, nothing."""
    from uda.evaluation.gain import tta_gain
    from uda.evaluation.tta import NO_TTA, NONE

    if tta.label == NONE:
        return None
    plain, _ = _ask(bundle, images, batch, device, NO_TTA)
    return tta_gain(tta, sample, plain, seed=seed)


def _write(
    folder: RunFolder, tuned: Tuned, gain: TtaGain | None, weights: str, part: str
) -> None:
    from uda.evaluation.rulefile import save_rule

    facts = {"part": part, **tuned.facts()}
    if gain is not None:
        facts["tta"] = gain.to_json()
    try:
        save_rule(folder, tuned.rule, weights, {"fitted_on": facts})
    except OSError as error:
        raise DataError(
            f"{folder.decision}: cannot be written ({error.strerror}); make room, or "
            "copy the run to where you may write"
        ) from error


def _print(
    tuned: Tuned,
    gain: TtaGain | None,
    images: EvaluationSet,
    weights: str,
    folder: RunFolder,
) -> None:
    from uda.reporting import text, tuning

    for note in images.notes:
        click.echo(f"Note: {note}", err=True)
    sample = tuned.sample
    blocks = [
        [
            f"{images.name}: {len(sample.targets)} images of "
            f"{len(set(sample.groups))} groups, "
            f"{text.asked_words(weights, sample.tta)}",
            f"Rule: {tuned.rule.words()}",
        ],
        [] if gain is None else tuning.tta_lines(gain),
        tuning.change_lines(tuned),
        tuning.class_lines(tuned),
        tuning.promise_lines(tuned),
    ]
    for block in filter(None, blocks):
        click.echo("\n".join(block) + "\n")
    click.echo(
        f"Written to {folder.decision}; uda evaluate and uda predict now decide by it "
        "(--no-decision leaves it aside, and deleting the file takes it back)"
    )
