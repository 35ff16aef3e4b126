"""The two guards against harm by unlabelled images."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from uda.run.bundle import load_bundle
from uda.training import guard, loop, targets
from uda.training.guard import trust_of
from uda.training.teacher import agreed
from uda.training.texture import TextureTeacher


@pytest.mark.parametrize(
    ("skill", "trust"),
    [(-0.1, 0), (0.3, 0), (0.45, 0.5), (0.6, 1), (1.0, 1), (None, 0)],
)
def test_trust_rises_with_skill(skill, trust):
    assert trust_of(skill) == pytest.approx(trust)


def _teacher(features, targets, groups, names):
    """A teacher of given features: what reads pixels is not asked here."""
    count = len(targets)
    teacher = object.__new__(TextureTeacher)
    teacher.parts = SimpleNamespace(
        targets=np.array(targets), groups=tuple(groups), labeled=np.arange(count),
        fine=np.arange(count), classes=("a", "b", "c"),
        ids=lambda rows: [names[int(row)] for row in rows],
    )  # fmt: skip
    teacher.features, teacher.place = np.array(features), np.arange(count)
    return teacher


def test_copies_of_the_same_parts_buy_no_trust():
    rng = np.random.default_rng(5)
    targets = np.repeat(np.arange(3), (6, 8, 12))
    features = rng.normal(targets[:, None] * 0.6, 1.0, (len(targets), 8))
    names = [f"{t}/{i:02d}.png" for i, t in enumerate(targets)]
    plain = _teacher(features, targets, names, names).skill(3)
    assert 0 < plain < 1
    rows = [(name, i) for i, name in enumerate(names)]
    rows += [
        (f"0/{i % 6:02d}.aug{i:05d}.png", i % 6) for i in range(94)
    ] + [(f"1/{i + 6:02d}.aug{i:05d}.png", i + 6) for i in range(5)]  # fmt: skip
    rows.sort()  # as in the pool: a copy comes before its source
    source = [i for _, i in rows]
    noise = rng.normal(0, 0.01, (len(rows), 8))
    copied = _teacher(
        features[source] + noise * [[".aug" in name] for name, _ in rows],
        targets[source], [names[i] for i in source], [name for name, _ in rows],
    )  # fmt: skip
    assert copied.skill(3) == plain


def test_standard_error_of_balanced_accuracy(quick, monkeypatch):
    seen = {}
    plain = guard.balanced_accuracy

    def spy(trainer, model):
        accuracy, error = plain(trainer, model)
        predictions = guard.validation_predictions(trainer, model)
        right = predictions.predicted == predictions.targets
        variances = []
        for label in range(3):
            hits = right[predictions.targets == label]
            shrunk = (hits.sum() + 1) / (len(hits) + 2)
            variances.append(shrunk * (1 - shrunk) / len(hits))
        seen["error"] = error, np.sqrt(sum(variances)) / 3
        seen["accuracy"] = (
            accuracy,
            balanced_accuracy_score(predictions.targets, predictions.predicted),
        )
        return accuracy, error

    monkeypatch.setattr(guard, "balanced_accuracy", spy)
    folder, _ = quick()
    assert seen["error"][0] == pytest.approx(seen["error"][1])
    assert seen["accuracy"][0] == pytest.approx(seen["accuracy"][1])
    status = json.loads((folder / "status.json").read_text())
    assert status["warm_start"]["balanced_accuracy"] == pytest.approx(
        seen["accuracy"][0]
    )


@pytest.mark.parametrize(("final", "handed"), [(0.1, "warm start"), (0.99, "final")])
def test_a_worse_end_hands_over_the_warm_start(quick, monkeypatch, final, handed):
    monkeypatch.setattr(guard, "balanced_accuracy", lambda *_: (0.9, 0.05))
    plain = loop.evaluate_state
    monkeypatch.setattr(
        loop,
        "evaluate_state",
        lambda trainer: {**plain(trainer), "val_ema/balanced_accuracy": final},
    )
    folder, summary = quick()
    status = json.loads((folder / "status.json").read_text())
    assert status["handed_over"] == handed
    # No number of the weights that are not handed over goes along.
    assert ("val_ema/macro_f1" in summary.metrics) == (handed == "final")
    assert "val/macro_f1" in summary.metrics
    weights = folder / "weights"
    warm = (weights / "warm.safetensors").read_bytes()
    assert ((weights / "ema.safetensors").read_bytes() == warm) == (
        handed == "warm start"
    )


def test_labels_that_carry_nothing_switch_the_branch_off(quick, monkeypatch):
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: 0.1)
    folder, _ = quick({"consistency.texture_weight": 0.5})
    status = json.loads((folder / "status.json").read_text())
    assert status["trust"] == 0
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(line.get("unlabeled/weight", 0) == 0 for line in lines)


@pytest.mark.parametrize(("texture", "alone"), [(1.0, 1.0), (0.0, 0.0)])
def test_the_better_of_two_on_validation_names_the_targets(
    quick, monkeypatch, texture, alone
):
    """Texture alone where it is ahead of the network, else what both say."""
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: 0.9)
    monkeypatch.setattr(targets, "opinion_accuracy", lambda *_: texture)
    seen = []
    plain = targets._agreed

    def spy(trainer, table, accuracy):
        found = plain(trainer, table, accuracy)
        seen.append((table.clone(), trainer.opinion.clone(), found.clone()))
        return found

    monkeypatch.setattr(targets, "_agreed", spy)
    folder, _ = quick({"consistency.texture_weight": 0.5})
    assert seen
    for table, opinion, found in seen:
        expected = opinion if alone else agreed(table, opinion, 0.5)
        assert torch.equal(found, expected)
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    told = [
        x["unlabeled/texture_alone"] for x in lines if "unlabeled/texture_alone" in x
    ]
    assert set(told) == {alone}


def test_the_opinion_is_judged_as_the_network_is(quick, monkeypatch):
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: 0.9)
    seen = []
    plain = guard.opinion_accuracy

    def spy(trainer):
        found = plain(trainer)
        rows = trainer.parts.validation
        named = trainer.opinion[rows].argmax(1).numpy()
        seen.append(
            (found, balanced_accuracy_score(trainer.parts.validation_targets, named))
        )
        return found

    monkeypatch.setattr(targets, "opinion_accuracy", spy)
    quick({"consistency.texture_weight": 0.5})
    assert seen
    assert all(one == pytest.approx(two) for one, two in seen)


def test_the_teacher_trains_itself_only_on_labels_that_carry(quick, monkeypatch):
    asked = []
    plain = TextureTeacher.table

    def spy(self, *, self_training):
        asked.append(self_training)
        return plain(self, self_training=self_training)

    monkeypatch.setattr(TextureTeacher, "table", spy)
    for skill in (0.9, 0.45):
        monkeypatch.setattr(TextureTeacher, "skill", lambda *_, skill=skill: skill)
        quick({"consistency.texture_weight": 0.5})
    assert asked == [True, False]


@pytest.mark.parametrize(
    ("skill", "final", "handed"),
    [
        (0.9, 0.1, "texture"),
        (0.9, 0.95, "final"),  # behind by less than the standard error
        (0.1, 0.95, "texture"),  # the labels carry nothing: by anything
        (0.1, 1.0, "final"),
    ],
)
def test_a_network_behind_texture_hands_over_texture(
    quick, monkeypatch, skill, final, handed
):
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: skill)
    monkeypatch.setattr(guard, "balanced_accuracy", lambda *_: (0.0, 0.1))
    sure = {"val_ema/balanced_accuracy": 1.0, "val_ema/macro_f1": 1.0}
    monkeypatch.setattr(guard, "baseline_metrics", lambda *_: dict(sure))
    plain = loop.evaluate_state
    monkeypatch.setattr(
        loop,
        "evaluate_state",
        lambda trainer: {**plain(trainer), "val_ema/balanced_accuracy": final},
    )
    folder, summary = quick({"consistency.texture_weight": 0.5})
    status = json.loads((folder / "status.json").read_text())
    assert status["handed_over"] == handed
    assert status["texture_accuracy"] == 1.0
    bundle = load_bundle(folder)
    assert bundle.kind == ("texture" if handed == "texture" else "network")
    if handed == "texture":
        assert summary.metrics["val_ema/balanced_accuracy"] == 1.0
        size = bundle.preprocessing.size
        images = torch.zeros(2, 1, *size, dtype=torch.uint8)
        assert bundle.model(images).leaf.shape == (2, 3)
        assert bundle.classes == ("Good", "Rust", "Scratch")
