"""``uda evaluate``: per-class numbers of a run, with intervals and gates.

Reads the test part of the run's split, or a folder of classes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.notes import ELSEWHERE, say, say_depth, say_run
from uda.cli.options import (
    WEIGHTS,
    data_group_flag,
    no_decision_flag,
    rule_of,
    tta_flag,
    views_of,
)
from uda.cli.progress import counter
from uda.errors import UsageError
from uda.files import writing

if TYPE_CHECKING:
    from uda.evaluation.decision import DecisionRule
    from uda.evaluation.evaluate import Evaluation
    from uda.evaluation.parts import EvaluationSet
    from uda.run.bundle import Bundle
    from uda.run.layout import RunFolder

_DATA = click.Path(path_type=Path, exists=True)


@click.command(short_help="Per-class evaluation of a run on the test part.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=_DATA, required=False)
@click.option(
    "--split",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Read a part of this split file; the run's own by default.",
)
@click.option(
    "--part",
    type=click.Choice(["test", "validation"]),
    help="Which part of the split; test by default.",
)
@click.option("--good-class", help="Class of parts without a defect: shows escapes.")
@click.option(
    "--require",
    "requirements",
    multiple=True,
    metavar="GATE",
    help='Quality gate such as "recall:Rust>=0.8"; exit code 4 if not met.',
)
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS),
    default="ema",
    show_default=True,
    help="Which weights the gates and the written predictions are about. network: "
    "that of a run that hands over its texture teacher, into a folder of its own.",
)
@click.option(
    "--no-thumbnails",
    is_flag=True,
    help="Keep no small copies of images and no maps in RUN for `uda report`.",
)
@click.option(
    "--allow-seen",
    is_flag=True,
    help="Evaluate a folder although the model was trained on some of it.",
)
@data_group_flag
@no_decision_flag
@tta_flag
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda …")
def command(
    run: Path,
    data: Path | None,
    split: Path | None,
    part: str | None,
    good_class: str | None,
    requirements: tuple[str, ...],
    weights: str,
    no_thumbnails: bool,
    allow_seen: bool,
    group: str | None,
    no_decision: bool,
    tta: str | None,
    batch: int,
    device: str,
) -> Evaluation:
    """Evaluate RUN on its test part, or on all of DATA (class folders, a manifest).

    Where `uda tune` wrote decision.json into RUN, that decides, under the test-time
    augmentation (--tta) that it was fitted under.

    Prints the confusion matrix first, then precision, recall, F1 and average
    precision of each class with 95 % intervals, for the averaged (EMA) and the
    raw weights. Writes RUN/evaluation/<part>/, with thumbnails of the worst
    errors and a few images of each answer, which `uda report` shows.
    """
    from uda.evaluation import gates
    from uda.evaluation.evaluate import evaluate, load_bundles
    from uda.models.device import choose_device
    from uda.run.layout import NETWORK, open_run

    wanted = [gates.Gate.parse(text) for text in requirements]
    folder = open_run(run)
    where = str(choose_device(device))
    bundles = load_bundles(folder.path, weights)
    first = next(iter(bundles.values()))
    rules = _rules(bundles, no_decision)
    good_class = _good_class(good_class, folder, first, ruled=bool(rules))
    several = first.link == "sigmoid"
    gates.check_names(wanted, first.classes, good_class, several=several)
    views = views_of(tta, next(iter(rules.values()), None), first)
    _say_rules(bundles, rules)
    images = _choose(folder, first, data, split, part, allow_seen, group)
    if weights == NETWORK:  # its numbers are not those of what is handed over
        images = replace(images, name=f"{images.name}-network")
    _announce(folder, images, first)
    _say_fitted(folder, images, rules)
    say_run(run, folder)
    if data is not None:
        say_depth([file for _, file in images.files], first.preprocessing)
    evaluation = evaluate(
        bundles,
        images,
        good_class=good_class,
        rules=rules,
        batch=batch,
        device=where,
        progress=counter(),
        tta=views,
    )
    target = _keep(folder, evaluation, first, where, thumbnails=not no_thumbnails)
    _print(evaluation, target)
    for line in gates.enforce(wanted, evaluation.metrics[weights]):
        click.echo(line)
    return evaluation


def _keep(
    run: RunFolder,
    evaluation: Evaluation,
    bundle: Bundle,
    device: str,
    *,
    thumbnails: bool,
) -> Path:
    """Write the evaluation into the run, and return where."""
    from uda.evaluation.reads import result_folder
    from uda.reporting.results import write_evaluation
    from uda.reporting.thumbnails import write_thumbnails

    target = result_folder(run, evaluation.images)
    with writing(target, ELSEWHERE):
        _record(run, evaluation, target.name)
        write_evaluation(target, evaluation)
        write_thumbnails(target, evaluation, bundle, wanted=thumbnails, device=device)
    return target


def _rules(bundles: dict[str, Bundle], no_decision: bool) -> dict[str, DecisionRule]:
    """Return by weights what decides; the raw weights' rule is not the EMA's."""
    found = {
        name: rule_of(bundle, name, no_decision=no_decision)
        for name, bundle in bundles.items()
    }
    return {name: rule for name, rule in found.items() if rule is not None}


def _say_rules(bundles: dict[str, Bundle], rules: dict[str, DecisionRule]) -> None:
    for name, rule in rules.items():
        others = [other for other in bundles if other not in rules]
        only = f"; {', '.join(others)} weights: the likeliest class" if others else ""
        click.echo(
            f"Note: decision.json decides for the {name} weights ({rule.words()})"
            f"{only}; --no-decision leaves it aside",
            err=True,
        )


def _say_fitted(
    run: RunFolder, images: EvaluationSet, rules: dict[str, DecisionRule]
) -> None:
    """Say so where a rule is shown on the images that it was fitted on."""
    from uda.evaluation.rulefile import fitted_part

    if rules and images.name == fitted_part(run):
        say(
            "the rule was fitted on these very images, which flatters it; the "
            "cross-fitted numbers of `uda tune` are the honest ones"
        )


def _good_class(
    given: str | None, run: RunFolder, bundle: Bundle, *, ruled: bool
) -> str | None:
    """Return the class that is given, else that of the rule, or of the time before."""
    from uda.evaluation.reads import last_good_class
    from uda.evaluation.rulefile import asked_good_class

    _check_class(given, bundle)
    if given is not None or bundle.link == "sigmoid":
        return given
    name, where = (asked_good_class(run) if ruled else None), "in `uda tune`"
    if name is None:
        name, where = last_good_class(run), "the time before"
    if name is None or name not in bundle.classes:
        return None
    say(f"--good-class {name}, as {where}")
    return name


def _check_class(good_class: str | None, bundle: Bundle) -> None:
    if good_class is not None and bundle.link == "sigmoid":
        raise UsageError(
            "--good-class has no effect on a multi-label run: an image is good where "
            "no class is named; leave it out"
        )
    if good_class is not None and good_class not in bundle.classes:
        from uda.words import did_you_mean

        hint = did_you_mean(good_class, bundle.classes)
        raise UsageError(
            f"--good-class {good_class!r} is not a class of the model{hint}; its "
            f"classes: {', '.join(bundle.classes)}"
        )


def _choose(
    run: RunFolder,
    bundle: Bundle,
    data: Path | None,
    split: Path | None,
    part: str | None,
    allow_seen: bool,
    group: str | None,
) -> EvaluationSet:
    from uda.evaluation.locations import data_root
    from uda.evaluation.parts import class_folder, split_part

    classes, link = bundle.classes, bundle.link

    if split is not None and split.resolve() == run.split.resolve():
        split, own = None, True
    else:
        own = data is not None and data.resolve() == data_root(run).resolve()
    if data is not None and split is None and not own:
        if part is not None:
            raise UsageError(
                "--part has no effect on a folder, which is read whole; leave it out"
            )
        return class_folder(
            run, classes, data, allow_seen=allow_seen, group=group, link=link
        )
    if group is not None:
        raise UsageError(
            "--group has no effect on a split file, which says the groups; leave it out"
        )
    images = split_part(run, classes, part or "test", data=data, split=split, link=link)
    if images.notes and not allow_seen:
        raise UsageError(
            f"{split}: {images.notes[0]}; give another split, or accept it with "
            "--allow-seen"
        )
    return images


def _announce(run: RunFolder, images: EvaluationSet, bundle: Bundle) -> None:
    from uda.evaluation.reads import past_reads, reads_beside

    if bundle.kind == "texture":
        click.echo(
            "Note: this run answers by texture descriptors, not by a network",
            err=True,
        )
    for note in images.notes:
        say(note)
    if not images.reads_test:
        return
    reads, beside = past_reads(run), reads_beside(run)
    last = f"test part last read {reads[-1].get('time')}, " if reads else ""
    others = f", and {beside} by runs beside it" if beside else ""
    if reads or beside:
        say(
            f"{last}reads so far: {len(reads)} by this run{others}; whoever chooses "
            "by it has no test part left (--part validation is there to choose by)"
        )


def _record(run: RunFolder, evaluation: Evaluation, place: str) -> None:
    from uda.evaluation.reads import record_read

    if not evaluation.images.reads_test:
        return
    main = next(iter(evaluation.predictions.values()))
    name = "macro_ap" if main.several else "balanced_accuracy"
    facts = {
        weights: metrics.find(name).value
        for weights, metrics in evaluation.metrics.items()
    }
    record_read(run, {"evaluation": place, "tta": main.tta, name: facts})


def _print(evaluation: Evaluation, folder: Path) -> None:
    from uda.data.table import shown
    from uda.reporting import text

    main, metrics = next(iter(evaluation.metrics.items()))
    images = evaluation.images
    predictions = evaluation.predictions[main]
    known = int(predictions.known.sum())
    grouped = len(set(images.groups)) < len(images.groups)
    asked = text.asked_words(main, predictions.tta, evaluation.kind)
    blocks = [
        [f"{images.name}: {known} images, {asked}"],
        text.confusion_lines(metrics),
        text.class_lines(metrics, grouped=grouped),
        text.node_lines(metrics),
        text.recall_lines(evaluation.metrics) if len(evaluation.metrics) > 1 else [],
        text.overall_lines(evaluation.metrics, evaluation.kind),
        text.decision_lines(metrics),
    ]
    for block in filter(None, blocks):
        click.echo("\n".join(block) + "\n")
    lone = [c.name for c in metrics.per_class if grouped and c.groups == 1]
    if lone:
        click.echo(
            f"{shown(', '.join(lone))}: all images are of one group, so nothing says "
            "how other parts differ"
        )
    if metrics.unknown:
        click.echo(f"{metrics.unknown} images without a label are in no number above")
    for path, reason in evaluation.skipped:
        click.echo(f"skipped {shown(path)}: {shown(reason)}", err=True)
    click.echo(f"Intervals are 95 %. Written to {folder}")
