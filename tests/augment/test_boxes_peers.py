"""Boxes against albumentations and torchvision v2, where those are defined."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from tests.augment.test_boxes import moved
from uda.augment.boxes import BoxRules

SHAPE = (48, 64)
BOXES = np.array(
    [[2.0, 3, 12, 30], [20.5, 10.25, 41, 22], [50, 1, 64, 9], [30, 40, 47, 48]]
)
FRAME = BoxRules(clip="frame", min_side=0)


def ours(*ops, boxes=BOXES, rules=FRAME, **weak):
    return moved(boxes, *ops, shape=SHAPE, rules=rules, **weak)


@pytest.fixture(scope="module")
def albumentations():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("albumentations")


def by_albumentations(library, *transforms):
    handling = library.BboxParams(
        format="pascal_voc", label_fields=["i"], clip=True, filter_invalid_bboxes=True
    )
    compose = library.Compose(list(transforms), bbox_params=handling)
    image = np.zeros((*SHAPE, 1), dtype=np.uint8)
    result = compose(image=image, bboxes=BOXES, i=np.arange(len(BOXES)))
    return np.asarray(result["bboxes"]), [int(i) for i in result["i"]]


@pytest.mark.parametrize(
    ("name", "arguments", "ops", "weak"),
    [
        ("HorizontalFlip", {"p": 1}, [], {"hflip": 1}),
        ("VerticalFlip", {"p": 1}, [], {"vflip": 1}),
        ("Rotate", {"limit": (30, 30), "p": 1}, [("Rotate", 30.0)], {}),
        ("Rotate", {"limit": (-75, -75), "p": 1}, [("Rotate", -75.0)], {}),
        (
            "Affine", {"translate_px": {"x": -9, "y": 5}, "p": 1},
            [("TranslateX", 9), ("TranslateY", -5)], {},
        ),
    ],
)  # fmt: skip
def test_albumentations_gives_the_same_boxes(
    albumentations, name, arguments, ops, weak
):
    transform = getattr(albumentations, name)(**arguments)
    expected, index = by_albumentations(albumentations, transform)
    found = ours(*ops, **weak)
    np.testing.assert_allclose(found.boxes, expected, atol=1e-4)
    assert found.index.tolist() == index


def test_albumentations_ellipse(albumentations):
    transform = albumentations.Rotate(limit=(40, 40), rotate_method="ellipse", p=1)
    expected, _ = by_albumentations(albumentations, transform)
    rules = BoxRules(clip="frame", ellipse=True, min_side=0)
    # It approximates the ellipse by a polygon, which is a little smaller.
    np.testing.assert_allclose(
        ours(("Rotate", 40.0), rules=rules).boxes, expected, atol=0.001
    )


@pytest.fixture(scope="module")
def functional():
    return pytest.importorskip("torchvision.transforms.v2.functional")


def boxes_of_torchvision():
    import torch
    from torchvision import tv_tensors

    return tv_tensors.BoundingBoxes(
        torch.tensor(BOXES, dtype=torch.float64), format="XYXY", canvas_size=SHAPE
    )


def test_torchvision_flips_rotates_and_crops_the_same(functional):
    given = boxes_of_torchvision()
    height, width = SHAPE
    cases = [
        (functional.horizontal_flip(given), ours(hflip=1)),
        (functional.vertical_flip(given), ours(vflip=1)),
        (functional.rotate(given, 33.0), ours(("Rotate", 33.0))),
        (functional.rotate(given, -120.0), ours(("Rotate", -120.0))),
        (functional.crop(given, 6, -5, height, width), ours(dy=6, dx=-5)),
    ]
    for expected, found in cases:
        kept = expected.numpy()[found.index]
        np.testing.assert_allclose(found.boxes, kept, atol=1e-4)
        gone = np.delete(expected.numpy(), found.index, axis=0)
        assert ((gone[:, 2:] - gone[:, :2]).min(axis=1) <= 1e-9).all()


@pytest.mark.parametrize("slope", [0.25, -0.4])
@pytest.mark.parametrize("axis", ["X", "Y"])
def test_torchvision_shears_the_same(functional, slope, axis):
    degrees = math.degrees(math.atan(slope))
    shear = [degrees, 0.0] if axis == "X" else [0.0, degrees]
    expected = functional.affine(
        boxes_of_torchvision(), angle=0.0, translate=[0, 0], scale=1.0, shear=shear,
        center=[0.0, 0.0],
    ).numpy()  # fmt: skip
    found = ours((f"Shear{axis}", slope))
    np.testing.assert_allclose(found.boxes, expected[found.index], atol=1e-4)


@pytest.mark.parametrize("share", [0.25, 0.5625])
def test_torchvision_resized_crop_is_the_same(functional, share):
    height, width = SHAPE
    factor = math.sqrt(share)
    size = [round(height * factor), round(width * factor)]
    expected = functional.resized_crop(
        boxes_of_torchvision(), 0, 0, *size, SHAPE
    ).numpy()
    found = ours(("ResizedCrop", share, (0.0, 0.0)))
    np.testing.assert_allclose(found.boxes, expected[found.index], atol=1e-4)
