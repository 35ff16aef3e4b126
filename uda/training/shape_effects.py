"""Sizes, tiles and early stopping: what has no effect and what does not combine.

Called with the configuration, like the rules of ``effects``.
"""

from __future__ import annotations

from uda.errors import UsageError
from uda.training.config import RunConfig

Rule = tuple[bool, str]

_TILE_DETAILS = {"data.tile_join", "data.background"}


def shape_rules(config: RunConfig, key: str) -> list[Rule]:
    """Return (whether the key has no effect, why) for keys of size and length."""
    data = config.data
    return [
        (
            bool(data.sizes) and key == "data.size",
            "the last of --sizes is the final size",
        ),
        (
            config.method == "texture" and key in {"data.sizes", "data.tiles"},
            "--method texture looks at whole images of one size",
        ),
        (
            data.tiles is None and key in _TILE_DETAILS,
            "images are not cut into tiles (--tiles)",
        ),
        (
            config.loop.patience is None and key == "loop.stop_metric",
            "nothing stops the run early (--patience)",
        ),
        (
            key == "loop.patience" and data.split is None and data.validation == 0,
            "there is no validation part to look at (--validation)",
        ),
    ]


def refuse_combinations(config: RunConfig) -> None:
    """Raise a UsageError for a warm start or tiles with what they do not go with."""
    _refuse_warm_start(config)
    data = config.data
    if data.tiles is None:
        return
    if data.tiles == (1, 1):
        raise UsageError("--tiles 1x1: one tile is the whole image; leave it out")
    if data.background is None:
        raise UsageError(
            "--tiles needs --background CLASS: the class of a tile that shows no "
            "defect; without one, a tile beside the defect would have to be a defect"
        )
    for applies, what in _not_with_tiles(config):
        if applies:
            raise UsageError(f"--tiles does not combine with {what}")


def _refuse_warm_start(config: RunConfig) -> None:
    model, data = config.model, config.data
    if not model.pretrain_steps:
        return
    for applies, what in (
        (model.weights is not None, "--weights: those are where the run starts"),
        (model.pretrained, "--pretrained: those weights are where the run starts"),
        (data.tiles is not None, "--tiles: texture is described for a whole image"),
        (min(data.size) < 8, "images of fewer than 8 pixels, which have no texture"),
    ):
        if applies:
            raise UsageError(f"--pretrain-steps does not combine with {what}")


def _not_with_tiles(config: RunConfig) -> list[Rule]:
    settings = config.supervised
    head = config.consistency.balanced_head if config.semi_supervised else "none"
    tree = config.model.tree is not None or config.model.good_class is not None
    return [
        (
            tree,
            "a tree of classes: its nodes decide for an image, not for a tile",
        ),
        (
            settings.loss == "ldam",
            "--loss ldam: its margins belong to cosines, and what is joined over "
            "tiles are log-probabilities",
        ),
        (
            head != "none",
            f"--balanced-head {head}: its auxiliary head balances images, and "
            "tiles of one image are of several classes",
        ),
    ]
