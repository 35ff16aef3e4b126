"""Alarms in words: what is seen, why it matters, what to change.

Each check is a pure function of a short history of scalars; an AlarmBook (``book``)
runs them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from uda.training.monitor import tags
from uda.training.monitor.facts import (
    THRESHOLD,
    Facts,
    Settings,
    less_annealing,
    one_of,
    sentence,
    some_prior,
)

_MIN_POINTS = 4
_LOW_MASK, _HIGH_MASK = 0.05, 0.99
_DOMINANT, _DOMINANT_OVER_PRIOR, _PRIOR_FACTOR = 0.9, 0.6, 3.0
_LOW_KEPT, _HIGH_KEPT, _LATE_TSA = 0.05, 0.95, 0.9
_START, _LEARNED = 0.1, 0.3  # shares of the run after which a class is judged
_GROWTH = 10.0
_WAITING = 0.05
_FEW_VALIDATION = 10


@dataclass(frozen=True)
class Alarm:
    """One alarm; ``key`` tells alarms apart, the rest is for people.

    ``source`` says whose rule it is, where it names a treatment.
    """

    key: str
    seen: str
    why: str
    change: str
    source: str = ""

    def text(self) -> str:
        """Return the alarm as one paragraph."""
        rule = f" Rule: {self.source}." if self.source else ""
        return f"{self.seen} {self.why} {self.change}{rule}"

    def markdown(self) -> str:
        """Return the alarm for TensorBoard's text tab."""
        rule = f"\n\n*Rule:* {self.source}" if self.source else ""
        return f"**{self.seen}**\n\n{self.why}\n\n*What to change:* {self.change}{rule}"

    def to_dict(self) -> dict[str, Any]:
        """Return the alarm as it stands in status.json."""
        return asdict(self)


@dataclass(frozen=True)
class Point:
    """The scalars of one step."""

    step: int
    values: Mapping[str, float]


History = Sequence[Point]
Check = Callable[[History, Facts], Iterable[Alarm]]


def mean_over(history: History, tag: str, window: int) -> float | None:
    """Return the mean of a tag over the last ``window`` steps.

    None when the tag has not been there for (almost) the whole window, or with
    fewer than four finite values: too short to speak of "for long".
    """
    if not history:
        return None
    last = history[-1].step
    found = [
        (point.step, point.values[tag])
        for point in history
        if point.step > last - window and math.isfinite(point.values.get(tag, math.nan))
    ]
    if len(found) < _MIN_POINTS or last - found[0][0] < 0.75 * window:
        return None
    return sum(value for _, value in found) / len(found)


def latest(history: History, tag: str) -> float:
    """Return the newest value of a tag that is not told at every step; 0 for none."""
    return next((p.values[tag] for p in reversed(history) if tag in p.values), 0.0)


def percent(share: float) -> str:
    """Return ``94 %`` for 0.94."""
    return f"{100 * share:.0f} %"


def check_mask_rate(history: History, facts: Facts) -> Iterable[Alarm]:
    """The unlabelled branch sees almost nothing, or filters nothing."""
    rate = mean_over(history, tags.MASK_RATE, facts.window)
    if rate is None:
        return
    if rate < _LOW_MASK:
        yield Alarm(
            "mask-rate-low",
            f"The mask rate stays near zero ({rate:.2f} over {facts.window} steps).",
            "Almost no unlabelled image passes the confidence threshold, so the "
            "unlabelled images teach nothing and this is a supervised run.",
            _for_low_mask(history, facts),
        )
    elif rate > _HIGH_MASK and not latest(history, tags.TEXTURE_ALONE):
        yield Alarm(
            "mask-rate-high",
            f"The mask rate stays near one ({rate:.2f} over {facts.window} steps).",
            "Every pseudo label counts, the wrong ones too, so the network is "
            "taught its own mistakes.",
            sentence(
                one_of(
                    facts,
                    ("raise --threshold", THRESHOLD),
                    (
                        "look at the grids: where weak and strong views look alike, "
                        "take a stronger --strong policy",
                        None,
                    ),
                )
            ),
        )


