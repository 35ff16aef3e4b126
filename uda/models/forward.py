"""The forward pass of one training step: three views in, three Outputs out.

Which images share batch-norm statistics, and which network makes the targets, is
decided here, so that the step itself reads like the method's page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from uda.errors import UsageError
from uda.models.heads import Outputs, log_mean_probs
from uda.models.links import link_of

BatchNormMode = Literal["joint", "separate", "frozen"]
WeakPass = Literal["joint", "no-grad", "ema", "table"]
Flips = Sequence[tuple[int, ...]]

NO_FLIPS: Flips = ((),)
HORIZONTAL_FLIPS: Flips = ((), (3,))
VERTICAL_FLIPS: Flips = ((), (2,))
ALL_FLIPS: Flips = ((), (3,), (2,), (2, 3))


def at_once(shape: Sequence[int], most: int, *, least: int = 1) -> int:
    """Return how many images a pass without gradients takes, so that memory is bounded.

    Args:
        shape: (N, H, W, K) of the images.
        most: how many of 128 x 128 pixels or less; larger ones in proportion fewer.
        least: never fewer, whatever their size.
    """
    pixels = max(shape[1] * shape[2], 128 * 128)
    return max(min(least, most), most * 128 * 128 // pixels)


class Views(NamedTuple):
    """Outputs per view; ``weak`` and ``strong`` are None in supervised training."""

    labeled: Outputs
    weak: Outputs | None
    strong: Outputs | None


def forward_views(
    model: nn.Module,
    labeled: Tensor,
    weak: Tensor | None = None,
    strong: Tensor | None = None,
    *,
    batch_norm: BatchNormMode = "joint",
    weak_pass: WeakPass = "joint",
    teacher: nn.Module | None = None,
    flips: Flips = NO_FLIPS,
    known: Outputs | None = None,
) -> Views:
    """Run a model in training mode on the views of one step.

    ``batch_norm`` says whose statistics normalise whom:

    - ``joint``: one forward on [labelled | weak | strong], one set of statistics
      (google-research/uda).
    - ``separate``: the unlabelled views are normalised by their own statistics, in
      a second forward, and running statistics come from labelled images alone; a
      consistency weight of 0 then gives exactly supervised training.
    - ``frozen``: running statistics normalise everything and never change.

    ``weak_pass`` says which network makes the targets:

    - ``joint``: the live one, within the forward above. Costs a backward pass
      through the weak views (their logits are detached later, but their
      activations are kept); the only choice that carries gradient to weak logits,
      which an entropy term needs.
    - ``no-grad``: the live one in training mode, in a forward of its own without
      gradient or running-statistics update. About a third less time per step; weak
      views no longer share statistics with the others.
    - ``ema``: ``teacher`` in evaluation mode. Costs as ``no-grad`` (times
      ``len(flips)``); targets are steadier and do not depend on the batch.
    - ``table``: nobody, here: ``known`` holds targets made earlier. Costs nothing in
      the step.

    Args:
        model: the live model, in training mode.
        labeled: (B, K, H, W).
        weak: (U, K, H, W) or None.
        strong: (U, K, H, W) or None.
        batch_norm: see above.
        weak_pass: see above.
        teacher: the averaged model, for ``weak_pass="ema"``.
        flips: for the teacher: dimensions to flip in each view to be averaged.
        known: outputs to use for the weak view, for ``weak_pass="table"``.

    Raises:
        UsageError: ``ema`` without a teacher, ``table`` without ``known``.
    """
    if weak is None or strong is None:
        with batch_norm_frozen(model, batch_norm == "frozen"):
            return Views(model(labeled), None, None)
    if weak_pass == "joint":
        return Views(*_forward(model, [labeled, weak, strong], batch_norm))
    targets = known
    if weak_pass == "ema":
        targets = _teacher_outputs(teacher, weak, flips)
    elif weak_pass == "no-grad":
        targets = _no_grad_outputs(model, weak, batch_norm)
    if targets is None:
        raise UsageError("weak pass 'table' needs targets that were made earlier")
    labeled_outputs, strong_outputs = _forward(model, [labeled, strong], batch_norm)
    return Views(labeled_outputs, targets, strong_outputs)


def _forward(
    model: nn.Module, views: list[Tensor], batch_norm: BatchNormMode
) -> list[Outputs]:
    """Forward labelled (first) and unlabelled views, with gradient."""
    if batch_norm == "separate":
        labeled: Outputs = model(views[0])
        with running_statistics_kept(model):
            return [labeled, *_concatenated(model, views[1:])]
    with batch_norm_frozen(model, batch_norm == "frozen"):
        return _concatenated(model, views)


def _concatenated(model: nn.Module, views: list[Tensor]) -> list[Outputs]:
    outputs: Outputs = model(torch.cat(views))
    return outputs.split([len(view) for view in views])


def _no_grad_outputs(
    model: nn.Module, weak: Tensor, batch_norm: BatchNormMode
) -> Outputs:
    frozen = batch_norm_frozen(model, batch_norm == "frozen")
    with torch.no_grad(), running_statistics_kept(model), frozen:
        outputs: Outputs = model(weak)
    # Autocast keeps the weights that it cast here, without gradient, and older releases
    # of torch hand them to the next pass, which needs one (pytorch issue 105211).
    torch.clear_autocast_cache()
    return outputs


def _teacher_outputs(teacher: nn.Module | None, weak: Tensor, flips: Flips) -> Outputs:
    if teacher is None:
        raise UsageError(
            "weak pass 'ema' takes targets from the averaged model, and there is "
            "none: set an EMA decay, or choose --weak-pass joint or no-grad"
        )
    was_training = teacher.training
    teacher.eval()
    try:
        with torch.no_grad():
            if len(flips) == 1 and not flips[0]:
                outputs: Outputs = teacher(weak)
                return outputs
            views = [teacher(weak.flip(dims)) for dims in flips]
            return log_mean_probs(views, link_of(teacher))
    finally:
        teacher.train(was_training)


@contextmanager
def running_statistics_kept(model: nn.Module) -> Iterator[None]:
    """Let batch norm use the batch's statistics without recording them."""
    layers = [layer for layer in _batch_norms(model) if layer.track_running_stats]
    # In evaluation mode the flag would discard the running statistics.
    layers = [layer for layer in layers if layer.training]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def batch_norm_frozen(
    model: nn.Module, frozen: bool = True
) -> AbstractContextManager[None]:
    """Let batch norm use its running statistics, as in evaluation."""
    return _frozen(model) if frozen else nullcontext()


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    layers = [layer for layer in _batch_norms(model) if layer.training]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()


def _batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [
        layer
        for layer in model.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
