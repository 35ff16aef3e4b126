"""Predictions survive a round trip; predicting leaves the model as it was."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

from uda.errors import DataError
from uda.evaluation.conformal import UnsureLane
from uda.evaluation.decision import DecisionRule
from uda.evaluation.predict import Predictions, predict_pool
from uda.models.heads import Outputs


class Tiny(nn.Module):
    """Batch normalisation and dropout betray a wrong mode."""

    def __init__(self, channels=1, classes=3):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.norm = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(0.5)
        self.linear = nn.Linear(channels, classes)
        with torch.no_grad():
            self.linear.weight.copy_(
                torch.randn(classes, channels, generator=generator)
            )
        self.layouts = []

    def forward(self, images):
        self.layouts.append(images.permute(0, 2, 3, 1).is_contiguous())
        features = self.norm(images.float() / 255).mean(dim=(2, 3))
        return Outputs(leaf=self.linear(self.drop(features)))


def images(num=7, channels=1):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (num, 5, 4, channels), dtype=np.uint8)


def test_equals_one_image_at_a_time_in_evaluation_mode():
    model, pool = Tiny(3), images(7, 3)
    model.train()
    rows = [6, 0, 3, 3]
    found = predict_pool(
        model,
        pool,
        rows,
        ids=list("abcd"),
        targets=[0, 1, 2, -1],
        classes=list("xyz"),
        batch=3,
    )
    model.eval()
    with torch.no_grad():
        for row, log_probs in zip(rows, found.log_probs, strict=True):
            one = torch.from_numpy(pool[row].copy()).permute(2, 0, 1)[None]
            expected = torch.log_softmax(model(one).leaf, dim=1)[0].numpy()
            assert log_probs == pytest.approx(expected, abs=1e-5)
    assert found.ids == list("abcd")
    assert found.targets.tolist() == [0, 1, 2, -1]
    assert all(model.layouts[:2])  # channels last, no copy on the way


def test_modes_are_put_back_also_after_an_error():
    model = Tiny()
    model.train()
    model.norm.eval()  # frozen on purpose
    predict_pool(model, images(), range(7), ids=[""] * 7, classes=list("xyz"))
    assert (model.training, model.norm.training, model.drop.training) == (
        True,
        False,
        True,
    )
    before = model.norm.running_mean.clone()
    with pytest.raises(RuntimeError):
        predict_pool(model, images(2, 3), [0], ids=["a"], classes=list("xyz"))
    assert (model.training, model.norm.training) == (True, False)
    assert torch.equal(model.norm.running_mean, before)
    assert all(p.requires_grad for p in model.parameters())


def test_no_rows_and_progress():
    calls = []
    none = predict_pool(Tiny(), images(), [], ids=[], classes=list("xyz"))
    assert none.log_probs.shape == (0, 3)
    assert none.confidence.shape == (0,)
    predict_pool(
        Tiny(),
        images(),
        range(7),
        ids=[""] * 7,
        classes=list("xyz"),
        batch=3,
        progress=lambda *a: calls.append(a),
    )
    assert calls == [("predict", 3, 7), ("predict", 6, 7), ("predict", 7, 7)]


def test_a_model_that_is_no_module():
    def model(batch):
        return Outputs(leaf=batch.float().mean(dim=(2, 3)))

    found = predict_pool(
        model, images(2, 3), [0, 1], ids=["a", "b"], classes=list("rgb")
    )
    assert found.probs.sum(axis=1) == pytest.approx([1, 1])


def test_round_trip_with_hostile_names(tmp_path):
    names = ["a,b", "new\nline", "=cmd", "\udcff.png", "", "trailing\0"[:-1], "日本"]
    predictions = Predictions(
        names,
        np.array([0, 1, -1, 0, 1, 0, 1]),
        np.log(np.full((7, 2), 0.5, dtype=np.float32)),
        ("NO", "\udcfe"),
    )
    predictions.save(tmp_path / "p.npz")
    again = Predictions.load(tmp_path / "p.npz")
    assert again.ids == names
    assert again.classes == predictions.classes
    assert np.array_equal(again.log_probs, predictions.log_probs)
    assert np.array_equal(again.targets, predictions.targets)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as stored:
        assert all(stored[key].dtype != object for key in stored)


def test_empty_round_trip(tmp_path):
    none = Predictions(
        [], np.zeros(0, np.int64), np.zeros((0, 2), np.float32), ("a", "b")
    )
    none.save(tmp_path / "p.npz")
    assert Predictions.load(tmp_path / "p.npz").ids == []


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "p.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"p\.npz: cannot be read"):
        Predictions.load(path)


def test_a_damaged_byte_never_escapes_as_another_error(tmp_path):
    """Flips in an archive raise half a dozen kinds of errors, or pass unnoticed."""
    path = tmp_path / "p.npz"
    log_probs = np.log(np.full((3, 2), 0.5, np.float32))
    targets = np.array([0, 1, -1])
    Predictions(["a", "b", "c"], targets, log_probs, ("x", "y")).save(path)
    whole = path.read_bytes()
    for mask in (0x01, 0x5A):
        for place in range(0, len(whole), 3):
            bad = bytearray(whole)
            bad[place] ^= mask
            path.write_bytes(bytes(bad))
            with contextlib.suppress(DataError):
                Predictions.load(path)


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "p.npz"
    np.savez(path, ids=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        Predictions.load(path)


def test_bad_values_are_refused():
    log_probs = np.zeros((2, 2), np.float32)
    with pytest.raises(DataError, match="do not fit"):
        Predictions(["a"], np.zeros(2, np.int64), log_probs, ("x", "y"))
    with pytest.raises(DataError, match="target 2"):
        Predictions(["a", "b"], np.array([0, 2]), log_probs, ("x", "y"))
    log_probs[1, 0] = np.nan
    with pytest.raises(DataError, match="'b' is not a number"):
        Predictions(["a", "b"], np.zeros(2, np.int64), log_probs, ("x", "y"))


RULE = DecisionRule(
    ("a", "b"), 2.0, (0.0, 3.0), lane=UnsureLane(0.9, (0.5, 0.5), (True, False))
)


def ruled(rule=RULE):
    logs = np.log(np.array([[0.9, 0.1], [0.5, 0.5], [0.99, 0.01]], np.float32))
    return Predictions(
        ["x", "y", "z"], np.array([1, 1, -1]), logs, ("a", "b"), rule=rule
    )


def test_a_rule_answers_and_calibrates():
    found = ruled()
    assert found.likeliest.tolist() == [0, 0, 0]
    assert found.predicted.tolist() == [1, 1, 1]  # the bias of b
    assert found.unsure.tolist() == [True, True, True]
    assert found.probs[0] == pytest.approx([0.75, 0.25])  # 9:1 becomes 3:1
    assert found.confidence[0] == pytest.approx(0.75)
    assert not found.wrong.any()
    plain = ruled(None)
    assert plain.predicted.tolist() == [0, 0, 0]
    assert not plain.unsure.any()


def test_a_rule_survives_the_file(tmp_path):
    for rule in (RULE, None):
        ruled(rule).save(tmp_path / "p.npz")
        again = Predictions.load(tmp_path / "p.npz")
        assert again.rule == rule
        assert (again.predicted == ruled(rule).predicted).all()


def test_a_rule_of_other_classes_is_refused():
    with pytest.raises(DataError, match="cannot answer"):
        ruled(DecisionRule(("a", "c")))
    logs = np.zeros((1, 2), np.float32)
    with pytest.raises(DataError, match="cannot answer"):
        Predictions(
            ["x"], np.array([[0, 1]]), logs, ("a", "b"), link="sigmoid", rule=RULE
        )
