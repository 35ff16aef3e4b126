"""CDMAD: the answer to a white image, literally taken off every other answer."""

from __future__ import annotations

import torch

from uda.training.build import build_state, model_spec
from uda.training.cdmad import blank_logits
from uda.training.configure import build_config
from uda.training.prepare import build_parts
from uda.training.split import find_split


def test_every_answer_loses_the_answer_to_a_white_image(surfaces, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(surfaces / "cache"))
    config = build_config({"data.root": str(surfaces / "data"), "data.size": (16, 16)})
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    model = build_state(config, model_spec(config, parts), torch.device("cpu")).model
    images = torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8)
    white = torch.full((1, 1, 16, 16), 255, dtype=torch.uint8)
    model.eval()
    with torch.no_grad():
        before, blank = model(images).leaf, model(white).leaf[0]
    model.train()
    torch.testing.assert_close(blank_logits(model, (16, 16, 1)), blank)
    assert model.training  # asked without a trace
    model.logit_offset.copy_(blank_logits(model, (16, 16, 1)))
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images).leaf, before - blank)
        torch.testing.assert_close(model(white).leaf[0], torch.zeros_like(blank))
