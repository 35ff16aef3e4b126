"""The training loop: build, step, evaluate, save, stop.

New features are functions called from here, never branches inside it.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch

from uda.augment.kernels import is_compiled, warm_up
from uda.cores import usable_cores
from uda.data.streams import Batch, grouped, prefetch
from uda.errors import TrainingError
from uda.models.finetune import set_trunk_frozen
from uda.models.seeding import draws_at_random, seeded
from uda.run.layout import RunFolder
from uda.training import alerts, guard, pace, patience, save, watch
from uda.training.build import build_state, model_spec, training_device
from uda.training.config import RunConfig
from uda.training.evaluate import (
    evaluate_state,
    write_view_grid,
    write_worst_errors,
)
from uda.training.label_statistics import statistics_for
from uda.training.memory import memory_told
from uda.training.monitor import tags
from uda.training.monitor.progress import Progress
from uda.training.monitor.writer import RunWriter
from uda.training.objective import build_objective, start_memory
from uda.training.prepare import Parts, Policies, build_stream
from uda.training.pretrain import explained_words, pretrain
from uda.training.schedules import consistency_start
from uda.training.settled import recorded
from uda.training.sizes import change_size
from uda.training.state import (
    TrainState,
    checkpoint_paths,
    clear_remains,
    load_newest,
    remove_newer,
    to_device,
)
from uda.training.step import Moment, Terms, training_step
from uda.training.stop import StopRequest
from uda.training.summary import Summary
from uda.training.targets import renew_teacher
from uda.training.texture import TextureTeacher, texture_teacher
from uda.training.trainer import Trainer


def train(
    config: RunConfig,
    run: RunFolder,
    parts: Parts,
    *,
    console: Progress,
    stop: StopRequest,
    resume: bool = False,
) -> Summary:
    """Train until the last step, or until asked to stop.

    Raises:
        TrainingError: the loss is not finite.
    """
    torch.set_num_threads(config.loop.threads or usable_cores())
    policies = Policies.load(config, run.policies)
    save.copy_policies(run, policies)
    device = training_device(config.loop.device)
    spec = model_spec(config, parts)
    state = build_state(config, spec, device)
    objective = build_objective(config, parts, device)
    state.objective_state = start_memory(objective, parts, device)
    if resume:
        _load(state, run, console)
    report = getattr(state.model.backbone, "weight_report", None)
    if report is not None:
        console.note(str(report))
    save.describe(run, spec, parts)
    with _writer(config, run, parts, state.step, console) as writer:
        trainer = Trainer(
            config,
            run,
            parts,
            build_stream(config, parts, policies),
            state,
            device,
            writer,
            statistics_for(parts, writer.tags, device),
            objective,
        )
        pace.try_out(trainer.stream)
        teacher = texture_teacher(config, parts, device)
        if not _warm_start(trainer, teacher, stop):
            return _interrupted(trainer, stop, {})
        guard.ask_texture(trainer, teacher)
        return _run(trainer, stop)


def _load(state: TrainState, run: RunFolder, console: Progress) -> None:
    """Take over the newest valid checkpoint, where one was written yet."""
    clear_remains(run.checkpoints)
    if not checkpoint_paths(run.checkpoints):
        console.note("no checkpoint yet: starting from step 0")
        return
    saved, warnings = load_newest(run.checkpoints)
    state.load_dict(saved)
    remove_newer(run.checkpoints, state.step)
    for warning in warnings:
        console.warn(f"{warning} and removed")


def _warm_start(
    trainer: Trainer, teacher: TextureTeacher | None, stop: StopRequest
) -> bool:
    """Train the trunk on texture, once and where asked to; False when stopped.

    What the teacher has described already is not described again.
    """
    config, state = trainer.config, trainer.state
    if not config.model.pretrain_steps or checkpoint_paths(trainer.run.checkpoints):
        return True
    console = trainer.writer.console
    _compile(trainer)
    explained = pretrain(
        config,
        trainer.parts,
        state.model,
        stop=stop,
        progress=console.stage,
        described=None if teacher is None else teacher.described,
    )
    if explained is None:
        return False
    state.ema.reset(state.model)
    trainer.run.update_status("running", pretrain_explained=explained)
    text = (
        f"warm start: {config.model.pretrain_steps} steps on the pool's texture; "
        f"{explained_words(explained)}"
    )
    console.note(text)
    trainer.writer.text("pretrain", text, state.step)
    save.checkpoint(trainer)  # a run that is killed from here on does not repeat it
    return True


def _writer(
    config: RunConfig, run: RunFolder, parts: Parts, step: int, console: Progress
) -> RunWriter:
    writer = RunWriter(
        run.path,
        classes=parts.classes,
        total_steps=config.loop.steps,
        # The checkpoint's own step is whole; only what came after it is done again.
        start_step=step + 1 if 0 < step < config.loop.steps else step,
        console=console,
        alarms=alerts.alarm_book(config, parts, _asked(run)),
        on_alarms=lambda alarms: run.update_status("running", alarms=alarms),
    )
    if step == 0:
        writer.config(config.to_yaml())
    return writer


def _asked(run: RunFolder) -> RunConfig | None:
    """Return the configuration that a run began with, where it is written."""
    return recorded(run.config) if run.config.is_file() else None


def _compile(trainer: Trainer) -> None:
    """Compile before the clock starts: done once, it is not waiting for data."""
    if not is_compiled():
        trainer.writer.console.note(
            "compiling what makes the views (some 15 s, once on this machine)"
        )
    warm_up()


def _run(trainer: Trainer, stop: StopRequest) -> Summary:
    config, state = trainer.config, trainer.state
    total, per_step = config.loop.steps, config.optimizer.accumulation
    trainer.run.update_status("running", step=state.step, steps=total)
    if state.step >= total:  # resumed after the last step: only the ending is missing
        return _finish(trainer, evaluate_state(trainer))
    if patience.is_over(trainer):
        return _finish(trainer, patience.metrics_at(trainer, state.step))
    _compile(trainer)
    batches = prefetch(
        trainer.stream,
        state.step * per_step,
        total * per_step,
        workers=config.loop.workers,
        stalled=pace.on_stall(trainer),
    )
    trainer.meter.leave_out()
    metrics: dict[str, float] = {}
    try:
        for group in grouped(batches, per_step):
            parts, norm, moved = _one_step(trainer, group)
            asked = bool(stop)
            _account(trainer, moved, parts, norm, kept=asked)
            trainer.meter.lap(_views_in(moved), batches.waited_total)
            ended, found = _after_step(trainer, moved[-1], parts[-1])
            metrics = found or metrics
            due = state.step % (config.loop.save_every or total) == 0
            if due or ended or asked:
                save.checkpoint(trainer)
            if ended:
                break
            if asked:
                return _interrupted(trainer, stop, metrics)
            trainer.meter.leave_out()
    finally:
        batches.close()
    return _finish(trainer, metrics)


def _after_step(
    trainer: Trainer, batch: Batch, terms: Terms
) -> tuple[bool, dict[str, float]]:
    """Log and evaluate where it is due; tell whether the run ends here."""
    config, step = trainer.config, trainer.state.step
    total = config.loop.steps
    ended = step == total
    if step % config.loop.log_every == 0 or ended:
        _log(trainer)
        trainer.run.update_status("running", step=step)
    if step == consistency_start(config):
        guard.keep_warm_start(trainer)
    if not ended and step % (config.loop.eval_every or total) != 0:
        return False, {}
    metrics = evaluate_state(trainer)
    watch.look_without_table(trainer, metrics)
    ended = patience.look(trainer) or ended
    write_view_grid(trainer, batch, terms)
    return ended, metrics


def _one_step(
    trainer: Trainer, group: list[Batch]
) -> tuple[list[Terms], torch.Tensor, list[Batch]]:
    """Move the batches to the device and do one update with them."""
    config, state = trainer.config, trainer.state
    frozen = state.step < (config.model.frozen_steps or 0)
    if frozen != state.model.trunk_frozen:
        set_trunk_frozen(state.model, frozen)
    change_size(trainer)
    renew_teacher(trainer)
    moved = [to_device(batch, trainer.device) for batch in group]
    trust = trainer.trust * watch.factor(state.objective_state)
    moment = Moment.at(state.step, config, trust)
    draws = (
        seeded(config.seed, "dropout", state.step)
        if draws_at_random(state.model)
        else nullcontext()
    )
    with draws, memory_told(config, in_step=True):
        parts, norm = training_step(state, moved, config, moment, trainer.objective)
    return parts, norm, moved


def _views_in(batches: list[Batch]) -> int:
    views = [v for b in batches for v in (b.labeled, b.weak, b.strong)]
    return sum(len(view) for view in views if view is not None)


def _account(
    trainer: Trainer,
    batches: list[Batch],
    parts: list[Terms],
    norm: torch.Tensor,
    *,
    kept: bool,
) -> None:
    """Count a step, and refuse what is no number before anything of it is ``kept``."""
    for batch, terms in zip(batches, parts, strict=True):
        trainer.statistics.add(batch, terms, norm)
    # Reading the loss waits for an accelerator; on the CPU it is there already.
    config, step = trainer.config.loop, trainer.state.step
    often = (config.log_every, config.save_every or 1, config.eval_every or 1)
    ends = (config.steps, consistency_start(trainer.config))  # weights are kept there
    due = kept or step in ends or any(step % every == 0 for every in often)
    if trainer.device.type == "cpu" or due:
        _refuse_nan(trainer, batches, parts, norm)


def _refuse_nan(
    trainer: Trainer, batches: list[Batch], parts: list[Terms], norm: torch.Tensor
) -> None:
    finite = all(bool(torch.isfinite(terms.total)) for terms in parts)
    if finite and bool(torch.isfinite(norm)):
        return
    rows = [int(row) for batch in batches for row in batch.labeled_index]
    names = ", ".join(trainer.parts.ids(rows)[:40])
    last = save.last_good(trainer.run)
    # An accelerator is asked now and then alone.
    at = "at" if trainer.device.type == "cpu" else "at or shortly before"
    raise TrainingError(
        f"{at} step {trainer.state.step - 1}: the loss or its gradient is not a finite "
        f"number. Last good checkpoint: {last}. Labelled images of the batch: {names}. "
        "Try a lower --lr or --set optimizer.clip_norm=1"
    )


def _log(trainer: Trainer) -> None:
    state, config = trainer.state, trainer.config
    trust = trainer.trust * watch.factor(state.objective_state)
    moment = Moment.at(state.step - 1, config, trust)
    values = (
        trainer.statistics.values()
        | trainer.health
        | {
            tags.LEARNING_RATE: config.optimizer.lr * moment.lr_factor,
            tags.EPOCH: state.step
            * config.loop.batch
            * config.optimizer.accumulation
            / len(trainer.parts.labeled),
            tags.IMAGES_PER_SECOND: trainer.meter.images_per_second,
            tags.WAITING_SHARE: trainer.meter.waiting_share,
            "unlabeled/weight": moment.consistency_weight,
        }
    )
    values |= alerts.levels(trainer, moment)
    trainer.writer.scalars(state.step, values)
    pace.tell_slow(trainer)
    trainer.statistics.reset()
    trainer.health = {}
    trainer.meter.reset()


def _interrupted(
    trainer: Trainer, stop: StopRequest, metrics: dict[str, float]
) -> Summary:
    trainer.run.update_status(
        "interrupted",
        step=trainer.state.step,
        steps=trainer.config.loop.steps,
        reason=stop.name,
        resumable=True,
    )
    return Summary("interrupted", trainer.state.step, metrics, trainer.run.path)


def _finish(trainer: Trainer, metrics: dict[str, float]) -> Summary:
    write_worst_errors(trainer)
    save.weights(trainer)
    metrics = patience.hand_over(trainer, metrics)
    metrics = guard.hand_over(trainer, metrics)
    metrics = guard.hand_over_texture(trainer, metrics)
    save.thresholds(trainer)
    trainer.writer.hparams(save.table_row(trainer.config), metrics)
    trainer.run.update_status(
        "done", step=trainer.state.step, steps=trainer.config.loop.steps, **metrics
    )
    patience.clear(trainer)
    return Summary("done", trainer.state.step, metrics, trainer.run.path)
