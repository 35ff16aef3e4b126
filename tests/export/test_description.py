"""The JSON beside a model file: complete, read back, and refused when it lies."""

from __future__ import annotations

import json

import pytest

import uda
from uda.data.preprocessing import Preprocessing
from uda.errors import CheckpointError, DataError
from uda.evaluation.decision import DecisionRule
from uda.export.description import (
    Description,
    beside,
    is_description,
    is_export,
    versions,
)
from uda.tree import Tree

CLASSES = ("Good", "Rust", "Scratch")
TREE = Tree((("(all)", ("Good", "Defect")), ("Defect", ("Rust", "Scratch"))), CLASSES)
PREPARED = Preprocessing((32, 48), 1, "letterbox", (10.0, 900.0), (0.5,), (0.2,))


def described(**changes):
    values = {
        "file": "model.onnx", "sha256": "ab" * 32, "kind": "onnx", "pixels": "uint8",
        "classes": CLASSES, "link": "softmax", "preprocessing": PREPARED,
        "made": versions(torch="2"),
    }  # fmt: skip
    return Description(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tree": TREE},
        {"link": "sigmoid", "thresholds": (0.25, 0.5, 0.75)},
        {"kind": "safetensors", "network": {"backbone": "small"}},
        {"rule": DecisionRule(CLASSES, 1.5, (0.0, 0.1, -0.2))},
        {"tta": "d4", "rule": DecisionRule(CLASSES, 1.5, tta="d4")},
        {"tta": "flips", "link": "sigmoid"},
        {"pixels": "float32", "classes": ("日本", 'a"b', "c|d")},
    ],
)
def test_what_is_written_is_read(changes, tmp_path):
    wanted = described(**changes)
    wanted.save(tmp_path / "model.json")
    assert Description.load(tmp_path / "model.onnx") == wanted
    assert is_description(tmp_path / "model.json")


def test_everything_that_another_program_needs_is_there():
    value = described().to_json()
    assert value["input"] == {
        "name": "images", "type": "uint8", "shape": ["batch", 1, 32, 48],
        "values": [0, 255],
    }  # fmt: skip
    assert value["output"]["shape"] == ["batch", 3]
    assert value["preprocessing"] == {
        "size": [32, 48], "channels": 1, "mode": "letterbox",
        "value_range": [10.0, 900.0], "mean": [0.5], "std": [0.2], "fill": [128],
    }  # fmt: skip
    assert value["made"]["uda"] == uda.__version__
    assert value["decision"] is None


def test_the_model_file_says_the_same():
    inside = described(tree=TREE).metadata()
    value = described(tree=TREE).to_json()
    assert set(inside) >= {"classes", "preprocessing", "link", "decision"}
    for key, text in inside.items():
        assert json.loads(text) == value[key]


@pytest.mark.parametrize(
    ("key", "wrong", "reason"),
    [
        ("format", "other", "format 'other'"),
        ("version", 2, "version 2"),
        ("kind", "exe", "kind 'exe'"),
        ("link", "tanh", "link 'tanh'"),
        ("classes", ["a", "a"], "doubled"),
        ("classes", [], "missing"),
        ("classes", None, "damaged or edited"),
        ("thresholds", [0.5], "1 thresholds for 3 classes"),
        ("preprocessing", {}, "preprocessing is damaged"),
        ("tree", [["(all)", ["Good"]]], "class tree"),
        ("tree", 3, "damaged or edited"),
        ("decision", {"bias": [1]}, "damaged or edited"),
        ("decision", DecisionRule(("a", "b")).to_json(), "about a, b cannot answer"),
        ("made", 3, "damaged or edited"),
        ("tta", "scales", "augmentation 'scales' is none of none, flips, d4"),
        ("tta", None, "augmentation None is none of"),
        (
            "decision",
            DecisionRule(CLASSES, tta="d4").to_json(),
            "under --tta d4 cannot",
        ),
    ],
)
def test_a_wrong_value_is_named_with_the_file(key, wrong, reason, tmp_path):
    value = {**described().to_json(), key: wrong}
    (tmp_path / "model.json").write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match=reason) as caught:
        Description.load(tmp_path / "model.onnx")
    assert "model.json" in str(caught.value)
    assert "uda export" in str(caught.value)


def test_the_views_stand_only_where_there_are_several():
    assert "tta" not in described().to_json()  # as in files of before
    assert described(tta="flips").metadata()["tta"] == '"flips"'


@pytest.mark.parametrize("size", [[0, 32], [32, 999_999]])
def test_a_size_that_no_image_has(size, tmp_path):
    value = described().to_json()
    value["preprocessing"]["size"] = size
    (tmp_path / "model.json").write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match="image size"):
        Description.load(tmp_path / "model.onnx")


@pytest.mark.parametrize("key", sorted(set(described().to_json()) - {"output"}))
def test_a_missing_key(key, tmp_path):
    value = described().to_json()
    del value[key]
    (tmp_path / "model.json").write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match="damaged or edited"):
        Description.load(tmp_path / "model.onnx")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3"])
def test_no_json_at_all(content, tmp_path):
    (tmp_path / "model.json").write_text(content)
    assert not is_description(tmp_path / "model.json")
    with pytest.raises(CheckpointError, match=r"model\.json"):
        Description.load(tmp_path / "model.onnx")


def test_the_json_is_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.json: missing.*copy it"):
        Description.load(tmp_path / "model.onnx")
    assert beside(tmp_path / "a.b.onnx").name == "a.b.json"
    assert not is_description(tmp_path / "model.json")


def test_a_model_file_is_told_from_a_run_by_its_suffix(tmp_path):
    assert is_export(tmp_path / "none.onnx")
    assert is_export(tmp_path / "none.safetensors")
    assert not is_export(tmp_path / "train")
    (tmp_path / "night.pt2").mkdir()
    assert not is_export(tmp_path / "night.pt2")


def test_values_that_do_not_fit_are_refused_when_made():
    with pytest.raises(DataError, match="input type 'int8'"):
        described(pixels="int8")
    with pytest.raises(DataError, match="a decision rule about"):
        described(link="sigmoid", rule=DecisionRule(CLASSES))
