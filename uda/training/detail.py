"""Whether a run reads texture, and how long the warm start on it is."""

from __future__ import annotations

from uda.models.descriptors import MIN_SIDE
from uda.training.config import RunConfig


def default_steps(config: RunConfig, steps: int) -> int:
    """Return how long the warm start is where nobody said it: as long as the run.

    Nothing where trained weights are given, where images are cut into tiles or too
    small to have a texture, without an unlabelled branch, and in the paper's recipe.
    """
    model, data = config.model, config.data
    given = model.weights is not None or model.pretrained
    if given or not config.semi_supervised or config.recipe == "paper":
        return 0
    return 0 if data.tiles is not None or min(data.size) < MIN_SIDE else steps


def reads_texture(config: RunConfig) -> bool:
    """Tell whether a run looks at texture: for its targets or for a warm start."""
    method, steps = config.consistency, config.model.pretrain_steps
    if config.semi_supervised and method.weak_pass == "table" and method.texture_weight:
        return True
    return bool(default_steps(config, 1) if steps is None else steps)
