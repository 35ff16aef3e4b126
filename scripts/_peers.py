"""The pipeline of scripts/bench_augment in other libraries, as their users write it.

flip, reflect pad-crop by S/8, RandAugment with two ops that are always applied,
half-size cutout, normalise to a float32 tensor (K, S, S). Each in the best
configuration we know. Where a library cannot do exactly this, its note says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from uda.augment.adapters.oldnumpy import importable

Run = Callable[[], list[torch.Tensor] | torch.Tensor]


@dataclass(frozen=True)
class Task:
    """What everybody gets: images (n, S, S, K) uint8 and the statistics."""

    images: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def side(self) -> int:
        return self.images.shape[1]

    @property
    def channels(self) -> int:
        return self.images.shape[3]

    def pictures(self) -> list[Image.Image]:
        """The images as a user's data set would give them."""
        grey = self.channels == 1
        return [Image.fromarray(i[:, :, 0] if grey else i) for i in self.images]

    def tensor(self) -> torch.Tensor:
        """(n, K, S, S) uint8."""
        return torch.from_numpy(self.images).permute(0, 3, 1, 2).contiguous()


def one_by_one(function: Callable[[Any], Any], inputs: list[Any]) -> Run:
    return lambda: [function(item) for item in inputs]


def _v1_weak(task: Task) -> list[Any]:
    from torchvision import transforms as T

    side = task.side
    crop = T.RandomCrop(side, padding=side // 8, padding_mode="reflect")
    return [T.RandomHorizontalFlip(), crop]


def _v1_end(task: Task) -> list[Any]:
    """Normalise, then erase: zero is the mean there."""
    from torchvision import transforms as T

    box = T.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0), value=0)
    return [T.ToTensor(), T.Normalize(task.mean, task.std), box]


def torchvision_v1(task: Task) -> Run:
    from torchvision import transforms as T

    middle = T.RandAugment(num_ops=2, magnitude=9)
    whole = T.Compose([*_v1_weak(task), middle, *_v1_end(task)])
    return one_by_one(whole, task.pictures())


def _v2(task: Task, convert: list[Any]) -> Any:
    from torchvision.transforms import v2

    side = task.side
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomCrop(side, padding=side // 8, padding_mode="reflect"),
            v2.RandAugment(num_ops=2, magnitude=9),
            *convert,
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(task.mean), list(task.std)),
            v2.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0), value=0),
        ]
    )


def torchvision_v2(task: Task) -> Run:
    from torchvision.transforms import v2

    return one_by_one(_v2(task, [v2.PILToTensor()]), task.pictures())


def torchvision_v2_tensor(task: Task) -> Run:
    return one_by_one(_v2(task, []), list(task.tensor()))


def _timm(task: Task, **settings: Any) -> Run:
    from timm.data.auto_augment import rand_augment_transform
    from torchvision import transforms as T

    grey = tuple(round(255 * m) for m in task.mean)
    settings["translate_const"] = int(task.side * 0.45)
    settings["img_mean"] = grey if len(grey) == 3 else grey[0]
    middle = rand_augment_transform("rand-m9-n2-p1.0", settings)
    whole = T.Compose([*_v1_weak(task), middle, *_v1_end(task)])
    return one_by_one(whole, task.pictures())


def timm_default(task: Task) -> Run:
    return _timm(task)


def timm_nearest(task: Task) -> Run:
    return _timm(task, interpolation=Image.Resampling.NEAREST)


