"""Which treatment to try first, with the reason and where the rule comes from.

Pure functions on numbers; thresholds stand beside the rule that uses them.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from uda.data.defects import LEAST_SIDE
from uda.inspect import treatments
from uda.inspect.facts import Advice, Facts
from uda.inspect.numbers import (
    MIN_FOR_THRESHOLDS,
    best_recall_low,
    folds,
    thresholds_make_sense,
    units_for_rate,
)
from uda.words import data_flags

# Twins of more than this share of test images make a random split worthless.
_LEAK = 0.05
# Published gains of consistency training need several unlabelled images per label.
_POOL_RATIO = 3
_SMALL_SET = 1000
_LARGE_SIDE = 256
_DEFAULT_SIZE = (64, 64)
_TRAIN = re.compile(r"(uda (?:train|split)) DATA(?: --unlabeled DIR)?")


def advise(facts: Facts) -> list[Advice]:
    """Return what to do, the most urgent first.

    Order: what makes numbers wrong (labels, leaks, broken files), then what limits
    them (too few units), then what improves the model.
    """
    rules = [r for r in _RULES if not facts.multi_label or r not in _ONE_LABEL]
    found = [advice for rule in rules if (advice := rule(facts)) is not None]
    return [_for_several(one) for one in found] if facts.multi_label else found


def on_data(advice: Advice, data: Path, unlabeled: Sequence[Path]) -> Advice:
    """Return advice whose command can be pasted, on data with unlabelled images.

    Args:
        advice: names the data DATA, and the unlabelled images DIR.
        data: the data.
        unlabeled: folders of unlabelled images that were given beside them; none where
            these lie in the data.
    """
    words = [str(data), *data_flags(unlabeled)]

    command = _TRAIN.sub(
        lambda found: f"{found[1]} {shlex.join(words)}", advice.command
    )
    if command.startswith("uda "):  # a shell takes what follows for a comment
        command = re.sub(r"\s{2,}\((.*)\)$|, then (.*)$", r"  # \1\2", command)
    return replace(advice, command=command)


def _for_several(advice: Advice) -> Advice:
    """Name the option that reads several labels wherever the data are named."""
    command = _TRAIN.sub(r"\g<0> --multi-label", advice.command)
    return replace(advice, command=command)


def _conflicts(facts: Facts) -> Advice | None:
    if not facts.conflicts:
        return None
    return Advice(
        "Decide the label of identical images",
        f"{facts.conflicts} sets of identical files carry different labels; no model "
        "can be right on both",
        "see conflicts in inspect.json",
        "definition: identical input, two targets",
    )


def _broken(facts: Facts) -> Advice | None:
    if not facts.broken:
        return None
    share = facts.broken / max(facts.total, 1)
    stop = "; training stops above 5 %" if share > 0.05 else ""
    return Advice(
        "Replace unreadable images",
        f"{facts.broken} of {facts.total} files cannot be read ({share:.1%}){stop}",
        "see skipped in inspect.json",
        "this tool skips and lists them, never replaces them",
    )


def _mixed_depth(facts: Facts) -> Advice | None:
    read = facts.total - facts.broken
    if facts.deep in (0, read):
        return None
    return Advice(
        "Convert all images to one depth",
        f"{facts.deep} of {read} images have more than 8 bits and are stretched to "
        "their common range, the others are taken as they are: where depth goes with "
        "the class, a model learns the depth",
        "see images in inspect.json",
        "definition: two mappings of brightness in one set",
    )


def _leak(facts: Facts) -> Advice | None:
    if facts.leaked is None or facts.leaked <= _LEAK:
        return None
    gain = ""
    if facts.gain is not None:
        gain = f"; comparing pixels gains {facts.gain:+.2f} balanced accuracy by it"
    column = "the group column" if facts.has_groups else "auto"
    return Advice(
        "Split by group, never at random",
        f"a random split puts a twin of {facts.leaked:.0%} of the test images into "
        f"training{gain}",
        f"uda split DATA --group {'COLUMN' if facts.has_groups else 'auto'} "
        f"--out split.csv  (groups from {column})",
        "measured on this data (see leak in inspect.json)",
    )


def _crossing(facts: Facts) -> Advice | None:
    if not facts.crossing:
        return None
    pairs = ", ".join(f"{parts}: {count}" for parts, count in facts.crossing.items())
    seen = "test" if any("test" in parts for parts in facts.crossing) else "validation"
    return Advice(
        f"Mend the given parts: the {seen} part is no independent one",
        f"pairs that show the same thing lie in different parts ({pairs})",
        "uda split DATA --group auto --out split.csv",
        "measured on this data (see pairs_across_parts in inspect.json)",
    )


def _label_more(facts: Facts) -> Advice | None:
    low = {name: n for name, n in facts.units.items() if n < MIN_FOR_THRESHOLDS}
    if not low:
        return None
    rarest = min(low, key=lambda name: low[name])
    names = ", ".join(f"{name} ({n})" for name, n in sorted(low.items()))
    if facts.tested is None:
        units, asked = f"{low[rarest]} independent units of {rarest}", low[rarest]
    else:
        asked = facts.tested[rarest]
        units = (
            f"{low[rarest]} independent units of {rarest} to learn from; the {asked} "
            "of the test part"
        )
    return Advice(
        f"Collect more of {names}",
        f"{units}, all found, prove a recall of {best_recall_low(asked):.2f} at best; "
        f"{MIN_FOR_THRESHOLDS} prove {best_recall_low(MIN_FOR_THRESHOLDS):.2f}, "
        f"{units_for_rate(0.01)} without a miss prove an escape rate of 1 %",
        "",
        "Clopper and Pearson 1934; no treatment below replaces independent images",
    )


def _baseline(facts: Facts) -> Advice | None:
    if len(facts.counts) < 2:
        return None
    return Advice(
        "Run the baseline that takes seconds",
        "whoever claims that a network helps must beat texture descriptors on the "
        "same split",
        "uda train DATA --split split.csv --method texture",
        "this project's results: texture beats small networks on some sets",
    )


def _pretrained(facts: Facts) -> Advice | None:
    labeled = sum(facts.training.values())
    if not 0 < labeled < _SMALL_SET:
        return None
    return Advice(
        "Start from trained weights where you can",
        f"{labeled} labelled images are few to learn filters from",
        "uda train DATA --model resnet18 --pretrained   (or --weights FILE)",
        "Su, Cheng and Maji, CVPR 2021: transfer beats semi-supervised learning "
        "from scratch",
    )


def _unlabeled(facts: Facts) -> Advice | None:
    labeled = sum(facts.training.values())
    if not labeled:
        return None
    ratio = facts.unlabeled / labeled
    if ratio >= _POOL_RATIO:
        return Advice(
            "Use the unlabelled images: UDA",
            f"{facts.unlabeled} unlabelled images, {ratio:.0f} per labelled one",
            "uda train DATA --unlabeled DIR --method uda, then the same with "
            "--method supervised",
            "Xie et al., NeurIPS 2020: the gain grows with the unlabelled set",
        )
    return Advice(
        "Collect unlabelled images before trying UDA",
        f"{facts.unlabeled} unlabelled for {labeled} labelled images; with few, the "
        "gain is small",
        "uda train DATA --method supervised",
        "Xie et al., NeurIPS 2020, ablation of the unlabelled set's size",
    )


def _thresholds(facts: Facts) -> Advice | None:
    if len(facts.units) < 2 or thresholds_make_sense(facts.units):
        return None
    return Advice(
        "Leave per-class thresholds alone",
        f"the rarest class has {min(facts.units.values())} independent units; a "
        "threshold fitted on so few follows noise",
        "",
        f"simulation: no gain below {MIN_FOR_THRESHOLDS} images of the rarest class, "
        "and 4 to 8 points of false hope",
    )


def _folds(facts: Facts) -> Advice | None:
    count = folds(facts.units)
    if len(facts.units) < 2 or count >= 5:
        return None
    words = f"{count} grouped folds" if count else "no fold at all"
    return Advice(
        "Claim little from one test part",
        f"the rarest class allows {words}; keep it in training or pool repeated splits",
        "",
        "Nadeau and Bengio 2003: one split's variance hides in its test part",
    )


def _size(facts: Facts) -> Advice | None:
    if facts.defects:
        return _size_by_defects(facts)
    if facts.side <= _LARGE_SIDE:
        return None
    return Advice(
        "Choose the image size by the smallest defect",
        f"images are {facts.side:.0f} px; at the default 64 px a defect of "
        f"{facts.side / 8:.0f} px is 8 px",
        "uda train DATA --size 128",
        "a defect under about 8 px is lost after resizing",
    )


def _size_by_defects(facts: Facts) -> Advice | None:
    usual = [one for one in facts.defects if one.size == _DEFAULT_SIZE]
    worst = min(usual, key=lambda one: one.small)
    if not worst.lost:
        return None
    # Shorter sides grow with the image: steps of 32 pixels to where all are seen.
    needed = 32 * math.ceil(_DEFAULT_SIZE[0] * LEAST_SIDE / max(worst.small, 0.1) / 32)
    most = 32 * math.ceil(max(facts.side, 1) / 32)
    beyond = ""
    if needed > most:
        beyond = (
            f"; that takes {needed} px and the images have {facts.side:.0f}: enlarging "
            "adds nothing, photograph closer"
        )
    size = min(needed, most)
    return Advice(
        f"Train at {size} px" + (" at least" if size == needed else ", all there is"),
        f"at the default 64 px the shorter side of small defects of {worst.name} is "
        f"{worst.small:.1f} px (5th percentile of {worst.boxes} boxes){beyond}",
        f"uda train DATA --imgsz {size}   (or --imgsz {size // 2} --tiles 2x2 "
        "--background CLASS; or --sizes, small sizes first)",
        f"a defect under about {LEAST_SIDE:.0f} px is lost after resizing",
    )


__all__ = ["Advice", "Facts", "advise"]

_RULES: tuple[Callable[[Facts], Advice | None], ...] = (
    _conflicts,
    _broken,
    _mixed_depth,
    _crossing,
    _leak,
    _label_more,
    _baseline,
    _pretrained,
    _unlabeled,
    treatments.correction,
    treatments.several_labels,
    treatments.balanced_head,
    treatments.discouraged,
    treatments.annealing,
    treatments.mix,
    treatments.foreign_images,
    _thresholds,
    _folds,
    _size,
)
# These name what several labels per image do not combine with.
_ONE_LABEL = (
    _baseline,
    treatments.correction,
    treatments.balanced_head,
    treatments.discouraged,
    treatments.annealing,
    treatments.mix,
    treatments.foreign_images,
    _thresholds,
)
