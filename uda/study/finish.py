"""The end of a study: the chosen strategy, trained on everything but the test part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from uda.errors import UsageError
from uda.evaluation.decision import DecisionRule
from uda.evaluation.rulefile import save_rule
from uda.evaluation.tta import NONE, tta_of
from uda.run.bundle import load_bundle
from uda.run.layout import RunFolder
from uda.study.afterwards import fit_bias
from uda.study.plan import configuration, length_of
from uda.study.request import Planned, Request
from uda.study.strategies import Strategy
from uda.training.launch import launch
from uda.training.monitor.progress import Progress
from uda.training.stop import StopRequest


def planned_of(plan: Sequence[Planned], name: str) -> Planned:
    """Return the strategy of a name.

    Raises:
        UsageError: there is none.
    """
    for planned in plan:
        if planned.strategy.name == name:
            return planned
    names = ", ".join(planned.strategy.name for planned in plan)
    raise UsageError(f"--finish {name!r}: not a strategy of the study; choose {names}")


def finish(
    request: Request,
    plan: Sequence[Planned],
    name: str,
    *,
    project: Path,
    console: Progress,
    stop: StopRequest,
) -> RunFolder | None:
    """Train a strategy on the study's whole split but its test part.

    Args:
        request: of the study; the run is as long as the study's trainings.
        plan: its strategies.
        name: of the one to train.
        project: folder of run folders.
        console: where a person reads along.
        stop: looked at between steps.

    Returns:
        The run, with a decision rule where the strategy decides by one; None where it
        was interrupted.

    Raises:
        UsageError: no such strategy, or the split file is not the study's any more.
    """
    wanted = planned_of(plan, name)
    strategy = wanted.strategy
    trained = wanted if strategy.of is None else planned_of(plan, strategy.of)
    split = request.split_file()
    config = configuration(trained, request, split=split, seed=request.seed)
    slug = strategy.slug
    summary = launch(
        config, length_of(request, config), project=project, name=slug,
        console=console, stop=stop,
    )  # fmt: skip
    # Not project/latest: another training may have begun there since.
    run = RunFolder(summary.run or project / slug)
    if summary.state == "interrupted":
        for line in what_is_left(run.path, strategy, seed=request.seed):
            console.result(line)
        return None
    _decide(run, strategy, seed=request.seed)
    return run


def what_is_left(run: Path, strategy: Strategy, *, seed: int) -> list[str]:
    """Return what to do by hand once an interrupted run has been continued."""
    views = "" if strategy.tta is None else f" --tta {strategy.tta}"
    if strategy.tune is not None:
        seeded = f" --seed {seed}" if seed else ""
        return [f"Then fit its thresholds: uda tune {run} --bias{views}{seeded}"]
    if strategy.tta is not None:
        return [
            f"It was chosen for its views; then ask it so: uda evaluate {run}{views} "
            f"(and uda predict{views})"
        ]
    return []


def _decide(run: RunFolder, strategy: Strategy, *, seed: int) -> None:
    """Write the rule of a strategy that does more than take the likeliest class."""
    if strategy.tune is None and strategy.tta is None:
        return
    bundle = load_bundle(run.path)
    tta = tta_of(strategy.tta or NONE, bundle)
    facts = {"fitted_on": {"strategy": strategy.name}}
    rule = DecisionRule(bundle.classes, tta=tta.label)
    if strategy.tune is not None:
        tuned = fit_bias(bundle, tta, seed=seed)
        rule = tuned.rule
        facts = {"fitted_on": {"part": "validation", **tuned.facts()}}
    save_rule(run, rule, "ema", facts)
