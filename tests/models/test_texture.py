"""The texture baseline: equals scikit-learn, round trip, separates textures."""

from __future__ import annotations

import csv
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from uda.data.images import fit, read_image
from uda.errors import CheckpointError, DataError
from uda.models.deviation import NUM_MAPS, PER_MAP, Typical
from uda.models.texture import (
    TextureClassifier,
    TextureModel,
    described,
    texture_features,
)


def features(num=60, size=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % classes
    return rng.normal(size=(num, size)) + 0.7 * labels[:, None], labels


@pytest.mark.parametrize("classes", [2, 3])
def test_equals_scikit_learn(classes):
    table, labels = features(classes=classes)
    found = TextureClassifier.fit(table, labels, classes, regularisation=0.3)
    unit = np.clip((table - table.mean(axis=0)) / table.std(axis=0), -3, 3)
    model = LogisticRegression(C=0.3, class_weight="balanced", max_iter=5000)
    expected = model.fit(unit, labels).predict_log_proba(unit)
    assert found.predict_log_proba(table) == pytest.approx(expected, abs=1e-5)


def test_a_class_without_labels_keeps_its_column():
    table, labels = features(classes=2)
    found = TextureClassifier.fit(table, labels * 2, 4)  # classes 0 and 2 of 4
    log_probs = found.predict_log_proba(table)
    assert log_probs.shape == (60, 4)
    assert set(log_probs.argmax(axis=1)) == {0, 2}
    assert np.isfinite(log_probs).all()
    assert np.exp(log_probs).sum(axis=1) == pytest.approx(np.ones(60))


def test_one_class_is_refused():
    with pytest.raises(DataError, match="two classes"):
        TextureClassifier.fit(np.zeros((3, 2)), [1, 1, 1], 2)


def test_round_trip_without_pickle(tmp_path):
    table, labels = features()
    found = TextureClassifier.fit(table, labels, 3)
    path = tmp_path / "texture.npz"
    found.save(path)
    again = TextureClassifier.load(path)
    assert np.array_equal(
        again.predict_log_proba(table), found.predict_log_proba(table)
    )
    with np.load(path, allow_pickle=False) as stored:
        assert all(stored[key].dtype != object for key in stored)


def test_deviations_alone_are_kept_with_what_they_are_from(tmp_path):
    rng = np.random.default_rng(8)
    images = rng.integers(0, 256, (12, 24, 20, 1), dtype=np.uint8)
    typical = Typical.of(images)
    features = described(images, typical, texture=False)
    assert features.shape == (12, NUM_MAPS * PER_MAP)
    found = TextureClassifier.fit(features, np.arange(12) % 2, 2)
    found = replace(found, typical=typical, texture=False)
    found.save(tmp_path / "t.npz")
    loaded = TextureClassifier.load(tmp_path / "t.npz")
    assert not loaded.texture
    assert loaded.size_of((48, 40)) == (24, 20)
    assert replace(loaded, texture=True).size_of((48, 40)) == (48, 40)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    np.testing.assert_allclose(
        TextureModel(loaded)(pixels).leaf, found.predict_log_proba(features), atol=1e-5
    )
    replace(found, typical=None).save(tmp_path / "nothing.npz")
    with pytest.raises(CheckpointError, match="nothing is described"):
        TextureClassifier.load(tmp_path / "nothing.npz")


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "texture.npz"
    for content in (b"", b"PK\x03\x04", b"text"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"texture\.npz"):
            TextureClassifier.load(path)
    table, labels = features()
    found = TextureClassifier.fit(table, labels, 3)
    shapes = {"mean": found.mean[:2], "scale": found.scale}
    np.savez(path, version=2, weights=found.weights, bias=found.bias, **shapes)
    with pytest.raises(CheckpointError, match="do not fit"):
        TextureClassifier.load(path)
    np.savez(path, version=99)
    with pytest.raises(CheckpointError, match="version 99"):
        TextureClassifier.load(path)
    with pytest.raises(CheckpointError):
        TextureClassifier.load(tmp_path / "none.npz")


def test_other_image_sizes_are_refused():
    table, labels = features()
    found = TextureClassifier.fit(table, labels, 3)
    with pytest.raises(DataError, match="image size or the number of channels"):
        found.predict_log_proba(table[:, :4])


def stripes(num, period, seed):
    """Noisy stripes; the phase is random, the period is the class."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (num, 1, 1, 1))
    wave = np.sin(2 * np.pi * np.arange(32) / period + phase.reshape(-1, 1))
    image = 128 + 40 * wave[:, None, :, None] + rng.normal(0, 20, (num, 32, 32, 1))
    return np.clip(image, 0, 255).astype(np.uint8)


def test_tells_textures_apart_and_answers_like_a_network():
    train = np.concatenate([stripes(6, 4, 0), stripes(6, 8, 1)])
    test = np.concatenate([stripes(20, 4, 2), stripes(20, 8, 3)])
    classifier = TextureClassifier.fit(texture_features(train), [0] * 6 + [1] * 6, 2)
    pixels = torch.from_numpy(test).permute(0, 3, 1, 2)
    leaf = TextureModel(classifier)(pixels).leaf
    assert leaf.dtype == torch.float32
    assert (leaf.argmax(dim=1).numpy() == [0] * 20 + [1] * 20).mean() > 0.95
    assert torch.logsumexp(leaf, dim=1).numpy() == pytest.approx(np.zeros(40), abs=1e-5)


@pytest.mark.slow
def test_beats_chance_by_far_on_a_grouped_part_of_real_steel(real_data):
    """Five labels per class of other photos; only the training part is read."""
    with (real_data / "neu" / "manifest.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "train"]
    classes = sorted({row["label"] for row in rows})
    held_out = {group for row in rows if int((group := row["group"])[1:]) % 3 == 0}
    labeled, validation = [], []
    taken: set[tuple[str, str]] = set()
    for row in rows:
        if row["group"] in held_out:
            validation.append(row)
        elif (
            sum(label == row["label"] for label, _ in taken) < 5
            and (row["label"], row["group"]) not in taken
        ):
            taken.add((row["label"], row["group"]))
            labeled.append(row)

    def described(part):
        images = [
            fit(read_image(real_data / "neu" / row["path"], channels=1), (64, 64))
            for row in part
        ]
        targets = np.array([classes.index(row["label"]) for row in part])
        return texture_features(np.stack(images)), targets

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier = TextureClassifier.fit(*described(labeled), len(classes))
    table, targets = described(validation)
    right = classifier.predict_log_proba(table).argmax(axis=1) == targets
    recall = [right[targets == c].mean() for c in range(len(classes))]
    assert np.mean(recall) > 0.75


def blobs(num, seed):
    """Three classes in eight dimensions, far more of the first than of the last."""
    draw = np.random.default_rng(seed)
    sizes = [num, num // 2, num // 6]
    targets = np.repeat(np.arange(3), sizes)
    centres = np.random.default_rng(9).normal(0, 1.1, (3, 8))
    return draw.normal(0, 1, (len(targets), 8)) + centres[targets], targets


def test_self_training_equals_its_description_round_by_round():
    features, labels = blobs(12, 0)
    pool, _ = blobs(60, 1)
    found = TextureClassifier.self_trained(features, labels, pool, 3)
    model = TextureClassifier.fit(features, labels, 3)
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        probs = np.exp(model.predict_log_proba(pool))
        rows, named = list(features), list(labels)
        for k in range(3):
            mine = [i for i in range(len(pool)) if probs[i].argmax() == k]
            mine.sort(key=lambda i: -probs[i].max())
            for i in mine[: round(share * len(mine))]:
                rows.append(pool[i])
                named.append(k)
        model = TextureClassifier.fit(np.array(rows), named, 3)
    np.testing.assert_allclose(
        found.predict_log_proba(pool), model.predict_log_proba(pool), atol=1e-3
    )


def test_self_training_helps_where_classes_are_clusters():
    gains = []
    for seed in range(8):
        features, labels = blobs(12, seed)
        pool, _ = blobs(300, 100 + seed)
        asked, true = blobs(300, 200 + seed)
        for learner in (
            TextureClassifier.fit(features, labels, 3),
            TextureClassifier.self_trained(features, labels, pool, 3),
        ):
            right = learner.predict_log_proba(asked).argmax(1) == true
            gains.append(np.mean([right[true == k].mean() for k in range(3)]))
    gain = np.array(gains[1::2]) - np.array(gains[::2])
    assert gain.mean() > 0


def test_without_unlabelled_images_self_training_is_the_fit():
    features, labels = blobs(12, 0)
    one = TextureClassifier.self_trained(features, labels, features[:0], 3)
    two = TextureClassifier.fit(features, labels, 3)
    np.testing.assert_array_equal(one.weights, two.weights)
