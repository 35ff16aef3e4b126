"""Metric tags: ``group/name``, unit in brackets, class names made safe.

A class may be called ``a/b`` or ``50 %``; its tag must not open a new group,
and two classes must never share a tag.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LOSSES = ("loss/total", "loss/supervised", "loss/consistency", "loss/entropy")
MASK_RATE = "unlabeled/mask_rate"
HEAD_MASK_RATE = "unlabeled/head_mask_rate"
PSEUDO_SHARE = "unlabeled/pseudo_share"
KEPT_SHARE = "labeled/kept_share"
LABELED_ACCURACY = "labeled/accuracy"
TSA_THRESHOLD = "labeled/tsa_threshold"
TEXTURE_ALONE = "unlabeled/texture_alone"
CONFIDENCE_THRESHOLD = "unlabeled/threshold"
WAITING_SHARE = "time/waiting_share"
IMAGES_PER_SECOND = "time/images_per_s"
EPOCH = "time/epoch"
LEARNING_RATE = "optimizer/lr"
GRADIENT_NORM = "optimizer/grad_norm"
EVALUATIONS = ("val", "val_ema")

_UNSAFE = re.compile(r"[^\w.+-]+")
_MAX_LENGTH = 64


def class_tags(classes: Sequence[str]) -> tuple[str, ...]:
    """Return one safe, distinct tag part per class, in the order given.

    Names that are safe already keep their spelling; the others have every run
    of odd characters replaced by ``_`` and, where that would collide, a number
    added. Compared without case, since some file systems and charts ignore it.
    """
    wanted = [_safe(name) for name in classes]
    tags: dict[int, str] = {}
    used: set[str] = set()
    unchanged = [i for i, name in enumerate(classes) if wanted[i] == name]
    changed = [i for i in range(len(classes)) if i not in set(unchanged)]
    for index in unchanged + changed:
        tag, number = wanted[index], 1
        while tag.casefold() in used:
            number += 1
            tag = f"{wanted[index]}_{number}"
        used.add(tag.casefold())
        tags[index] = tag
    return tuple(tags[index] for index in range(len(classes)))


def _safe(name: str) -> str:
    readable = name.encode("utf-8", "backslashreplace").decode("utf-8")
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", readable))[:_MAX_LENGTH]
    return text.strip("_") or "class"
