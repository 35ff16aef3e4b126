"""Python policies that hold the training up: tried first, named when slow.

The network should never wait for images; where it does because of a user's own
code, the message says how fast that code is and what to do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from uda.augment.kernels import render
from uda.augment.plugins import images_per_second
from uda.data.streams import TrainStream
from uda.training.trainer import Trainer

_WAITING, _MIN_SECONDS = 0.2, 1.0
_SAMPLE = 8


def try_out(stream: TrainStream) -> None:
    """Make one view with each Python policy, so that it fails at once if it does.

    The unlabelled branch may start hours into a run.

    Raises:
        DataError: a fault of the policy, naming its file.
    """
    image = np.ascontiguousarray(stream.images[stream.labeled_rows[:1]])
    for policy in stream.python_policies:
        render(
            policy, image, seed=stream.seed, stream="trial", counters=[0],
            fill=stream.fill,
        )  # fmt: skip


def tell_slow(trainer: Trainer) -> None:
    """Say once that the training waits for a Python policy, and the way out."""
    policies, share = trainer.stream.python_policies, trainer.meter.waiting_share
    if trainer.told_slow or not policies or share <= _WAITING:
        return
    if trainer.meter.waited < _MIN_SECONDS:  # workers that start are no slow policy
        return
    trainer.told_slow = True
    sample = np.asarray(trainer.stream.images[:_SAMPLE])
    rates = {p: images_per_second(p, sample) for p in policies}
    slowest = min(policies, key=lambda policy: rates[policy])
    workers = trainer.config.loop.workers
    trainer.writer.console.warn(
        f"{100 * share:.0f} % of the time goes into waiting for images: "
        f"{slowest.path} makes {rates[slowest]:.0f} images/s in one process. "
        f"Try --workers {max(2, 2 * workers)} (now {workers}; the result does not "
        "depend on it), or a native policy"
    )


def on_stall(trainer: Trainer) -> Callable[[float], None]:
    """Return what to call when no batch has come for a while."""
    files = ", ".join(str(p.path) for p in trainer.stream.python_policies)

    def tell(seconds: float) -> None:
        trainer.writer.console.warn(
            f"no batch for {seconds:.0f} s: {files} may hang. Stop with Ctrl-C "
            "(twice); `uda policy check FILE` tries a policy by itself"
        )

    return tell
