"""A warm start without labels: predict an image's texture from a strong view of it.

    L = mean over images u and descriptors j of (W f(strong view of u) + b - d(u))_j²

d(u) are the classical descriptors of the clean image (``training.described``), in
deviations from their mean over the training images, clipped at 3; f is the trunk; W
and b are thrown away afterwards. Every image of the pool teaches some three hundred
numbers that are known to tell surfaces apart, where a label teaches one. Masked
feature prediction does so with histograms of gradients (Wei et al., CVPR 2022).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from uda.augment.policy import load_policy
from uda.cores import usable_cores
from uda.data.sampling import UnlabeledSampler
from uda.data.streams import Batch, TrainStream, prefetch
from uda.errors import TrainingError, UsageError
from uda.files import atomic_path
from uda.models.classifier import Classifier
from uda.models.seeding import draws_at_random, seeded
from uda.training.build import build_state, model_spec, training_device
from uda.training.config import RunConfig
from uda.training.described import Features, describe, typical_of
from uda.training.memory import memory_told
from uda.training.prepare import Parts
from uda.training.schedules import learning_rate_factor
from uda.training.state import to_device
from uda.training.stop import StopRequest

Progress = Callable[[str, int, int], None]

BATCH = 64  # at most; and no more than a step of the run sees
_LIMIT = 3.0
_WARMUP = 20
# Draws of its own: the run's first batches must not repeat the warm start's views.
_STREAM = "pretrain"


def targets_of(
    parts: Parts, threads: int | None = None, described: Features | None = None
) -> Tensor:
    """Describe the training images.

    Args:
        parts: the run's images.
        threads: for the descriptors; None for all cores.
        described: their texture and deviations, where somebody has them already.

    Returns:
        (t, F) float32 in the order of ``parts.training_rows``: deviations from the
        mean, clipped at 3; 0 for a descriptor that does not vary.
    """
    if described is None:
        typical = typical_of(parts)
        described = describe(parts, parts.training_rows, typical, threads=threads)
    found = described.astype(np.float64)
    scale = found.std(axis=0)
    unit = (found - found.mean(axis=0)) / np.where(scale < 1e-8, np.inf, scale)
    return torch.from_numpy(np.clip(unit, -_LIMIT, _LIMIT).astype(np.float32))


def explained_words(share: float) -> str:
    """Say how far the warm start came, in words that also fit a share below 0."""
    if share < 0.005:
        return "a strong view explains nothing yet of how the clean images vary"
    return f"a strong view explains {share:.0%} of how the clean images vary"


def pretrain(
    config: RunConfig,
    parts: Parts,
    model: Classifier,
    *,
    stop: StopRequest,
    progress: Progress | None = None,
    described: Features | None = None,
) -> float | None:
    """Train the trunk of ``model``, in place; its head stays as it was.

    Args:
        config: ``model.pretrain_steps`` is the length; strong policy, precision,
            seed and, with AdamW, the learning rate are the run's. The optimiser is
            AdamW in any case, at 2e-3 where the run's is another.
        parts: validation and test images are not looked at.
        model: in training mode, on its device.
        stop: looked at between steps.
        progress: called with ("pretraining", done, steps).
        described: as for `targets_of`.

    Returns:
        The share of the descriptors' variance that the last tenth of the steps
        explained; None when it was asked to stop, which leaves a half-trained trunk.

    Raises:
        TrainingError: the loss is not finite.
    """
    steps = config.model.pretrain_steps or 0
    targets = targets_of(parts, config.loop.threads, described)
    device = next(model.parameters()).device
    with seeded(config.seed, f"{_STREAM}-head"):
        width = int(model.backbone.num_features)  # type: ignore[arg-type]
        head = nn.Linear(width, targets.shape[1])
    head = head.to(device)
    optimizer = torch.optim.AdamW(
        [*model.backbone.parameters(), *head.parameters()],
        lr=config.optimizer.lr if config.optimizer.name == "adamw" else 2e-3,
        weight_decay=0.02,
    )
    step = _Step(config, model, head, optimizer, targets.to(device))
    batches = prefetch(_stream(config, parts), 0, steps, workers=config.loop.workers)
    explained = []
    try:
        for number, batch in enumerate(batches):
            if stop:
                return None
            with memory_told(config, in_step=True):
                share = step(number, to_device(batch, device))
            if number >= 0.9 * steps or number + 1 == steps:
                explained.append(share)
            if progress is not None:
                progress("pretraining", number + 1, steps)
    finally:
        batches.close()
    found = float(torch.stack(explained).mean())
    if not math.isfinite(found):
        raise TrainingError(
            "the warm start on texture (--pretrain-steps) came to no finite loss; try "
            "a lower --lr, or leave it out with --pretrain-steps 0"
        )
    return found


def pretrained_trunk(
    config: RunConfig,
    parts: Parts,
    *,
    stop: StopRequest,
    progress: Progress | None = None,
) -> tuple[Classifier, float | None]:
    """Do the warm start of a run and nothing else.

    Args:
        config: as for `pretrain`; also which network, from which seed, on which
            device. `build_parts` needs the same one.
        parts: the run's images.
        stop: looked at between steps.
        progress: called with ("pretraining", done, steps).

    Returns:
        The classifier with the trunk that `uda train` has before its step 0 and with
        a head that knows nothing yet, and what `pretrain` says about it.

    Raises:
        UsageError: there is no such trunk, see `refuse_without_trunk`.
        TrainingError: the loss is not finite.
    """
    refuse_without_trunk(config)
    torch.set_num_threads(config.loop.threads or usable_cores())
    device = training_device(config.loop.device)
    model = build_state(config, model_spec(config, parts), device).model
    return model, pretrain(config, parts, model, stop=stop, progress=progress)


def refuse_without_trunk(config: RunConfig) -> None:
    """Raise a UsageError where a warm start leaves no trunk to hand on."""
    if config.method == "texture":
        raise UsageError("--method texture trains no network, so it has no trunk")
    if config.model.independent:
        raise UsageError(
            "--independent: each node of the tree has a trunk of its own, and a file "
            "of weights holds one; leave it out here, and uda train --independent "
            "--weights FILE starts every node from the same one"
        )
    if not config.model.pretrain_steps:
        raise UsageError("model.pretrain_steps: a warm start takes one step or more")


def save_trunk(model: Classifier, path: Path) -> None:
    """Write the tensors of the trunk as safetensors, by the backbone's own names.

    Raises:
        UsageError: the file is there already.
    """
    from safetensors.torch import save_file

    if path.exists():
        raise UsageError(f"{path}: exists and is not overwritten; name another file")
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.backbone.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, str(temporary))


def seconds_per_step(config: RunConfig, parts: Parts, model: Classifier) -> float:
    """Time a step of the warm start: views, forward and backward of a batch."""
    stream, device = _stream(config, parts), next(model.parameters()).device
    times = []
    for number in range(3):
        begin = time.perf_counter()
        with memory_told(config, in_step=True):
            batch = to_device(stream(number), device)
            loss = model.backbone(model.normalize(batch.labeled)).square().mean()
            loss.backward()
            float(loss.detach())  # waits for an accelerator
        times.append(time.perf_counter() - begin)
    model.zero_grad(set_to_none=True)
    return min(times)


class _Step:
    """One update of trunk and head."""

    def __init__(
        self,
        config: RunConfig,
        model: Classifier,
        head: nn.Linear,
        optimizer: torch.optim.Optimizer,
        targets: Tensor,
    ) -> None:
        self.config, self.model, self.head = config, model, head
        self.optimizer, self.targets = optimizer, targets
        self.rate = float(optimizer.param_groups[0]["lr"])
        self.at_random = draws_at_random(model)

    def __call__(self, number: int, batch: Batch) -> Tensor:
        """Update; return the share of the batch's variance explained, no sync."""
        config, model = self.config, self.model
        factor = learning_rate_factor(
            number, total=config.model.pretrain_steps or 1, kind="cosine",
            warmup=_WARMUP,
        )  # fmt: skip
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        wanted = self.targets[batch.targets]
        draws = (
            seeded(config.seed, f"{_STREAM}-dropout", number)
            if self.at_random
            else nullcontext()
        )
        with (
            draws,
            torch.autocast(
                batch.labeled.device.type,
                dtype=torch.bfloat16,
                enabled=config.loop.precision == "bf16",
            ),
        ):
            found = self.head(model.backbone(model.normalize(batch.labeled)))
        loss = nn.functional.mse_loss(found.float(), wanted)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return 1 - loss.detach() / wanted.square().mean().clamp(min=1e-12)


def _stream(config: RunConfig, parts: Parts) -> TrainStream:
    """Return the stream of strong views; its targets are places among the rows."""
    rows, method = parts.training_rows, config.consistency
    images = (*parts.smaller, parts.pool)[0].images
    return TrainStream(
        images=images,
        labeled_rows=rows,
        labeled_targets=np.arange(len(rows)),
        labeled_sampler=UnlabeledSampler(
            len(rows),
            batch=min(BATCH, config.loop.batch * (1 + method.unlabeled_ratio)),
            seed=config.seed,
            stream=f"{_STREAM}-index",
        ),
        labeled_policy=load_policy(config.views.strong),
        labeled_stream=_STREAM,
        seed=config.seed,
        fill=parts.pool.fill,
    )