def _for_low_mask(history: History, facts: Facts) -> str:
    options: list[tuple[str, Settings | None]] = [
        ("lower --threshold", THRESHOLD),
        ("train longer (--steps)", None),
    ]
    less = less_annealing(facts)
    if less and any(tags.TSA_THRESHOLD in point.values for point in history):
        options.append((f"let the supervised branch grow confident ({less})", None))
    return sentence(one_of(facts, *options))


def check_pseudo_labels(history: History, facts: Facts) -> Iterable[Alarm]:
    """One class takes almost all pseudo labels, or far more than its prior."""
    expected = facts.unlabeled_prior or facts.prior
    of = "of the labelled batches" if facts.unlabeled_prior is None else "by the prior"
    named = zip(facts.classes, tags.class_tags(facts.classes), expected, strict=True)
    for name, tag, prior in named:
        share = mean_over(history, f"{tags.PSEUDO_SHARE}/{tag}", facts.window)
        if share is None or prior > _DOMINANT:
            continue
        beyond = share > _DOMINANT_OVER_PRIOR and share > _PRIOR_FACTOR * prior
        if share > _DOMINANT or beyond:
            yield Alarm(
                f"pseudo-labels/{tag}",
                f"{name} takes {percent(share)} of the pseudo labels (it is "
                f"{percent(prior)} {of}).",
                "If the unlabelled images are not truly like that, the other "
                "classes are being unlearned: their images are pulled to it.",
                _against_dominance(facts, name),
            )


def _against_dominance(facts: Facts, name: str) -> str:
    options = one_of(
        facts,
        ("raise --threshold", THRESHOLD),
        ("lower --unlabeled-ratio", {"consistency.unlabeled_ratio": 1}),
        ("add labels of the classes that lose", None),
    )
    if facts.unlabeled_prior is not None:
        return sentence(options)
    fine = f"If most unlabelled images are {name}, that is fine"
    told = ": say so with --prior" if facts.accepts(some_prior(facts)) else ""
    return f"{sentence(options)} {fine}{told}."


def check_kept_labels(history: History, facts: Facts) -> Iterable[Alarm]:
    """Training signal annealing drops, or keeps, all of a class for long."""
    progress = history[-1].step / facts.total_steps if history else 0.0
    level = mean_over(history, tags.TSA_THRESHOLD, facts.window)
    if level is None or progress < _START:
        return  # the first steps are meant to look like that
    of_class = zip(
        facts.classes,
        tags.class_tags(facts.classes),
        facts.tsa_thresholds(level),
        strict=True,
    )
    for name, tag, threshold in of_class:
        kept = mean_over(history, f"{tags.KEPT_SHARE}/{tag}", facts.window)
        slow = progress >= _LEARNED and threshold < _LATE_TSA
        if kept is not None and kept < _LOW_KEPT:
            yield _class_dropped(facts, name, tag, kept)
        elif kept is not None and kept > _HIGH_KEPT and slow:
            yield _class_not_learned(name, tag, threshold)


def _class_dropped(facts: Facts, name: str, tag: str, kept: float) -> Alarm:
    less = less_annealing(facts)
    options = [(f"take {less}", None)] if less else []
    stronger = ("take a stronger policy for the labelled images (--labeled-view)", None)
    return Alarm(
        f"labels-dropped/{tag}",
        f"Training signal annealing leaves out {percent(1 - kept)} of the labelled "
        f"{name} images.",
        "The network is surer of them than the schedule allows, so the class "
        "learns nothing from its labels for now.",
        sentence(one_of(facts, *options, stronger)),
    )


def _class_not_learned(name: str, tag: str, threshold: float) -> Alarm:
    return Alarm(
        f"labels-not-learned/{tag}",
        f"Almost no labelled {name} image reaches the annealing threshold "
        f"({threshold:.2f}).",
        "The network does not learn this class even on the images whose label it sees.",
        "Look at the labels and at the image size: a defect of few pixels may be "
        "gone. Else train longer (--steps), or with a higher --lr.",
    )


