"""Execute a Plan slowly and plainly: one Pillow call after the other.

What Pillow lacks is written out, mostly pixel by pixel in Python's own numbers.
Shares no arithmetic with the package: op names and ids are all it imports.
"""

from __future__ import annotations

import colorsys
import io
import math

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

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
    for slot, op in enumerate(plan.op[0]):
        if op > 0:
            at = {
                "value": float(plan.value[0, slot]),
                "box": plan.box[0, slot],
                "place": [float(v) for v in plan.place[0, slot]],
                "bilinear": plan.bilinear,
                "reflect": plan.reflect,
            }
            picture = one_op(NAMES[op], at, picture, color)
    picture = erase(picture, plan.cut[0], color)
    if plan.geometry_last:
        picture = weak(plan, picture)
    return np.asarray(picture).reshape(image.shape)


def one_op(name, at, picture, color):
    value, place = at["value"], at["place"]
    if name in ("Brightness", "Contrast", "Color", "Sharpness"):
        return getattr(ImageEnhance, name)(picture).enhance(value)
    if name in ("AutoContrast", "Equalize", "Invert", "Posterize", "Solarize"):
        arguments = [int(value)] if name in ("Posterize", "Solarize") else []
        return getattr(ImageOps, name.lower())(picture, *arguments)
    if name == "Cutout":
        return erase(picture, at["box"], color)
    if name in ("Blur", "Jpeg"):
        return blur(picture, value) if name == "Blur" else jpeg(picture, int(value))
    if name in LEVELS:
        return picture.point(
            [LEVELS[name](v, value) for v in range(256)] * bands(picture)
        )
    if name in ("Hue", "Saturation", "Value"):
        return hsv(name, value, picture)
    if name in ("Noise", "Illumination", "Highlight"):
        function = {"Noise": noise, "Illumination": light, "Highlight": spot}[name]
        return function(value, place, picture)
    return move(name, at, picture, color)


def bands(picture):
    return len(picture.getbands())


def clipped(number):
    return min(max(math.floor(number + 0.5), 0), 255)


def solarize_add(v, addition):
    return min(255, v + int(addition)) if v < 128 else v


def gamma(v, exponent):
    return clipped(255 * math.pow(v / 255, exponent))


def logit(v):
    p = min(max(v / 255, 1e-7), 1 - 1e-7)
    return math.log(p / (1 - p))


def logit_brightness(v, change):
    return clipped(255 / (1 + math.exp(-(logit(v) + math.log(change / (1 - change))))))


def logit_contrast(v, scale):
    return clipped(255 / (1 + math.exp(-(logit(v) * scale))))


LEVELS = {
    "SolarizeAdd": solarize_add,
    "Gamma": gamma,
    "LogitBrightness": logit_brightness,
    "LogitContrast": logit_contrast,
}


def hsv(name, shift, picture):
    if picture.mode == "L":
        if name != "Value":
            return picture
        return picture.point([clipped(v + 255 * shift) for v in range(256)])
    array = np.array(picture)
    for pixel in array.reshape(-1, 3):
        h, s, v = colorsys.rgb_to_hsv(*(int(level) / 255 for level in pixel))
        if name == "Hue":
            h = (h + shift / 360) % 1.0
        elif name == "Saturation":
            s = min(max(s + shift, 0.0), 1.0)
        else:
            v = min(max(v + shift, 0.0), 1.0)
        pixel[:] = [clipped(255 * level) for level in colorsys.hsv_to_rgb(h, s, v)]
    return Image.fromarray(array)


def blur(picture, deviation):
    return picture.filter(ImageFilter.GaussianBlur(deviation))


def jpeg(picture, quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).copy()


def splitmix(seed):
    """Java's SplittableRandom, in whole numbers of any size."""
    mask = 2**64 - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


