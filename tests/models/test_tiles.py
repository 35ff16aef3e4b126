"""Tiles: cut where they lie, joined as the equations say, softmax for one tile."""

from __future__ import annotations

import math

import pytest
import torch

from uda.models.classifier import ModelSpec, build_classifier
from uda.models.heads import Outputs
from uda.models.tiles import Tiling, join_max, join_noisy_or, log_pairs

JOINS = {"max": join_max, "noisy-or": join_noisy_or}


def random_logits(*shape, scale=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(5)
    return scale * torch.randn(*shape, generator=generator, dtype=dtype)


def literal(tiles, good, join):
    """One image: a list of probability lists per tile -> list of probabilities."""
    classes = range(len(tiles[0]))
    if join == "max":
        score = [
            (min if c == good else max)(tile[c] for tile in tiles) for c in classes
        ]
        return [s / sum(score) for s in score]
    all_good = math.prod(tile[good] for tile in tiles)
    seen = [1 - math.prod(1 - tile[c] for tile in tiles) for c in classes]
    seen[good] = 0.0
    return [
        all_good if c == good else (1 - all_good) * seen[c] / sum(seen) for c in classes
    ]


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("good", [0, 3])
def test_joins_equal_the_literal_equations(join, good):
    logits = random_logits(6, 4, 5)
    found = JOINS[join](logits, good).softmax(1)
    for image, probs in zip(logits.softmax(2).tolist(), found, strict=True):
        assert probs.tolist() == pytest.approx(literal(image, good, join), abs=1e-12)


@pytest.mark.parametrize("join", JOINS)
def test_one_tile_is_the_plain_softmax(join):
    logits = random_logits(7, 1, 4)
    found = JOINS[join](logits, 2).softmax(1)
    torch.testing.assert_close(found, logits[:, 0].softmax(1), atol=1e-12, rtol=0)


def test_noisy_or_needs_no_normalising():
    leaf = join_noisy_or(random_logits(9, 6, 4), 1)
    torch.testing.assert_close(
        leaf.logsumexp(1), torch.zeros(9, dtype=torch.float64), atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("scale", [60.0, 400.0])
def test_very_sure_tiles_give_finite_answers_and_gradients(join, scale):
    logits = random_logits(20, 4, 3, scale=scale, dtype=torch.float32)
    logits.requires_grad_()
    leaf = JOINS[join](logits, 0)
    loss = torch.nn.functional.cross_entropy(leaf, torch.arange(20) % 3)
    loss.backward()
    assert torch.isfinite(leaf).all()
    assert torch.isfinite(logits.grad).all()


def test_gradients_equal_finite_differences():
    logits = random_logits(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: join_noisy_or(z, 1), (logits,))
    assert torch.autograd.gradcheck(lambda z: join_max(z, 1), (logits,))


def test_log_pairs_keep_small_numbers():
    logits = torch.tensor([[50.0, 0.0, 0.0]])
    log_p, log_not = log_pairs(logits)
    tail = 2 * math.exp(-50)
    assert log_p[0, 0].item() == pytest.approx(-tail, rel=1e-5)
    assert log_not[0, 0].item() == pytest.approx(math.log(tail), rel=1e-6)
    assert log_not[0, 1].item() == pytest.approx(-math.exp(-50), rel=1e-5)


def test_tiles_lie_where_they_were_cut():
    images = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    tiles = Tiling(2, 3, "max", 0).cut(images)
    assert tiles.shape == (12, 3, 2, 2)
    for image in range(2):
        for row in range(2):
            for column in range(3):
                place = image * 6 + row * 3 + column
                part = images[
                    image, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2
                ]
                assert torch.equal(tiles[place], part)
    with pytest.raises(ValueError, match="5x6 pixels"):
        Tiling(2, 3, "max", 0).cut(torch.zeros(1, 1, 5, 6))


def test_a_tiled_classifier_joins_what_it_says_to_each_tile():
    tiling = Tiling(2, 2, "noisy-or", 0)
    spec = ModelSpec("small", ("Good", "Rust", "Dent"), 1, (0.5,), (0.2,), tiles=tiling)
    again = ModelSpec.from_json(spec.to_json())
    assert again == spec
    model = build_classifier(again, seed=3).eval()
    images = torch.randint(
        0, 256, (3, 1, 32, 32), generator=torch.Generator().manual_seed(1)
    ).to(torch.uint8)
    plain = build_classifier(ModelSpec(**{**vars(spec), "tiles": None}), seed=3).eval()
    each = plain(tiling.cut(images)).leaf
    expected = tiling.joined(Outputs(each)).leaf
    torch.testing.assert_close(model(images).leaf, expected)
    model.logit_offset.copy_(torch.tensor([1.0, 0.0, 0.0]))
    moved = expected - torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(model(images).leaf, moved)
