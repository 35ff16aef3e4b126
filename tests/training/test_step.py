"""A whole step against the literal one: schedules, weights, reductions, the update."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.reference.uda_step import uda_step_loss
from uda.data.streams import Batch
from uda.models.forward import Views
from uda.models.heads import Outputs
from uda.training import step as module
from uda.training.configure import build_config
from uda.training.objective import build_objective, start_memory
from uda.training.prepare import build_parts
from uda.training.split import find_split
from uda.training.step import Moment, training_step

STEPS, STEP, TRUST = 100, 40, 0.6
WEIGHT, ENTROPY, RATE = 1.7, 0.1, 0.5
CPU = torch.device("cpu")


class Answers(nn.Module):
    """A network whose weights are its answers to the views of a batch."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        sizes = {"labeled": 5, "weak": 11, "strong": 11}
        for name, size in sizes.items():
            logits = 3 * torch.randn(size, num_classes, generator=generator)
            self.register_parameter(name, nn.Parameter(logits))

    def views(self, *_args, **_options) -> Views:
        """Stand in for `forward_views`."""
        return Views(*(Outputs(leaf=p) for p in (self.labeled, self.weak, self.strong)))


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("tsa", ["linear", "none"])
def test_loss_and_update_equal_the_literal_step(surfaces, monkeypatch, batches, tsa):
    keys = {
        "data.root": str(surfaces / "data"),
        "data.unlabeled": (str(surfaces / "more"),),
        "data.group": "none", "data.size": (16, 16), "data.cache": str(surfaces / "c"),
        "loop.steps": STEPS, "optimizer.lr": RATE, "optimizer.warmup_steps": 0,
        "optimizer.schedule": "constant", "supervised.tsa": tsa,
        "consistency.weak_pass": "joint", "consistency.weight": WEIGHT,
        "consistency.entropy_weight": ENTROPY, "consistency.start_share": 0.2,
        "consistency.ramp_share": 0.4,
    }  # fmt: skip
    if tsa != "none":
        keys["supervised.tsa_share"] = 1.0
    config = build_config(keys)
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    objective = build_objective(config, parts, CPU)
    model = Answers(len(parts.classes))
    monkeypatch.setattr(module, "forward_views", model.views)
    optimizer = torch.optim.SGD([{"params": model.parameters(), "lr_scale": 1.0}], RATE)
    state = SimpleNamespace(
        model=model, step=STEP, optimizer=optimizer,
        ema=SimpleNamespace(model=None, update=lambda *_: None),
        objective_state=start_memory(objective, parts, CPU),
    )  # fmt: skip
    labels = torch.tensor([0, 1, 2, 0, 1])
    pixels = torch.zeros(5, 1, 16, 16, dtype=torch.uint8)
    batch = Batch(
        labeled=pixels, targets=labels, labeled_index=torch.arange(5),
        weak=pixels, strong=pixels, unlabeled_index=torch.arange(11),
    )  # fmt: skip

    before = [p.detach().double().requires_grad_() for p in model.parameters()]
    literal = uda_step_loss(
        list(before[0]), labels, list(before[1]), list(before[2]),
        progress=STEP / STEPS, schedule=None if tsa == "none" else tsa,
        temperature=0.4, confidence=0.8,
        # It began at step 20 and rises over 40 steps: this is the 21st.
        consistency_weight=WEIGHT * TRUST * 21 / 40, entropy_weight=ENTROPY * TRUST,
    )  # fmt: skip
    wanted = torch.autograd.grad(literal, before)
    moment = Moment.at(STEP, config, TRUST)
    terms, norm = training_step(state, [batch] * batches, config, moment, objective)

    for one in terms:
        torch.testing.assert_close(one.total.double(), literal, atol=1e-5, rtol=0)
    whole = torch.sqrt(sum(gradient.square().sum() for gradient in wanted))
    torch.testing.assert_close(norm.double(), whole, atol=1e-5, rtol=0)
    for old, new, gradient in zip(before, model.parameters(), wanted, strict=True):
        torch.testing.assert_close(
            new.detach().double(), old.detach() - RATE * gradient, atol=1e-6, rtol=0
        )
    assert state.step == STEP + 1
    share = float(terms[0].unlabeled.mask.mean())
    assert 0 < share < 1  # else the gate would be out of sight
    assert (float(terms[0].kept.float().mean()) < 1) == (tsa != "none")
