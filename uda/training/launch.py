"""From a configuration to a run folder: new runs, resumed runs, dry runs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from uda.augment.policy import policy_file
from uda.data.records import Catalog
from uda.data.splits import NO_GROUPS, Split
from uda.errors import UdaError, UsageError
from uda.files import atomic_write, folder_lock, read_json, write_json
from uda.run.environment import describe_environment
from uda.run.layout import RunFolder, check_name, create_run, open_run
from uda.training import patience, sizes
from uda.training.build import training_device
from uda.training.class_tree import class_tree, own_tree
from uda.training.config import RunConfig
from uda.training.defects import warn_of_small_defects
from uda.training.length import Length, fix_length
from uda.training.loop import train
from uda.training.memory import memory_told
from uda.training.monitor.progress import Progress
from uda.training.plan import plan_words, time_words
from uda.training.prepare import Parts, Policies, build_parts, refuse_no_pile
from uda.training.prior import stated_prior
from uda.training.save import policy_copy
from uda.training.settled import recorded
from uda.training.split import find_split, scan_split
from uda.training.state import checkpoint_paths
from uda.training.stop import StopRequest
from uda.training.summary import Summary, done_words, next_words
from uda.training.texture import train_texture


def launch(
    config: RunConfig,
    length: Length,
    *,
    project: Path,
    name: str,
    console: Progress,
    stop: StopRequest,
    dry_run: bool = False,
) -> Summary:
    """Start a new run (or only try one) and train it to its end."""
    check_request(config, length, console)
    check_name(name)
    if dry_run:
        return try_out(config, length, console, stop)
    catalog, split, notes = find_split(config)
    refuse_early(config, catalog, split)
    run = start_run(project, name, console)
    say_notes(notes, console)
    summary = begin(config, length, run, catalog, split, console=console, stop=stop)
    _say(summary, run, console)
    return summary


def check_request(config: RunConfig, length: Length, console: Progress) -> None:
    """Refuse what no run should be made for.

    Raises:
        UsageError: no data, a length without effect, or a policy that is not there.
    """
    if not config.data.root:
        raise UsageError("no data: uda train DATA, or data.root in --config")
    if length.given and config.method == "texture":
        raise UsageError("--method texture has no steps; leave the length out")
    warn_of_small_defects(config, console)
    if config.method != "texture":
        training_device(config.loop.device)  # not after all images were decoded
        Policies.load(config)  # a misspelt policy must not leave half a run


def refuse_early(config: RunConfig, catalog: Catalog, split: Split) -> None:
    """Refuse before a folder is made and images are decoded, which takes minutes."""
    refuse_no_pile(config, len(split.part("unlabeled")))
    tree = class_tree(config, catalog)
    stated_prior(config, catalog.classes if tree is None else tree.classes)


def say_notes(notes: Sequence[str], console: Progress) -> None:
    """Tell what is to know of the data; as a warning that leaks were not looked for."""
    for note in notes:
        (console.warn if note == NO_GROUPS else console.note)(note)


def start_run(project: Path, name: str, console: Progress) -> RunFolder:
    """Make the folder of a run, and say so where its name is taken."""
    run = create_run(project, name)
    if run.path.name != name and name != "train":  # every run may be called train
        console.warn(f"{project / name} is there already; this run is {run.path}")
    return run


def with_workers(config: RunConfig, workers: int | None) -> RunConfig:
    """Return the configuration with other workers, which change no result."""
    if workers is None:
        return config
    return config.changed({"loop.workers": workers})


def begin(
    config: RunConfig,
    length: Length,
    run: RunFolder,
    catalog: Catalog,
    split: Split,
    *,
    console: Progress,
    stop: StopRequest,
) -> Summary:
    """Train a new run in a folder of its own, to its end."""
    with folder_lock(run.path):
        try:
            write_json(run.environment, describe_environment())
            if not run.split.exists():
                split.save(run.split)
            config = _with_split(config, run)
            with memory_told(config):
                parts = build_parts(config, catalog, split, console.stage)
                config = fix_length(config, length, parts)
                sizes.check(config)
                patience.check(config, parts)
                atomic_write(run.config, config.to_yaml())
                run.write_status("running", step=0, steps=config.loop.steps)
                console.note(plan_words(config, parts, run))
                return _train(config, run, parts, console, stop, resume=False)
        except (UdaError, OSError) as error:
            _tell_failed(run, error)
            raise


def _with_split(config: RunConfig, run: RunFolder) -> RunConfig:
    # The run's own copy, so that it can be repeated when the user's file is gone.
    boxes, weights, piles = (
        config.data.boxes,
        config.model.weights,
        config.data.unlabeled,
    )
    return config.changed({
        "model.weights": None if weights is None else str(Path(weights).resolve()),
        "model.tree": own_tree(config, run),
        "data.boxes": None if boxes is None else str(Path(boxes).resolve()),
        "data.root": str(Path(config.data.root).resolve()),
        "data.unlabeled": tuple(str(Path(p).resolve()) for p in piles),
        "data.split": str(run.split.resolve()),
        "data.pseudo_labels": _own_pseudo_labels(config, run),
    })  # fmt: skip


def _own_pseudo_labels(config: RunConfig, run: RunFolder) -> str | None:
    if config.data.pseudo_labels is None:
        return None
    raw = Path(config.data.pseudo_labels).read_bytes()
    atomic_write(run.pseudo_labels, raw)
    return str(run.pseudo_labels.resolve())


def _train(
    config: RunConfig,
    run: RunFolder,
    parts: Parts,
    console: Progress,
    stop: StopRequest,
    *,
    resume: bool,
) -> Summary:
    if config.method == "texture":
        return train_texture(config, run, parts, console=console)
    return train(config, run, parts, console=console, stop=stop, resume=resume)


def resume(
    path: Path, *, workers: int | None, console: Progress, stop: StopRequest
) -> Summary:
    """Continue a run from its newest valid checkpoint."""
    run = open_run(path)
    summary = go_on(run, workers=workers, console=console, stop=stop)
    _say(summary, run, console)
    return summary


def go_on(
    run: RunFolder, *, workers: int | None, console: Progress, stop: StopRequest
) -> Summary:
    """Train what is left of a run."""
    with folder_lock(run.path):
        if run.read_status().get("state") == "done":
            raise UsageError(f"{run.path}: finished already, nothing to resume")
        config = recorded(run.config)
        config = with_workers(config, workers)
        _tell_of_edited_policies(config, run, console)
        config = _moved_run(config, run)
        catalog, split, _ = scan_split(config)
        problems = split.verify(catalog)
        if problems:
            raise UsageError(
                f"{run.path}: the images have changed since the run began, so it "
                f"cannot continue bit for bit: {'; '.join(problems[:5])}"
            )
        try:
            with memory_told(config):
                parts = build_parts(config, catalog, split, console.stage)
                if (channels := _other_channels(run, parts)) is not None:
                    config = config.changed({"data.channels": channels})
                    parts = build_parts(config, catalog, split, console.stage)
                return _train(config, run, parts, console, stop, resume=True)
        except (UdaError, OSError) as error:
            _tell_failed(run, error)
            raise


def _tell_failed(run: RunFolder, error: Exception) -> None:
    """Write why a run ended, if the disk that may be the reason takes it."""
    with suppress(OSError):
        run.update_status("failed", reason=str(error))


def _other_channels(run: RunFolder, parts: Parts) -> int | None:
    """Return the channels that a run began with, where the images say others now.

    They are told from the images, by rules that may have changed since.
    """
    if not run.model.is_file():
        return None
    channels = int(read_json(run.model)["preprocessing"]["channels"])
    return None if channels == parts.pool.preprocessing.channels else channels


def _tell_of_edited_policies(
    config: RunConfig, run: RunFolder, console: Progress
) -> None:
    """Warn that a resumed run keeps to its own copies of policies edited since."""
    for view, name in config.views.model_dump().items():
        original = policy_file(str(name))
        copy = policy_copy(run, view, original or "")
        if original is None or not copy.is_file():
            continue
        if original.read_bytes() != copy.read_bytes():
            console.warn(
                f"{copy} is the run's own copy; {original} has changed since: start a "
                "new run (uda train) to use it"
            )


def _moved_run(config: RunConfig, run: RunFolder) -> RunConfig:
    own = str(run.pseudo_labels) if run.pseudo_labels.is_file() else None
    begun: dict[str, Any] = {}
    if checkpoint_paths(run.checkpoints):  # they hold what was started from
        begun = {"model.weights": None, "model.pretrained": False}
    views = {
        f"views.{copy.stem}": str(copy)
        for copy in run.policies.glob("*")
        if copy.stem in type(config.views).model_fields
    }
    moved = {
        "data.split": str(run.split),
        "data.pseudo_labels": own,
        "model.tree": own_tree(config, run),
    }
    return config.changed({**moved, **begun, **views})


def try_out(
    config: RunConfig,
    length: Length,
    console: Progress,
    stop: StopRequest,
    *,
    trainings: int = 1,
) -> Summary:
    """Plan, a step of each phase, an evaluation; all in a temporary folder.

    Args:
        config: of one training.
        length: of one training.
        console: what is told.
        stop: ends it before its time.
        trainings: how many such trainings there will be.
    """
    folder = tempfile.TemporaryDirectory(prefix="uda-dry-run-")
    with folder as path, memory_told(config):
        config = config.changed({"data.cache": str(Path(path) / "pool")})
        catalog, split, notes = find_split(config)
        refuse_early(config, catalog, split)
        say_notes(notes, console)
        parts = build_parts(config, catalog, split, console.stage)
        planned = fix_length(config, length, parts)
        sizes.check(planned)
        patience.check(planned, parts)
        run = create_run(Path(path), "dry-run")
        console.result(plan_words(planned, parts, None))
        console.result(time_words(planned, length, parts, trainings))
        if config.method != "texture":
            short = fix_length(config, Length(steps=2), parts)
            config = short.changed({
                "consistency.start_share": 0.5,
                "consistency.ramp_share": 0.0,
                "data.sizes": (),  # the final size alone, which needs the most memory
                "model.pretrain_steps": min(2, short.model.pretrain_steps or 0),
            })  # fmt: skip
            parts = replace(parts, smaller=())
        quiet = Progress()
        summary = _train(config, run, parts, quiet, stop, resume=False)
    if summary.state == "interrupted":
        console.result("Dry run stopped; nothing was kept.")
        return summary
    console.result("Dry run passed: two steps and one evaluation; nothing was kept.")
    return Summary("done", 0, {})


def _say(summary: Summary, run: RunFolder, console: Progress) -> None:
    if summary.state == "interrupted":
        again = " (its warm start begins anew)" if _in_warm_start(run) else ""
        console.result(
            f"Stopped at step {summary.step}; continue: uda resume {run.path}{again}"
        )
        return
    console.result(f"Done.{done_words(summary, run)} Next: {next_words(run)}")


def _in_warm_start(run: RunFolder) -> bool:
    """Tell whether a run was stopped before its first checkpoint, in its warm start."""
    steps = recorded(run.config).model.pretrain_steps
    return bool(steps) and "pretrain_explained" not in run.read_status()
