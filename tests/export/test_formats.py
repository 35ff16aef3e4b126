"""One file per format: names inside, one file alone, a readable refusal."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open
from torch import nn

from uda.errors import UsageError
from uda.export.formats import METADATA_FILE, OPSET, Served, write_model
from uda.models.classifier import Classifier, ModelSpec, build_classifier
from uda.models.heads import BalancedHead, FlatHead, Outputs

CLASSES = ("Good", "Rust", "Scratch")
TEXTS = {"classes": json.dumps(["Gut", "日本"]), "link": '"softmax"'}


def network(**changes):
    spec = ModelSpec("small", CLASSES, 1, (0.5,), (0.2,), **changes)
    return build_classifier(spec).eval()


def write(kind, path, model=None, **changes):
    options = {"shape": (1, 16, 16), "pixels": "uint8", "metadata": TEXTS, **changes}
    write_model(kind, model or network(), path, **options)
    return path


class Fixed(nn.Module):
    """A head that answers the same to everybody."""

    def forward(self, features):
        leaf = torch.tensor([[0.0, 1.0, 2.0]]).expand(len(features), 3)
        return Outputs(leaf=leaf, auxiliary=leaf.flip(1))


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_head_that_decides_is_served(link):
    classifier = Classifier(nn.Flatten(), Fixed(), (0.5,), (0.2,), 3, link).eval()
    found = Served(classifier)(torch.zeros(2, 1, 4, 4, dtype=torch.uint8)).numpy()
    raised = np.exp([2.0, 1.0, 0.0])
    expected = raised / raised.sum() if link == "softmax" else raised / (1 + raised)
    assert found == pytest.approx(np.stack([expected] * 2), abs=1e-6)


def test_onnx_is_one_file_with_names_and_passes_the_checker(tmp_path):
    path = write("onnx", tmp_path / "m.onnx")
    assert [one.name for one in tmp_path.iterdir()] == ["m.onnx"]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {one.key: one.value for one in model.metadata_props} == TEXTS
    assert [one.version for one in model.opset_import if not one.domain] == [OPSET]
    (images,), (probs,) = model.graph.input, model.graph.output
    assert (images.name, probs.name) == ("images", "probabilities")
    kind = images.type.tensor_type
    assert kind.elem_type == onnx.TensorProto.UINT8
    sizes = [one.dim_param or one.dim_value for one in kind.shape.dim]
    assert sizes == ["batch", 1, 16, 16]


def test_pt2_and_safetensors_hold_the_names(tmp_path):
    path = write("pt2", tmp_path / "m.pt2")
    extra = {METADATA_FILE: ""}
    torch.export.load(path, extra_files=extra)
    assert json.loads(extra[METADATA_FILE]) == TEXTS
    model = network()
    path = write("safetensors", tmp_path / "m.safetensors", model)
    with safe_open(str(path), "pt") as stored:
        assert stored.metadata() == TEXTS
        assert set(stored.keys()) == set(model.state_dict())


class Stubborn(nn.Module):
    """A network whose path depends on its values: no exporter can follow."""

    num_features = 2

    def forward(self, images):
        if images.mean() > 0:
            return images.mean((2, 3)).repeat(1, 2)
        return images.amax((2, 3)).repeat(1, 2)


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_a_network_that_cannot_be_traced(kind, tmp_path):
    model = Classifier(Stubborn(), FlatHead(2, 3), (0.5,), (0.2,), 3).eval()
    with pytest.raises(UsageError, match=f"written as {kind} .*--format safetensors"):
        write(kind, tmp_path / "m", model)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError, match="pip install onnx onnxscript onnxruntime"):
        write("onnx", tmp_path / "m.onnx")


def test_the_model_is_left_as_it_was(tmp_path):
    model = Classifier(nn.Flatten(), BalancedHead(16, 3), (0.5,), (0.2,), 3).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    write("pt2", tmp_path / "m.pt2", model, shape=(1, 4, 4))
    assert not model.training
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    assert all(one.requires_grad for one in model.parameters())
