"""Execute a Plan slowly and plainly: one Pillow call after the other.

Shares no arithmetic with the package: op names and ids are all it imports.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from uda.augment.ops import NAMES


def execute(plan, images, fill):
    """Views (N, H, W, K) of images (N, H, W, K) uint8."""
    views = [execute_one(plan[i : i + 1], images[i], fill) for i in range(len(plan))]
    return np.stack(views) if views else images.copy()


def execute_one(plan, image, fill):
    """The view (H, W, K) of a plan of one row."""
    picture = to_pillow(image)
    color = tuple(int(v) for v in fill) if picture.mode == "RGB" else int(fill[0])
    if not plan.geometry_last:
        picture = weak(plan, picture)
    for op, value, box in zip(plan.op[0], plan.value[0], plan.box[0], strict=True):
        if op >= 0:
            picture = one_op(NAMES[op], float(value), box, picture, color)
    picture = erase(picture, plan.cut[0], color)
    if plan.geometry_last:
        picture = weak(plan, picture)
    return np.asarray(picture).reshape(image.shape)


def one_op(name, value, box, picture, color):
    if name in ("Brightness", "Contrast", "Color", "Sharpness"):
        return getattr(ImageEnhance, name)(picture).enhance(value)
    if name in ("AutoContrast", "Equalize", "Invert"):
        return getattr(ImageOps, name.lower())(picture)
    if name in ("Posterize", "Solarize"):
        return getattr(ImageOps, name.lower())(picture, int(value))
    nearest = Image.Resampling.NEAREST
    if name == "Rotate":
        return picture.rotate(value, resample=nearest, fillcolor=color)
    if name == "Cutout":
        return erase(picture, box, color)
    if name == "Identity":
        return picture
    matrix = {
        "ShearX": (1, value, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, value, 1, 0),
        "TranslateX": (1, 0, value, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, value),
    }[name]
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        matrix,
        resample=nearest,
        fillcolor=color,
    )


def erase(picture, box, color):
    y0, x0, y1, x1 = (int(edge) for edge in box)
    picture = picture.copy()
    if y1 > y0 and x1 > x0:
        picture.paste(color, (x0, y0, x1, y1))
    return picture


def weak(plan, picture):
    for _ in range(int(plan.turns[0])):
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    if plan.hflip[0]:
        picture = ImageOps.mirror(picture)
    if plan.vflip[0]:
        picture = ImageOps.flip(picture)
    dy, dx = int(plan.dy[0]), int(plan.dx[0])
    array = np.asarray(picture)
    pads = [(abs(dy), abs(dy)), (abs(dx), abs(dx))] + [(0, 0)] * (array.ndim - 2)
    padded = Image.fromarray(np.pad(array, pads, mode="reflect"))
    left, top = abs(dx) + dx, abs(dy) + dy
    return padded.crop((left, top, left + picture.width, top + picture.height))


def to_pillow(image):
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
