"""Fixtures of the training tests: a tiny data set and quick settings."""

from __future__ import annotations

import pytest

from tests.support.surfaces import write_surfaces
from uda.training.configure import build_config
from uda.training.launch import launch
from uda.training.length import Length
from uda.training.monitor.progress import Progress
from uda.training.presets import METHODS
from uda.training.stop import StopRequest

QUICK = {
    "data.size": (16, 16),
    "data.group": "none",
    "loop.batch": 6,
    "loop.steps": 6,
    "loop.threads": 1,
    "loop.eval_every": 3,
    "loop.save_every": 2,
    "loop.log_every": 1,
    "consistency.unlabeled_ratio": 2,
    "consistency.start_share": 0.3,
    "consistency.ramp_share": 0.2,
    "consistency.texture_weight": 0.0,
    "model.pretrain_steps": 0,
}


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory):
    return write_surfaces(tmp_path_factory.mktemp("surfaces"))


@pytest.fixture
def quick(surfaces, tmp_path, monkeypatch):
    """Train quickly: quick({"key": value}) -> (RunFolder path, Summary)."""
    monkeypatch.setenv("UDA_CACHE", str(surfaces / "cache"))

    def run(changes=None, *, stop=None, name="t", **options):
        keys = {**QUICK, "data.root": str(surfaces / "data"), **(changes or {})}
        keys.setdefault("data.unlabeled", (str(surfaces / "more"),))
        keys = {key: value for key, value in keys.items() if value is not None}
        method = keys.get("method", "uda")
        if method in ("supervised", "texture"):
            keys = {k: v for k, v in keys.items() if not k.startswith("consistency.")}
        preset = METHODS.get(method, {}).get("consistency.weak_pass", "table")
        if keys.get("consistency.weak_pass", preset) != "table":
            keys.pop("consistency.texture_weight", None)
        if keys.get("method") == "texture":
            trained = ("loop.", "model.")
            keys = {k: v for k, v in keys.items() if not k.startswith(trained)}
        summary = launch(
            build_config(keys),
            Length(),
            project=tmp_path / "runs",
            name=name,
            console=Progress(),
            stop=StopRequest() if stop is None else stop,
            **options,
        )
        return (tmp_path / "runs" / "latest").resolve(), summary

    return run