def noise(deviation, place, picture):
    array = np.array(picture)
    words = splitmix(int(place[0] * 2**32) * 2**32 + int(place[1] * 2**32))
    flat = array.reshape(-1)
    for i, (v, word) in enumerate(zip(flat.tolist(), words, strict=False)):
        total = sum((word // 2**bits) % 2**16 for bits in (0, 16, 32, 48))
        flat[i] = clipped(v + deviation * (total - 131070) / 37837.2)
    return Image.fromarray(array)


def light(gain, place, picture):
    array = np.array(picture)
    angle = 2 * math.pi * place[0]
    cos, sin = math.cos(angle), math.sin(angle)
    cx, cy = (picture.width - 1) / 2, (picture.height - 1) / 2
    most = abs(cos) * cx + abs(sin) * cy
    for y in range(picture.height):
        for x in range(picture.width):
            t = ((x - cx) * cos + (y - cy) * sin) / most if most else 0
            levels = np.atleast_1d(array[y, x]).tolist()
            new = [clipped(v * (1 + gain * t)) for v in levels]
            array[y, x] = new if len(new) == 3 else new[0]
    return Image.fromarray(array)


def spot(strength, place, picture):
    array = np.array(picture)
    cy, cx = place[0] * picture.height, place[1] * picture.width
    rho = min(picture.size) / 4
    for y in range(picture.height):
        for x in range(picture.width):
            # Pixel centres lie at .5, as everywhere in Pillow's geometry.
            square = (y + 0.5 - cy) ** 2 + (x + 0.5 - cx) ** 2
            w = strength / (1 + square / rho**2) ** 2
            levels = np.atleast_1d(array[y, x]).tolist()
            new = [clipped(v + (255 - v) * w) for v in levels]
            array[y, x] = new if len(new) == 3 else new[0]
    return Image.fromarray(array)


def move(name, at, picture, color):
    value, place = at["value"], at["place"]
    resample = Image.Resampling.BILINEAR if at["bilinear"] else Image.Resampling.NEAREST
    width, height = picture.size
    if name == "ResizedCrop":
        f = math.sqrt(value)
        left, top = place[1] * (width - f * width), place[0] * (height - f * height)
        return picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            (f, 0, left, 0, f, top),
            resample=Image.Resampling.BILINEAR,
        )
    matrix = {
        "ShearX": (1, value, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, value, 1, 0),
        "TranslateX": (1, 0, value, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, value),
        "Rotate": pillows_rotation(value, width, height),
    }[name]
    if at["reflect"]:
        return mirrored(matrix, at["bilinear"], picture)
    if name == "Rotate":
        return picture.rotate(value, resample=resample, fillcolor=color)
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        matrix,
        resample=resample,
        fillcolor=color,
    )


def pillows_rotation(degrees, width, height):
    """What Image.rotate passes on to Image.transform."""
    angle = -math.radians(degrees % 360.0)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    left = cos * -x + sin * -y + x
    return (cos, sin, left, -sin, cos, -sin * -x + cos * -y + y)


def mirrored(matrix, bilinear, picture):
    """Read an image that np.pad continues by reflection, pixel by pixel."""
    array = np.array(picture)
    margin = 3 * (picture.width + picture.height)
    pads = [(margin, margin)] * 2 + [(0, 0)] * (array.ndim - 2)
    padded = np.pad(array, pads, mode="reflect").astype(float)
    a, b, c, d, e, f = matrix
    fixed = [math.floor(v * 65536 + 0.5) for v in (a, b, c + a / 2 + b / 2)]
    fixed += [math.floor(v * 65536 + 0.5) for v in (d, e, f + d / 2 + e / 2)]
    for y in range(picture.height):
        for x in range(picture.width):
            if bilinear:
                u = a * (x + 0.5) + b * (y + 0.5) + c - 0.5
                v = d * (x + 0.5) + e * (y + 0.5) + f - 0.5
            else:
                u = (fixed[0] * x + fixed[1] * y + fixed[2]) // 65536
                v = (fixed[3] * x + fixed[4] * y + fixed[5]) // 65536
            j, i = math.floor(u), math.floor(v)
            four = padded[i + margin : i + margin + 2, j + margin : j + margin + 2]
            rows = four[:, 0] + (four[:, 1] - four[:, 0]) * (u - j)
            array[y, x] = np.trunc(rows[0] + (rows[1] - rows[0]) * (v - i))
    return Image.fromarray(array)


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
