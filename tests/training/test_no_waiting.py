"""The losses of a step never wait for the device.

On the meta device there are no numbers: what reads one, or chooses rows by one, is an
error. What comes from the host in the middle of a step is one here.
"""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from uda.data.streams import Batch
from uda.models.heads import Outputs
from uda.training.clock import Clock
from uda.training.configure import build_config
from uda.training.label_statistics import statistics_for
from uda.training.objective import build_objective, start_memory
from uda.training.step import Terms
from uda.tree import good_against_rest

META = torch.device("meta")
CLASSES = ("Good", "Rust", "Scratch")
PRIOR = {"Good": 0.8, "Rust": 0.1, "Scratch": 0.1}
PLAIN = {"supervised.sampling_power": 1.0}
CASES = {
    "default": {},
    "fixmatch": {"method": "fixmatch"},
    "flexmatch": {"method": "flexmatch"},
    "freematch": {"method": "freematch"},
    "softmatch": {"method": "softmatch"},
    "pi-model": {"method": "pi-model"},
    "aligned": {"consistency.prior": PRIOR},
    "by class": {"consistency.class_floor": 0.4},
    "abc": {**PLAIN, "consistency.balanced_head": "abc"},
    "acr": {**PLAIN, "consistency.balanced_head": "acr"},
    "adjusted": {**PLAIN, "supervised.logit_adjustment": "loss"},
    "weights": {**PLAIN, "supervised.class_weights": "inverse"},
    "ldam": {**PLAIN, "supervised.loss": "ldam"},
    "focal": {"supervised.loss": "focal"},
    "quota": {"supervised.tsa_form": "quota", "supervised.tsa_exempt_below": 9},
    "prior form": {**PLAIN, "supervised.tsa_form": "prior"},
    "exempt": {"supervised.tsa_exempt_below": 9},
    "tree": {"model.good_class": "Good", "consistency.prior": PRIOR},
    "tree, quota": {"model.good_class": "Good", "supervised.tsa_form": "quota"},
    "tree, adjusted": {
        **PLAIN,
        "model.good_class": "Good",
        "supervised.logit_adjustment": "loss",
    },
    "several labels": {"data.multi_label": True},
}


class NoCopies(TorchDispatchMode):
    """Refuses copies between host and device that wait."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func._overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            tensors = [x for x in (found, *args) if isinstance(x, torch.Tensor)]
            waits = not (kwargs or {}).get("non_blocking", False)
            if waits and len({tensor.device.type for tensor in tensors}) > 1:
                raise AssertionError(f"{func} waits for the device")
        return found


def parts_of(config):
    """Eight labelled images of three classes, one of them coarse with a tree."""
    tree = None
    targets = np.array([0, 0, 0, 1, 1, 2, 2, 0])
    if config.model.good_class:
        tree = good_against_rest("Good", (*CLASSES, "Defect"))
        targets = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    if config.data.multi_label:
        targets = np.eye(3, dtype=np.int64)[targets]
    return SimpleNamespace(
        classes=CLASSES,
        tree=tree,
        targets=targets,
        hidden=np.concatenate([targets, targets]),
        fine=np.flatnonzero(targets < 3) if targets.ndim == 1 else None,
        drawn_as=np.array([0, 0, 0, 1, 1, 2, 2, 0]),
        class_counts=np.array([4, 2, 2]),
        validation_targets=targets,
        labeled=np.arange(8),
        unlabeled=np.arange(16),
        pool=SimpleNamespace(images=np.zeros((16, 2, 2, 1))),
        truly_labeled=SimpleNamespace(labeled=np.arange(8)),
    )


def step(objective, parts, memory, statistics, guard):
    """Compute every loss of a step from logits of no number."""
    labels = torch.zeros(parts.targets.shape, dtype=torch.int64, device=META)
    logits = [torch.empty(n, 3, device=META, requires_grad=True) for n in (8, 12, 12)]
    beside = [torch.empty(n, 3, device=META, requires_grad=True) for n in (8, 12, 12)]
    outputs = [
        Outputs(leaf, auxiliary=None if objective.head is None else other)
        for leaf, other in zip(logits, beside, strict=True)
    ]
    index = torch.zeros(12, dtype=torch.int64, device=META)
    clock = Clock(5, 0.5, 0.4)
    with guard:
        labeled, memory = objective.on_labeled(outputs[0], labels, clock, memory)
        found, memory = objective.on_unlabeled(
            outputs[1], outputs[2], index, clock, memory
        )
        total = labeled.loss + found.loss.mean()
        if found.penalty is not None:
            total = total + found.penalty
        total.backward()
        correct = objective.hit_rate(logits[0].detach(), labels)
        terms = Terms(
            total, labeled.loss.detach(), labeled.kept, correct, found.loss.mean(),
            unlabeled=found,
        )  # fmt: skip
        image = torch.empty(1, device=META)
        batch = Batch(image, labels, image, image, torch.arange(8), index)
        statistics.add(batch, terms, correct)
    return memory


@pytest.mark.parametrize("name", CASES)
def test_no_loss_reads_a_number_or_brings_one_along(name):
    config = build_config(CASES[name])
    parts = parts_of(config)
    objective = build_objective(config, parts, META)
    memory = start_memory(objective, parts, META)
    statistics = statistics_for(parts, CLASSES, META)
    # What a run makes once is made in its first step.
    memory = step(objective, parts, memory, statistics, nullcontext())
    step(objective, parts, memory, statistics, NoCopies())
