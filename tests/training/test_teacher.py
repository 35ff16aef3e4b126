"""Clean statistics and the table of targets against direct computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from uda.models.classifier import ModelSpec, build_classifier
from uda.models.forward import ALL_FLIPS
from uda.training.teacher import (
    agreed,
    prediction_table,
    statistics_rows,
    under_prior,
    with_clean_statistics,
)

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)


@pytest.fixture
def model():
    spec = ModelSpec("small", ("a", "b", "c"), 1, (0.5,), (0.3,))
    return build_classifier(spec, seed=2).eval()


def test_statistics_are_those_of_the_images(model):
    rows = np.arange(30)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    clean = with_clean_statistics(model, IMAGES, rows)
    first = next(m for m in clean.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen = []
    pixels = torch.from_numpy(IMAGES[rows]).permute(0, 3, 1, 2)
    hook = first.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    clean.eval()(pixels)
    hook.remove()
    expected = seen[0].mean((0, 2, 3))
    torch.testing.assert_close(first.running_mean, expected, rtol=1e-4, atol=1e-5)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key  # the model itself is untouched


def test_a_lone_last_image_does_not_weigh_as_a_batch(model):
    """129 images are batches of 65 and 64; of 128 and 1, white would be half."""
    images = np.zeros((129, 16, 16, 1), np.uint8)
    images[-1] = 255
    found = with_clean_statistics(model, images, np.arange(129))
    seen = []
    first = next(m for m in found.modules() if isinstance(m, torch.nn.BatchNorm2d))
    hook = first.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    found(torch.from_numpy(images).permute(0, 3, 1, 2))
    hook.remove()
    exact, black = seen[0].mean((0, 2, 3)), seen[0][0].mean((1, 2))
    off = (first.running_mean - exact).abs().max()
    assert off < 0.05 * (exact - black).abs().max() < 0.05


def test_images_sorted_by_class_give_the_statistics_of_their_mixture():
    """Pools are sorted by path: batches of one class would vary far too little."""
    spec = ModelSpec("wrn-10-1", ("a", "b", "c"), 1, (0.5,), (0.3,))
    model = build_classifier(spec, seed=2).eval()
    dark = RNG.integers(0, 60, (400, 16, 16, 1), dtype=np.uint8)
    busy = RNG.integers(0, 256, (400, 16, 16, 1), dtype=np.uint8)
    images = np.concatenate([dark, busy])
    rows = statistics_rows(np.arange(800), 0)
    found = with_clean_statistics(model, images, rows)
    layers = [m for m in found.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    # The first layer's input does not depend on statistics: one batch of all is exact.
    seen = []
    hook = layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    found(torch.from_numpy(images[rows]).permute(0, 3, 1, 2))
    hook.remove()
    exact = seen[0].var((0, 2, 3))
    torch.testing.assert_close(layers[0].running_var, exact, rtol=0.03, atol=0)
    by_class = with_clean_statistics(model, images, np.sort(rows))
    first = next(m for m in by_class.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert (first.running_var / exact).min() < 0.5  # what sorted rows would give


def test_a_model_without_batch_norm_comes_back():
    plain = torch.nn.Linear(2, 2)
    assert with_clean_statistics(plain, IMAGES, np.arange(4)) is plain


def test_table_is_the_mean_over_flips(model):
    rows = np.array([5, 7, 39])
    table = prediction_table(model, IMAGES, rows, num_classes=3, flips=ALL_FLIPS).leaf
    for row in rows:
        image = IMAGES[row]
        flipped = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
        probs = [
            torch.softmax(
                model(torch.from_numpy(v.copy()).permute(2, 0, 1)[None]).leaf, 1
            )
            for v in flipped
        ]
        expected = torch.stack(probs).mean(0)[0]
        torch.testing.assert_close(table[row].exp(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(table[0].exp(), torch.full((3,), 1 / 3))


@pytest.mark.parametrize("weight", [0.3, 0.5, 1.0])
def test_agreement_averages_and_disagreement_knows_nothing(weight):
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3]])
    q = torch.tensor([[0.6, 0.1, 0.3], [0.7, 0.2, 0.1], [0.5, 0.3, 0.2]])
    found = agreed(p.log(), q.log(), weight).exp()
    for row in range(3):
        if p[row].argmax() == q[row].argmax():
            expected = (1 - weight) * p[row] + weight * q[row]
        else:
            expected = torch.full((3,), 1 / 3)
        torch.testing.assert_close(found[row], expected)


def test_the_sample_is_fixed_by_the_seed():
    rows = np.arange(5000)
    assert len(statistics_rows(rows, 0)) == 768
    np.testing.assert_array_equal(statistics_rows(rows, 0), statistics_rows(rows, 0))
    assert (statistics_rows(rows, 0) != statistics_rows(rows, 1)).any()
    few = statistics_rows(np.arange(100), 0)
    assert sorted(few) == list(range(100))
    assert (np.diff(few) < 0).any()  # a mixed order


def test_an_opinion_under_another_prior_is_bayes_rule():
    even = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], dtype=torch.float64)
    prior = (0.7, 0.2, 0.1)
    found = under_prior(even.log(), prior).exp()
    for row, wanted in zip(found.tolist(), even.tolist(), strict=True):
        mass = [q * p for q, p in zip(wanted, prior, strict=True)]
        assert row == pytest.approx([m / sum(mass) for m in mass])
    table = even.log()
    assert under_prior(table, (1 / 3, 1 / 3, 1 / 3)) is table
