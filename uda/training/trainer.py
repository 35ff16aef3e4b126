"""Trainer: the parts of one run, for the loop and for what it calls."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from uda.data.streams import TrainStream
from uda.models.texture import TextureClassifier
from uda.run.layout import RunFolder
from uda.training.config import RunConfig
from uda.training.meter import Meter
from uda.training.monitor.writer import RunWriter
from uda.training.objective import Objective
from uda.training.prepare import Parts
from uda.training.state import TrainState
from uda.training.statistics import StepStatistics


@dataclass
class Trainer:
    """The parts of one run, built once; the functions below use them."""

    config: RunConfig
    run: RunFolder
    parts: Parts
    stream: TrainStream
    state: TrainState
    device: torch.device
    writer: RunWriter
    statistics: StepStatistics
    objective: Objective
    opinion: torch.Tensor | None = None
    texture: TextureClassifier | None = None
    trust: float = 1.0
    meter: Meter = field(default_factory=Meter)
    told_slow: bool = False
    health: dict[str, float] = field(default_factory=dict)
