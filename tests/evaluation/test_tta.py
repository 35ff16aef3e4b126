"""Views against torch, the mean against a loop, and answers that turn with nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from tests.support.surfaces import CLASSES
from uda.augment.kernels import render
from uda.augment.policy import load_policy
from uda.data.preprocessing import Preprocessing
from uda.errors import DataError, UsageError
from uda.evaluation.decision import DecisionRule
from uda.evaluation.predict import Predictions, predict_pool
from uda.evaluation.tta import (
    NO_TTA,
    SCALES,
    content_numbers,
    keep_policy,
    parse_tta,
    same_tta,
)
from uda.evaluation.tta import tta_of as of_run
from uda.models.classifier import ModelSpec, build_classifier
from uda.models.heads import Outputs
from uda.models.texture import TextureClassifier, TextureModel, texture_features
from uda.models.tiles import Tiling
from uda.run.bundle import Bundle
from uda.run.layout import RunFolder

POLICY = """\
name: mine
ops:
  - {op: Brightness, low: 0.5, high: 1.5}
  - {op: Rotate, low: 1, high: 30}
count: 1
"""


def prepared(size=(12, 12), channels=1):
    return Preprocessing(
        size, channels, "squash", None, (0.5,) * channels, (0.2,) * channels
    )


def photos(num=5, size=(12, 12), channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num, *size, channels), dtype=np.uint8)


def network(size=(12, 12), channels=1, seed=0, **changes):
    mean, std = (0.5,) * channels, (0.2,) * channels
    spec = ModelSpec("small", CLASSES, channels, mean, std, **changes)
    model = build_classifier(spec, seed=seed)
    with torch.no_grad():  # an untrained network hardly tells images apart
        for parameter in model.head.parameters():
            parameter.mul_(30)
    return model.eval()


def bundle(model, size=(12, 12), kind="network", channels=1):
    return Bundle(kind, model, CLASSES, prepared(size, channels), Path("runs/x"))


def asked(model, images, tta=NO_TTA, batch=64):
    return predict_pool(
        model, images, range(len(images)), ids=[""] * len(images), classes=CLASSES,
        tta=tta, batch=batch,
    )  # fmt: skip


# --- views ----------------------------------------------------------------------


@given(
    height=st.integers(1, 6), width=st.integers(1, 6), channels=st.sampled_from([1, 3])
)
def test_flips_are_torchs(height, width, channels):
    images = photos(2, (height, width), channels)
    found = [
        view(images) for view in parse_tta("flips", prepared((height, width))).views
    ]
    tensor = torch.from_numpy(images)
    expected = [tensor, tensor.flip(2), tensor.flip(1), tensor.flip(1, 2)]
    assert len(found) == 4
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other.numpy())
        assert one.flags.c_contiguous


@given(side=st.integers(1, 6), channels=st.sampled_from([1, 3]))
def test_d4_is_every_turn_of_both_sides(side, channels):
    images = photos(2, (side, side), channels)
    found = [view(images) for view in parse_tta("d4", prepared((side, side))).views]
    tensor = torch.from_numpy(images)
    expected = [
        torch.rot90(base, turns, (1, 2))
        for base in (tensor, tensor.flip(2))
        for turns in range(4)
    ]
    assert len(found) == 8
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other.numpy())
    if side > 2:
        assert len({view.tobytes() for view in found}) == 8


def test_scales_resize_the_whole_image_as_pillow_does():
    images = photos(2, (20, 10))
    found = [view(images) for view in parse_tta("scales", prepared((20, 10))).views]
    assert [view.shape[1:3] for view in found] == [(20, 10), (18, 9), (22, 11)]
    assert SCALES[0] == 1.0
    assert np.array_equal(found[0], images)
    for view, size in zip(found[1:], [(9, 18), (11, 22)], strict=True):
        pillow = Image.fromarray(images[0, :, :, 0]).resize(
            size, Image.Resampling.BILINEAR
        )
        assert np.array_equal(view[0, :, :, 0], np.asarray(pillow))


def test_no_images_have_no_views():
    for text in ("flips", "d4", "scales", "defect-safe:2"):
        for view in parse_tta(text, prepared()).views:
            assert len(view(photos(0))) == 0


def test_d4_of_a_shape_that_is_not_square_is_refused():
    with pytest.raises(UsageError, match=r"12x16 pixels are not square; take --tta fl"):
        parse_tta("d4", prepared((12, 16)))


# --- policies -------------------------------------------------------------------


def test_a_policy_is_drawn_from_the_pixels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(POLICY)
    tta = parse_tta("mine.yaml:3", prepared())
    policy = load_policy("mine.yaml")
    assert tta.label == f"mine.yaml:3@{policy.fingerprint()[:12]}"
    images = photos(4)
    for number, view in enumerate(tta.views):
        expected = render(
            policy, images, seed=0, stream=f"tta-{number}",
            counters=content_numbers(images), fill=[128],
        )  # fmt: skip
        assert np.array_equal(view(images), expected)
        assert np.array_equal(view(images[[2]])[0], expected[2])
    assert not np.array_equal(tta.views[0](images), tta.views[1](images))
    assert len(parse_tta("mine.yaml", prepared()).views) == 8


def test_a_policy_that_changed_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(POLICY)
    label = parse_tta(f"{path}:2", prepared()).label
    assert label.startswith("mine.yaml:2@")
    assert parse_tta(label, prepared()).label == label
    path.write_text(POLICY.replace("30", "29"))
    with pytest.raises(UsageError, match="has changed since"):
        parse_tta(label, prepared())


@pytest.mark.parametrize("name", ["mine.yaml", "mine"])
def test_a_run_keeps_the_policy_of_its_rule(tmp_path, monkeypatch, name):
    folder, run = tmp_path / "here", RunFolder(tmp_path / "run")
    path = folder / "policies" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(POLICY)
    monkeypatch.chdir(folder)
    text = f"policies/{name}:2" if path.suffix in name else f"{name}:2"
    tta = parse_tta(text, prepared())
    keep_policy(tta, run)
    path.unlink()
    with pytest.raises(UsageError, match="no policy"):
        parse_tta(tta.label, prepared())
    kept = parse_tta(tta.label, prepared(), run.policies)
    assert kept.label == tta.label
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    for one, other in zip(kept.views, tta.views, strict=True):
        np.testing.assert_array_equal(one(images), other(images))
    keep_policy(kept, run)  # fitted again from the run's own copy


def test_labels_that_mean_the_same():
    assert same_tta("flips", "flips")
    assert not same_tta("flips", "d4")
    assert same_tta("a.yaml:8@0123456789ab", "dir/a.yaml:8@0123456789ab")
    assert not same_tta("a:8@0123456789ab", "a:7@0123456789ab")
    assert not same_tta("a:8@0123456789ab", "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip", "did you mean 'flips'"),
        ("defect-safe:0", "asks for no view"),
        ("", "none of none, flips, d4, scales"),
        ("gone.yaml", "no such policy file"),
    ],
)
def test_words_that_mean_nothing(text, message):
    with pytest.raises(UsageError, match=message):
        parse_tta(text, prepared())


def test_content_numbers_follow_the_pixels():
    images = photos(3)
    numbers = content_numbers(images)
    assert (numbers >= 0).all()
    assert len(set(numbers.tolist())) == 3
    assert content_numbers(images[::-1]).tolist() == numbers[::-1].tolist()


# --- answers --------------------------------------------------------------------

HEADS = {
    "softmax": {},
    "sigmoid": {"link": "sigmoid"},
    "tree": {
        "head": "tree",
        "tree": (("(all)", ("Good", "Defect")), ("Defect", ("Rust", "Scratch"))),
    },
    "tiles": {"tiles": Tiling(2, 2, "noisy-or", 0)},
}


WAYS = [
    (head, text)
    for head in HEADS
    for text in ("flips", "d4", "scales", "defect-safe:3")
    if (head, text) != ("tiles", "scales")  # refused below
]


@pytest.mark.parametrize(("head", "text"), WAYS)
def test_the_mean_of_a_literal_loop(head, text):
    model, images = network(**HEADS[head]), photos()
    tta = parse_tta(text, prepared())
    found = asked(model, images, tta, batch=2)
    total = np.zeros((len(images), len(CLASSES)))
    for view in tta.views:
        for row, image in enumerate(images):
            pixels = torch.from_numpy(view(image[None])).permute(0, 3, 1, 2)
            with torch.no_grad():
                logits = model(pixels).served[0].double()
            probs = logits.sigmoid() if found.several else logits.softmax(0)
            total[row] += probs.numpy() / len(tta.views)
    assert np.exp(found.log_probs) == pytest.approx(total, abs=1e-6)
    assert found.tta == tta.label
    plain = np.exp(asked(model, images).log_probs)
    assert np.abs(plain - total).max() > 1e-3  # the views do say something else


def test_none_is_the_plain_answer():
    model, images = network(), photos()
    tta = parse_tta("none", prepared())
    assert tta is NO_TTA
    assert asked(model, images).tta == "none"


@given(
    seed=st.integers(0, 99),
    axes=st.sampled_from([(1,), (2,), (1, 2)]),
    turns=st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_under_d4_an_image_may_lie_as_it_will(seed, axes, turns):
    images = photos(3, seed=seed)
    turned = np.ascontiguousarray(np.rot90(np.flip(images, axes), turns, axes=(1, 2)))
    model, tta = network(), parse_tta("d4", prepared())
    one, other = (np.exp(asked(model, x, tta).log_probs) for x in (images, turned))
    assert one == pytest.approx(other, abs=1e-6)


@given(batch=st.integers(1, 7), order=st.permutations(range(5)))
@settings(max_examples=15, deadline=None)
def test_neither_batch_size_nor_order_changes_an_answer(batch, order):
    model, images = network(), photos()
    for text in ("flips", "d4", "scales", "defect-safe:2"):
        tta = parse_tta(text, prepared())
        whole = asked(model, images, tta).log_probs
        parts = asked(model, images[list(order)], tta, batch=batch).log_probs
        assert parts == pytest.approx(whole[list(order)], abs=1e-5)


# --- what cannot be -------------------------------------------------------------


def test_texture_takes_all_but_other_sizes():
    images = photos(6, (24, 24))
    features = texture_features(images)
    model = TextureModel(TextureClassifier.fit(features, [0, 1, 2, 0, 1, 2], 3))
    run = bundle(model, (24, 24), "texture")
    for text in ("flips", "d4", "defect-safe:2"):
        tta = of_run(text, run)
        total = np.mean(
            [
                np.exp(model.classifier.predict_log_proba(texture_features(v(images))))
                for v in tta.views
            ],
            axis=0,
        )
        found = np.exp(asked(model, images, tta).log_probs)
        assert found == pytest.approx(total, abs=1e-6)
    with pytest.raises(UsageError, match="texture descriptors, which count pixels"):
        of_run("scales", run)


class OneSize(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(144, 3)

    def forward(self, images):
        return Outputs(leaf=self.linear(images.float().flatten(1)))


def test_other_sizes_are_refused_where_the_model_takes_one():
    assert len(of_run("scales", bundle(network())).views) == len(SCALES)
    with pytest.raises(UsageError, match="does not take images of 11x11 pixels"):
        of_run("scales", bundle(OneSize()))
    tiled = network(tiles=Tiling(2, 2, "max", 0))
    with pytest.raises(UsageError, match="tiles of one size"):
        of_run("scales", bundle(tiled))
    assert len(of_run("d4", bundle(tiled)).views) == 8


def test_answers_refuse_a_rule_of_other_views(tmp_path):
    rule = DecisionRule(CLASSES, temperature=2.0, tta="flips")
    logs = np.log(np.full((1, 3), 1 / 3, np.float32))
    unknown = np.array([-1])
    with pytest.raises(DataError, match=r"under --tta flips cannot.*under --tta none"):
        Predictions(["a"], unknown, logs, CLASSES, rule=rule)
    with pytest.raises(DataError, match=r"under --tta none cannot.*under --tta d4"):
        Predictions(["a"], unknown, logs, CLASSES, rule=DecisionRule(CLASSES), tta="d4")
    found = Predictions(["a"], unknown, logs, CLASSES, rule=rule, tta="flips")
    found.save(tmp_path / "p.npz")
    again = Predictions.load(tmp_path / "p.npz")
    assert (again.tta, again.rule) == ("flips", rule)
