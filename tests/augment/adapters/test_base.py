"""Results of other libraries, read back: each kind, each misfit, and the trees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.augment.helpers import make_images
from uda.augment.adapters.base import Misfit, library_of, parts_of, to_gray, to_uint8


def test_every_kind_of_image_comes_back():
    color = make_images("noise", 1, 5, 7, 3)[0]
    tensor = torch.from_numpy(color.transpose(2, 0, 1).copy())
    floats = [color / 255, (color / 255).astype(np.float32), tensor / 255]
    for same in (color, Image.fromarray(color), tensor, tensor[None], *floats):
        np.testing.assert_array_equal(to_uint8(same), color)
    gray = color[:, :, :1]
    for same in (
        gray[:, :, 0],
        Image.fromarray(gray[:, :, 0]),
        tensor[:1].double() / 255,
    ):
        np.testing.assert_array_equal(to_uint8(same), gray)
    half = (tensor / 255).to(torch.bfloat16)
    assert np.abs(to_uint8(half).astype(int) - color).max() <= 1


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "returned NoneType"),
        ([1], "returned list"),
        (Image.new("RGBA", (2, 2)), "mode RGBA, not L or RGB"),
        (np.zeros((2, 2), dtype=np.int64), "returned int64"),
        (np.full((2, 2, 1), np.nan), "returned NaN"),
        (np.full((2, 2, 1), np.inf), "returned NaN or infinite"),
        (np.full((2, 2, 1), 200.0), r"floats from 200 to 200, not 0\.\.1; these look"),
        (np.array([[-6.03, 90.0, 259.0]]), "0..255 and a little beyond: clip"),
        (np.array([[-128.0, 0.0, 127.0]]), "take out whatever"),
        (np.array([[-2.1, 0.3, 2.64]]), "take out whatever"),
        (np.full((2, 2, 1), -1.0), r"from -1 to -1, not 0\.\.1; take out whatever"),
    ],
)
def test_misfits_are_explained(result, message):
    with pytest.raises(Misfit, match=message):
        to_uint8(result)


def test_a_small_overshoot_is_clipped():
    image = np.array([[-0.4, 1.4]])
    assert to_uint8(image, overshoot=0.5).ravel().tolist() == [0, 255]
    with pytest.raises(Misfit):
        to_uint8(image)


def test_gray_equals_pillow():
    color = make_images("noise", 1, 64, 64, 3)[0]
    expected = np.asarray(Image.fromarray(color).convert("L"))
    np.testing.assert_array_equal(to_gray(color)[:, :, 0], expected)
    equal = np.repeat(color[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(to_gray(equal), equal[:, :, :1])


def test_trees_are_walked_and_containers_belong_to_what_they_hold():
    v2 = pytest.importorskip("torchvision.transforms.v2")
    flip, turn = v2.RandomHorizontalFlip(), v2.RandomRotation(9)
    tree = v2.Compose([v2.RandomApply([flip]), torch.nn.Sequential(turn)])
    assert {flip, turn} <= set(parts_of(tree))
    known = {"torchvision", "kornia"}
    assert library_of(tree, known) == "torchvision"
    assert library_of(torch.nn.Sequential(flip), known) == "torchvision"
    assert library_of(torch.nn.Sequential(torch.nn.Identity()), known) is None
    assert library_of(len, known) is None
