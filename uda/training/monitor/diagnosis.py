"""Alarms that name a treatment: what the data needs, why, and whose rule it is.

Beside the alarms on faults (``alarms``); checks of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from uda.training.monitor import tags
from uda.training.monitor.alarms import Alarm, Check, History, mean_over, percent
from uda.training.monitor.facts import (
    THRESHOLD,
    Facts,
    Settings,
    less_annealing,
    one_of,
    sentence,
    some_prior,
)
from uda.training.prior import MIN_VALIDATION

_NONE_AT_ALL = 0.002  # share of the pseudo labels
_SOME_MASK = 0.02
_FALLEN = 0.05  # of recall, from its best
_NOT_LEARNED, _LOOKS, _LEARNED = 0.05, 3, 0.3
_FAR_FROM_STATED, _FAR_FROM_LABELED = 0.25, 0.4
_LOW_MASK = 0.3


def recalls(history: History, tag: str) -> list[float]:
    """Return a class's recall on validation at each evaluation, averaged weights."""
    name = f"val_ema/recall/{tag}"
    found = (point.values.get(name, math.nan) for point in history)
    return [value for value in found if math.isfinite(value)]


def check_recall(history: History, facts: Facts) -> Iterable[Alarm]:
    """A class is never found in validation, long after it should be."""
    progress = history[-1].step / facts.total_steps if history else 0.0
    if progress < _LEARNED:
        return
    named = zip(
        facts.classes,
        tags.class_tags(facts.classes),
        facts.validation_counts,
        strict=True,
    )
    for name, tag, count in named:
        found = recalls(history, tag)
        if len(found) >= _LOOKS and max(found[-_LOOKS:]) < _NOT_LEARNED:
            yield Alarm(
                f"labels-not-learned/{tag}",
                f"None of the {count} validation images of {name} was found in the "
                f"last {_LOOKS} evaluations.",
                "The network does not learn this class, or what it learns does not "
                "carry over.",
                "Look at the labels and at the image size: a defect of few pixels may "
                "be gone. Else train longer (--steps), or with a higher --lr.",
                "a class found never, three times in a row, after 30 % of the run",
            )


def check_starving(history: History, facts: Facts) -> Iterable[Alarm]:
    """A class gets no pseudo labels while its recall falls."""
    rate = mean_over(history, tags.MASK_RATE, facts.window)
    if rate is None or rate < _SOME_MASK:
        return  # then nobody gets any: another alarm
    for name, tag in zip(facts.classes, tags.class_tags(facts.classes), strict=True):
        share = mean_over(history, f"{tags.PSEUDO_SHARE}/{tag}", facts.window)
        if share is None or share > _NONE_AT_ALL:
            continue
        found = recalls(history, tag)
        if len(found) >= 2 and found[-1] > max(found) - _FALLEN:
            continue  # rare among the unlabelled, and none the worse for it
        yield Alarm(
            f"class-starves/{tag}",
            f"{name} gets no pseudo labels while {_recall_words(found)}.",
            "Every unlabelled image pulls the network to the other classes, and one "
            "threshold for all shuts out the class that it is least sure of.",
            _for_starving(facts),
            "equal shares per class: Guo and Li, ICML 2022; the floor is ours",
        )


def _recall_words(found: list[float]) -> str:
    if len(found) < 2:
        return "its recall is not known"
    return f"its recall falls ({max(found):.2f} to {found[-1]:.2f})"


def _for_starving(facts: Facts) -> str:
    threshold = 1.0 if facts.threshold is None else facts.threshold
    floor = 0.6 if threshold > 0.6 else 0.75 * threshold
    floored = {"consistency.class_floor": floor}
    words = "thresholds per class, none of them lower"
    if facts.accepts(floored):
        return f"Try --class-floor {floor:g}: {words}."
    if facts.accepts({**floored, "consistency.weak_pass": "table"}):
        return f"Try --class-floor {floor:g} --weak-pass table: {words}."
    if facts.accepts({"method": "uda", "consistency.class_floor": 0.6}):
        return "Try --method uda --class-floor 0.6, which gives each class its share."
    lower = ("lower --threshold", THRESHOLD)
    return sentence(one_of(facts, ("label more of this class", None), lower))


