"""A configuration that means the same from every working folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uda.augment.policy import policy_file
from uda.training.config import RunConfig


def lasting(config: RunConfig) -> RunConfig:
    """Return a configuration that names its data and weights by absolute paths.

    Several trainings rest on it, and the later ones may begin after `uda resume`
    somewhere else.
    """
    data, model = config.data, config.model
    views = {
        f"views.{view}": _policy(str(name))
        for view, name in config.views.model_dump().items()
    }
    paths: dict[str, Any] = {
        "data.root": _absolute(data.root) if data.root else "",
        "data.unlabeled": tuple(_absolute(path) for path in data.unlabeled),
        "data.split": None if data.split is None else _absolute(data.split),
        "data.boxes": None if data.boxes is None else _absolute(data.boxes),
        "data.cache": None if data.cache is None else _absolute(data.cache),
        "model.tree": None if model.tree is None else _absolute(model.tree),
        "model.weights": None if model.weights is None else _absolute(model.weights),
    }
    return config.changed({**paths, **views})


def _absolute(path: str) -> str:
    return str(Path(path).resolve())


def _policy(name: str) -> str:
    # A bare name stays one: it is looked up where the training begins.
    return _absolute(name) if policy_file(name) == Path(name) else name
