"""The two guards against harm by unlabelled images."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from sklearn.metrics import balanced_accuracy_score, f1_score

from uda.cli import main
from uda.data.splits import Split
from uda.errors import UsageError
from uda.evaluation.predict import Predictions
from uda.models.texture import TextureClassifier
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


@pytest.mark.parametrize(
    ("final", "handed"),
    [(0.1, "warm start"), (0.849, "warm start"), (0.851, "final"), (0.99, "final")],
)
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
    # And what was handed over can be opened: the sum beside it is its own.
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    first, second = (
        load_bundle(folder, weights=name).model(images).leaf for name in ("ema", "warm")
    )
    assert torch.equal(first, second) == (handed == "warm start")


def test_labels_that_carry_nothing_switch_the_branch_off(quick, monkeypatch):
    made, step = [], loop.training_step

    def watched(state, batches, *more):
        made.extend((batch.weak, batch.strong) for batch in batches)
        return step(state, batches, *more)

    monkeypatch.setattr(loop, "training_step", watched)
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: 0.1)
    folder, _ = quick({"consistency.texture_weight": 0.5})
    status = json.loads((folder / "status.json").read_text())
    assert status["trust"] == 0
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["unlabeled/weight"] for line in lines if "loss/total" in line]
    assert all(line.get("unlabeled/weight", 0) == 0 for line in lines)
    assert made == [(None, None)] * 6  # no view is made that nobody needs


@pytest.mark.parametrize(("texture", "alone"), [(1.0, 1.0), (0.0, 0.0)])
def test_the_better_of_two_on_validation_names_the_targets(
    quick, monkeypatch, texture, alone
):
    """Texture alone where it is ahead of the network, else what both say."""
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: 0.9)
    told = {"val_ema/balanced_accuracy": texture}
    monkeypatch.setattr(targets, "opinion_metrics", lambda *_: told)
    seen = []
    plain = targets._agreed

    def spy(trainer, table, *more, **flags):
        found, alone = plain(trainer, table, *more, **flags)
        seen.append((table.clone(), trainer.opinion.clone(), found.clone()))
        return found, alone

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


def test_texture_is_compared_with_the_network_that_names_the_targets(
    quick, monkeypatch
):
    """Not with its post-hoc adjusted answers, which are in no target."""
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: 0.9)
    monkeypatch.setattr(
        "uda.training.served.sampling_prior", lambda *_: (0.8, 0.15, 0.05)
    )
    plain, looked, seen = targets.balanced_accuracy, targets.watch.look, []

    def judged(trainer, model):
        adjusted = bool(model.logit_offset.any())
        plain(trainer, model)
        return (0.8 if adjusted else 0.6), 0.1

    def spy(trainer, accuracy, *more):
        seen.append((trainer.health["unlabeled/texture_alone"], accuracy))
        looked(trainer, accuracy, *more)

    told = {"val_ema/balanced_accuracy": 0.75}
    monkeypatch.setattr(targets, "opinion_metrics", lambda *_: told)
    monkeypatch.setattr(targets, "balanced_accuracy", judged)
    monkeypatch.setattr(targets.watch, "look", spy)
    quick(
        {
            "consistency.texture_weight": 0.5,
            "supervised.sampling_power": 1.0,
            "supervised.logit_adjustment": "post-hoc",
        }
    )
    assert set(seen) == {(1.0, 0.8)}


def test_the_opinion_is_judged_as_the_network_is(quick, monkeypatch):
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: 0.9)
    seen = []
    plain = guard.opinion_metrics

    def spy(trainer, opinion=None):
        found = plain(trainer, opinion)
        rows = trainer.parts.validation
        named = trainer.opinion[rows].argmax(1).numpy()
        true = trainer.parts.validation_targets
        seen.append((found, balanced_accuracy_score(true, named)))
        seen[-1] += (f1_score(true, named, average="macro"),)
        return found

    monkeypatch.setattr(targets, "opinion_metrics", spy)
    quick({"consistency.texture_weight": 0.5})
    assert seen
    for found, accuracy, f1 in seen:
        assert found["val_ema/balanced_accuracy"] == pytest.approx(accuracy)
        assert found["val_ema/macro_f1"] == pytest.approx(f1)


def test_the_teacher_trains_itself_only_on_labels_that_carry(quick, monkeypatch):
    asked = []
    plain = TextureClassifier.self_trained.__func__

    def spy(cls, features, labels, unlabeled, num, *, regularisation):
        asked.append((len(unlabeled) > 0, regularisation))
        return plain(
            cls, features, labels, unlabeled, num, regularisation=regularisation
        )

    monkeypatch.setattr(TextureClassifier, "self_trained", classmethod(spy))
    for skill in (0.9, 0.45, 0.1):
        monkeypatch.setattr(TextureTeacher, "skill", lambda *_, skill=skill: skill)
        quick({"consistency.texture_weight": 0.5})
    assert asked == [(True, 0.1), (False, 0.1), (False, 0.02)]


@pytest.mark.parametrize("tiles", [None, (2, 2)])
def test_images_in_tiles_keep_their_texture(quick, monkeypatch, tiles):
    monkeypatch.setattr("uda.training.described.FRAMED", -1)
    seen = []
    plain = loop.texture_teacher
    monkeypatch.setattr(
        loop, "texture_teacher", lambda *words: seen.append(plain(*words)) or seen[-1]
    )
    keys = {} if tiles is None else {"data.tiles": tiles, "data.background": "Good"}
    quick({"consistency.texture_weight": 0.5, **keys})
    assert [teacher.texture for teacher in seen] == [tiles is not None]


def test_an_error_over_groups_counts_each_group_once():
    rng = np.random.default_rng(6)
    targets, right = rng.integers(0, 3, 60), rng.random(60) < 0.7
    alone = guard.grouped_error(targets, right, [str(i) for i in range(60)])
    classes = [right[targets == k] for k in range(3)]
    # Each image by itself: the binomial error, but for a factor of N / (N - 1).
    expected = np.sqrt(sum(c.mean() * (1 - c.mean()) / len(c) for c in classes)) / 3
    assert alone == pytest.approx(expected * np.sqrt(60 / 59))
    copied = guard.grouped_error(
        np.repeat(targets, 7), np.repeat(right, 7), np.repeat(np.arange(60), 7)
    )
    assert copied == pytest.approx(alone)  # copies are no evidence


def test_an_error_over_groups_against_drawing_whole_groups():
    rng = np.random.default_rng(9)
    groups = np.repeat(np.arange(50), 8)
    targets = rng.integers(0, 3, 400)
    # A group is easy or hard as a whole.
    right = rng.random(400) < np.repeat(rng.beta(1, 1, 50), 8)
    drawn = []
    for _ in range(2000):
        rows = np.concatenate(
            [np.flatnonzero(groups == g) for g in rng.integers(0, 50, 50)]
        )
        drawn.append(
            np.mean([right[rows][targets[rows] == k].mean() for k in range(3)])
        )
    found = guard.grouped_error(targets, right, [str(g) for g in groups])
    assert found == pytest.approx(np.std(drawn), rel=0.15)


def test_a_class_of_one_group_is_as_uncertain_as_one_image():
    targets, groups = np.repeat([0, 1, 2], 6), np.repeat(["a", "b", "c"], 6)
    found = guard.grouped_error(targets, targets < 2, groups)
    # Laplace: 2 of 3, 2 of 3 and 1 of 3.
    assert found == pytest.approx(np.sqrt(3 * 2 / 9) / 3)
    one = guard.grouped_error(targets, targets < 2, ["one"] * 18)
    assert one == pytest.approx(found)


@pytest.mark.parametrize("skill", [0.1, 0.5, 0.9])
def test_without_full_trust_the_error_is_over_groups(quick, monkeypatch, skill):
    monkeypatch.setattr(TextureTeacher, "skill", lambda *_: skill)
    monkeypatch.setattr(guard, "grouped_error", lambda *_: 0.75)
    seen = []
    plain = guard.opinion_metrics
    monkeypatch.setattr(
        guard,
        "opinion_metrics",
        lambda trainer: seen.append(plain(trainer)) or dict(seen[-1]),
    )
    quick({"consistency.texture_weight": 0.5})
    (found,) = seen
    assert (found["standard_error"] == 0.75) == (skill < 0.9)


@pytest.mark.parametrize(
    ("skill", "final", "texture", "handed"),
    [
        (0.9, 0.1, 0.9, "texture"),
        (0.9, 0.8, 0.85, "final"),  # ahead by less than the standard error
        (0.1, 0.8, 0.75, "texture"),  # no trust: the network has to be ahead
        (0.1, 0.9, 0.75, "final"),
        (0.5, 0.8, 0.75, "texture"),  # with half of it too
        (0.5, 0.9, 0.75, "final"),
    ],
)
def test_a_network_behind_texture_hands_over_texture(
    quick, monkeypatch, skill, final, texture, handed
):
    monkeypatch.setattr(TextureTeacher, "skill", lambda *_: skill)
    sure = {"balanced_accuracy": texture, "macro_f1": texture}
    told = {f"val_ema/{key}": value for key, value in sure.items()}
    monkeypatch.setattr(
        guard, "opinion_metrics", lambda *_: {**told, "standard_error": 0.1}
    )
    plain = loop.evaluate_state
    monkeypatch.setattr(
        loop,
        "evaluate_state",
        lambda trainer: {**plain(trainer), "val_ema/balanced_accuracy": final},
    )
    folder, summary = quick({"consistency.texture_weight": 0.5})
    status = json.loads((folder / "status.json").read_text())
    assert status["handed_over"] == handed
    assert status["texture_accuracy"] == texture
    assert load_bundle(folder).kind == ("texture" if handed == "texture" else "network")
    expected = texture if handed == "texture" else final
    assert summary.metrics["val_ema/balanced_accuracy"] == expected
    if handed != "texture":
        with pytest.raises(UsageError, match="does not hand over a texture teacher"):
            load_bundle(folder, weights="network")
        return
    # The network that stays behind is whole, and can be judged and shipped.
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    found = load_bundle(folder, weights="network")
    assert found.kind == "network"
    saved = load_file(folder / "weights" / "ema.safetensors")
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, saved[name]), name
    words = [str(folder), "--weights", "network"]
    done = CliRunner().invoke(main, ["evaluate", *words])
    assert done.exit_code == 0, done.output
    table = folder / "evaluation" / "test-network" / "predictions.npz"
    answers = Predictions.load(table)
    assert len(answers.ids) == len(Split.load(folder / "split.csv").part("test"))
    assert not (folder / "evaluation" / "test").exists()
    done = CliRunner().invoke(main, ["export", *words, "--format", "safetensors"])
    assert done.exit_code == 0, done.output
    kept = load_file(folder / "export" / "safetensors" / "model.safetensors")
    assert set(kept) == set(saved)
    assert torch.isfinite(found.model(images).leaf).all()


@pytest.mark.parametrize("alike", [False, True])
def test_what_is_handed_over_answers_as_the_teacher_did(
    quick, surfaces, monkeypatch, alike
):
    """Loaded again and asked from files, at the texture's size."""
    if alike:
        monkeypatch.setattr("uda.training.described.FRAMED", -1)
    monkeypatch.setattr(TextureTeacher, "skill", lambda *_: 0.9)
    seen = {}
    plain = guard.hand_over_texture

    def spy(trainer, metrics):
        rows = trainer.parts.validation
        seen["wanted"] = trainer.opinion[rows].numpy()
        seen["images"] = np.array(trainer.parts.texture_pool.images[rows])
        seen["ids"] = trainer.parts.ids(rows)
        return plain(trainer, {**metrics, "val_ema/balanced_accuracy": -1.0})

    monkeypatch.setattr(guard, "hand_over_texture", spy)
    folder, _ = quick({"consistency.texture_weight": 0.5})
    bundle = load_bundle(folder)
    assert bundle.kind == "texture"
    assert bundle.model.classifier.texture != alike
    images = torch.from_numpy(seen["images"]).permute(0, 3, 1, 2)
    found = bundle.model(images).leaf.numpy()
    np.testing.assert_allclose(found, seen["wanted"], atol=1e-3)
    assert bundle.preprocessing.size == tuple(seen["images"].shape[1:3]) != (16, 16)
    for command in ("evaluate", "predict"):
        words = [str(folder)]
        if command == "predict":
            words += [str(surfaces / "more"), "--out", str(folder / "p.csv")]
        result = CliRunner().invoke(main, [command, *words])
        assert result.exit_code == 0, result.output