def check_mix(history: History, facts: Facts) -> Iterable[Alarm]:
    """The pseudo labels are mixed otherwise than the images can be."""
    shares = [
        mean_over(history, f"{tags.PSEUDO_SHARE}/{tag}", facts.window)
        for tag in tags.class_tags(facts.classes)
    ]
    known = [share for share in shares if share is not None]
    if len(known) < len(shares) or sum(known) < 0.99:
        return
    wanted = facts.unlabeled_prior or facts.prior
    apart = 0.5 * sum(abs(a - b) for a, b in zip(known, wanted, strict=True))
    if facts.unlabeled_prior is not None and apart > _FAR_FROM_STATED:
        yield Alarm(
            "prior-missed",
            f"The pseudo labels are far from the prior ({percent(apart)} of them would "
            f"have to change): {_mix(facts, known)}.",
            "Either the prior is not that of these images, or the network is sure of "
            "the wrong ones.",
            f"Check --prior against a few dozen labels{_bent(facts)}.",
            "Berthelot et al., ICLR 2020; Kim et al., NeurIPS 2020",
        )
    elif facts.unlabeled_prior is None and apart > _FAR_FROM_LABELED:
        yield Alarm(
            "prior-unknown",
            f"The pseudo labels are mixed otherwise than the labelled batches: "
            f"{_mix(facts, known)}.",
            "That is right if the unlabelled images are mixed like that, and a drift "
            "to the easy classes if not; the training cannot know.",
            _for_unknown_mix(facts),
            "Lipton et al., ICML 2018; Lee et al., NeurIPS 2021",
        )


def _bent(facts: Facts) -> str:
    if not facts.accepts({"consistency.refinery": "darp"}):
        return ""
    return "; then try --refinery darp, which bends the whole table to it"


def _for_unknown_mix(facts: Facts) -> str:
    stated = "state the mix if the line's reject rate tells it (--prior CLASS=SHARE,…)"
    options: list[tuple[str, Settings]] = [(stated, some_prior(facts))]
    if min(facts.validation_counts) >= MIN_VALIDATION:
        guess = (
            "let it be estimated (--prior estimate)",
            {"consistency.prior": "estimate"},
        )
        options.append(guess)
    head = {"consistency.balanced_head": "abc", "supervised.sampling_power": 1.0}
    needs_none = (
        "take a head that needs no prior (--balanced-head abc --sampling-power 1)"
    )
    options.append((needs_none, head))
    found = one_of(facts, *options)
    return sentence(found or "label a few dozen of them and compare the mix")


def _mix(facts: Facts, shares: list[float]) -> str:
    pairs = zip(facts.classes, shares, strict=True)
    ordered = sorted(pairs, key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{name} {percent(share)}" for name, share in ordered)


def check_annealing(history: History, facts: Facts) -> Iterable[Alarm]:
    """Annealing holds confidence below what a target needs."""
    level = mean_over(history, tags.TSA_THRESHOLD, facts.window)
    rate = mean_over(history, tags.MASK_RATE, facts.window)
    if facts.threshold is None or level is None or rate is None:
        return
    thresholds = [t for t in facts.tsa_thresholds(level) if t < 1]
    if max(thresholds, default=1.0) < facts.threshold and rate < _LOW_MASK:
        free = len(facts.classes) - len(thresholds)
        of = " of the classes that are not exempt" if free else ""
        yield Alarm(
            "annealing-holds-back",
            f"Annealing holds labelled confidence{of} near {_near(thresholds)}, and a "
            f"target needs {facts.threshold:g}: the mask rate is {rate:.2f}.",
            "A network that is not let become sure of its labelled images is sure of "
            "hardly any other, so the unlabelled branch idles.",
            _for_annealing(facts),
            "follows from the two formulas of Xie et al., NeurIPS 2020",
        )


def _near(thresholds: Sequence[float]) -> str:
    ends = dict.fromkeys(f"{t:.2f}" for t in (min(thresholds), max(thresholds)))
    return " to ".join(ends)


def _for_annealing(facts: Facts) -> str:
    earlier = "end annealing before the branch starts (--tsa-share up to --start-share)"
    options: list[tuple[str, Settings | None]] = [
        (earlier, {"supervised.tsa_share": 0.0123})
    ]
    if less := less_annealing(facts):
        options.append((f"take {less}", None))
    options.append(("lower --threshold", THRESHOLD))
    return sentence(one_of(facts, *options))


DIAGNOSIS: tuple[Check, ...] = (
    check_recall,
    check_starving,
    check_mix,
    check_annealing,
)