def albumentations(task: Task) -> Run:
    with importable():
        import albumentations as A
        from albumentations.pytorch import ToTensorV2
    import cv2

    cv2.setNumThreads(0)
    side, pad = task.side, task.side // 8
    still = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1)}
    still["hue"] = (0, 0)
    near = {"interpolation": cv2.INTER_NEAREST, "p": 1.0}
    ops = [
        A.NoOp(p=1.0),
        A.AutoContrast(p=1.0),
        A.Equalize(p=1.0),
        A.RandomBrightnessContrast((-0.86, -0.14), (0, 0), p=1.0),
        A.RandomBrightnessContrast((0, 0), (-0.86, -0.14), p=1.0),
        A.ColorJitter(**{**still, "saturation": (0.14, 0.86)}, p=1.0),
        A.Sharpen(p=1.0),
        A.Posterize(num_bits=(4, 7), p=1.0),
        A.Solarize(threshold_range=(0.1, 0.9), p=1.0),
        A.Rotate((-27, 27), **near),
        A.Affine(shear={"x": (-15, 15), "y": (0, 0)}, **near),
        A.Affine(shear={"x": (0, 0), "y": (-15, 15)}, **near),
        A.Affine(translate_percent={"x": (-0.27, 0.27), "y": (0, 0)}, **near),
        A.Affine(translate_percent={"x": (0, 0), "y": (-0.27, 0.27)}, **near),
    ]
    hole = {"hole_height_range": (0.5, 0.5), "hole_width_range": (0.5, 0.5)}
    whole = A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.PadIfNeeded(side + 2 * pad, side + 2 * pad, border_mode=4),
            A.RandomCrop(side, side),
            A.SomeOf(ops, n=2, replace=True, p=1.0),
            A.CoarseDropout(num_holes_range=(1, 1), **hole, p=1.0),
            A.Normalize(task.mean, task.std),
            ToTensorV2(),
        ]
    )
    return one_by_one(lambda image: whole(image=image)["image"], list(task.images))


def randaugment(task: Task) -> Run:
    with importable():
        from randaugment import RandAugment
    from torchvision import transforms as T

    whole = T.Compose([*_v1_weak(task), RandAugment(), *_v1_end(task)])
    return one_by_one(whole, task.pictures())


def imgaug(task: Task) -> Run:
    with importable():
        import imgaug.augmenters as iaa

        whole = iaa.Sequential(
            [iaa.RandAugment(n=2, m=9), iaa.Cutout(nb_iterations=1, size=0.5)]
        )
    mean = torch.tensor(task.mean).view(1, -1, 1, 1)
    std = torch.tensor(task.std).view(1, -1, 1, 1)

    def run() -> torch.Tensor:
        images = torch.from_numpy(whole(images=task.images))
        return images.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)

    return run


def kornia(task: Task) -> Run:
    import kornia.augmentation as K
    from kornia.augmentation.auto import RandAugment

    side = task.side
    whole = torch.nn.Sequential(
        K.RandomHorizontalFlip(),
        K.RandomCrop((side, side), padding=side // 8, padding_mode="reflect"),
        RandAugment(n=2, m=9),
        K.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0)),
        K.Normalize(torch.tensor(task.mean), torch.tensor(task.std)),
    )
    images = task.tensor()
    return lambda: whole(images.float() / 255)


PER_IMAGE: dict[str, tuple[Callable[[Task], Run], str]] = {
    "torchvision v1, PIL": (torchvision_v1, ""),
    "torchvision v2, PIL": (torchvision_v2, ""),
    "torchvision v2, tensor": (torchvision_v2_tensor, ""),
    "timm": (timm_default, "its default: bilinear or bicubic at random"),
    "timm, nearest": (timm_nearest, ""),
    "albumentations": (albumentations, "two of 14 equivalent ops"),
    "randaugment": (randaugment, "applies each op with probability one half"),
}
BATCHED: dict[str, tuple[Callable[[Task], Run], str]] = {
    "imgaug": (imgaug, "batch of 64; its own flip and crop, no reflected padding"),
    "kornia": (kornia, "batch of 64; one draw of ops per BATCH: not comparable"),
}
EXTRAS = {
    "timm": "timm", "timm, nearest": "timm", "albumentations": "albumentations",
    "imgaug": "imgaug", "kornia": "kornia",
}  # fmt: skip