def check_loss(history: History, facts: Facts) -> Iterable[Alarm]:
    """The loss is growing on its way to NaN."""
    losses = [
        point.values["loss/total"] for point in history if "loss/total" in point.values
    ]
    if len(losses) < 2 * _MIN_POINTS:
        return
    recent = sorted(losses[-_MIN_POINTS:])[_MIN_POINTS // 2]
    before = sorted(losses[:-_MIN_POINTS])
    usual = before[len(before) // 2]
    if not math.isfinite(losses[-1]) or recent > max(_GROWTH * usual, _GROWTH):
        yield Alarm(
            "loss-growing",
            f"The loss grows: {recent:.3g}, where {usual:.3g} was usual.",
            "It ends in NaN, and the averaged weights are spoilt before that.",
            "Lower --lr, or clip gradients (--set optimizer.clip_norm=1), and start "
            "again.",
        )


def check_waiting(history: History, facts: Facts) -> Iterable[Alarm]:
    """The network waits for images."""
    share = mean_over(history, tags.WAITING_SHARE, facts.window)
    if share is not None and share > _WAITING:
        yield Alarm(
            "waiting-for-data",
            f"{percent(share)} of the time goes into waiting for images.",
            "The same training could be done sooner.",
            "More --workers where the policy is a Python file; else leave a core "
            "free (--threads), or put the cache on a faster disk (--set data.cache=…).",
        )


def check_memorised(history: History, facts: Facts) -> Iterable[Alarm]:
    """Labelled images are known by heart and the unlabelled ones unknown."""
    accuracy = mean_over(history, tags.LABELED_ACCURACY, facts.window)
    rate = mean_over(history, tags.MASK_RATE, facts.window)
    if accuracy is None or rate is None:
        return
    if accuracy > 0.999 and rate < _LOW_MASK:
        yield Alarm(
            "memorised",
            "All labelled images are classified right, and the network is sure of "
            f"almost no unlabelled one (mask rate {rate:.2f}).",
            "It knows the labelled images by heart, or the unlabelled ones come "
            "from elsewhere (another camera, crop or part).",
            "Compare both kinds with `uda inspect`; then "
            + one_of(
                facts,
                ("lower --threshold", THRESHOLD),
                (
                    "hold labels back for longer (--tsa linear)",
                    {"supervised.tsa": "linear"},
                ),
                ("label some of the unlabelled ones", None),
            )
            + ".",
        )


def check_validation_size(history: History, facts: Facts) -> Iterable[Alarm]:
    """The validation part is too small to tell a good run from a bad one."""
    pairs = zip(facts.classes, facts.validation_counts, strict=True)
    few = [(name, count) for name, count in pairs if count < _FEW_VALIDATION]
    if not few:
        return
    listed = ", ".join(f"{name} {count}" for name, count in few)
    yield Alarm(
        "validation-small",
        f"Few validation images: {listed}.",
        _what_few_images_say(min(count for _, count in few)),
        "Label more of these classes, or read their recall over several seeds or "
        "folds, never from one run.",
    )


def _what_few_images_say(count: int) -> str:
    if count == 0:
        return "A class without validation images has no recall at all."
    # Clopper-Pearson's lower end when all of n are right is (alpha / 2)^(1/n).
    bound = 0.025 ** (1 / count)
    subject = "the only one is" if count == 1 else f"all {count} are"
    return (
        f"Even if {subject} right, the true recall may be as low as {bound:.2f} (95 % "
        "interval), so small differences between evaluations say nothing."
    )


CHECKS: tuple[Check, ...] = (
    check_mask_rate,
    check_pseudo_labels,
    check_kept_labels,
    check_loss,
    check_waiting,
    check_memorised,
    check_validation_size,
)
