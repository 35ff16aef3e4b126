"""What ``uda tune`` says: the rule, what it gains, what it promises and what not."""

from __future__ import annotations

import math

from uda.data.table import listing
from uda.evaluation.conformal import needed_groups
from uda.evaluation.crossfit import Change
from uda.evaluation.fold_sample import LimitCheck
from uda.evaluation.gain import TtaGain
from uda.evaluation.thresholds import MIN_SUPPORT
from uda.evaluation.tuned import ClassRow, Tuned
from uda.intervals import clopper_pearson
from uda.reporting.text import short, table

_NAMES = {
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "escape": "escape: defective parts passed",
    "overkill": "overkill: good parts rejected",
    "mean_cost": "mean cost per part",
    "log_loss": "log loss [nats]",
}


def tta_lines(gain: TtaGain) -> list[str]:
    """Return what test-time augmentation gains, a line per measure, and its cost."""
    lines = []
    for name in ("balanced_accuracy", "macro_f1"):
        found = gain.differences[name]
        low, high = found.interval
        lines.append(
            f"TTA {gain.label}: {_NAMES[name]} {found.second:.3f} -> "
            f"{found.first:.3f} ({found.value:+.3f}, {low:+.3f} to {high:+.3f})"
        )
    if gain.differences["balanced_accuracy"].interval.low > 0:
        told = "and is better on these images"
    elif gain.worse:
        told = "and is worse on these images"
    else:
        told = "and these images show no gain: without --tta the rule is simpler"
    return [
        *lines,
        f"It takes {gain.views} forward passes per image in place of one, {told}.",
    ]


_CERTIFY = "For a certificate label images that the run never saw: uda tune RUN DATA."


def change_lines(tuned: Tuned) -> list[str]:
    """Return the table before and after, and how it was made."""
    views = tuned.sample.tta
    alone = "model alone" if views == "none" else f"TTA {views} alone"
    rows = [["", alone, "with a rule", "change (95 % interval)", ""]]
    rows += [_change_row(change) for change in tuned.changes]
    return [
        *table(rows),
        f"Cross-fitted over {tuned.answers.folds} folds of groups: each image is "
        "answered by a rule that was fitted without its group.",
    ]


def _change_row(change: Change) -> list[str]:
    name = _NAMES[change.name]
    before, after = (_number(v) for v in (change.before, change.after))
    if change.before is None or change.after is None or change.interval is None:
        return [name, before, after, "n/a", ""]
    low, high = change.interval
    shift = change.after - change.before
    return [
        name,
        before,
        after,
        f"{shift:+.3f} ({low:+.3f} to {high:+.3f})",
        change.verdict,
    ]


def class_lines(tuned: Tuned) -> list[str]:
    """Return a row per class: images, groups, recall, and what the rule has of it."""
    rule = tuned.rule
    header = ["class", "images", "groups", "recall alone", "recall with a rule"]
    header += ["bias"] if rule.bias else []
    header += ["unsure"] if rule.lane is not None else []
    rows = [header]
    for place, entry in enumerate(tuned.by_class):
        cells = [short(entry.name), str(entry.images), str(entry.groups)]
        cells += [_number(entry.recall_before), _number(entry.recall_after)]
        cells += [f"{rule.bias[place]:+.2f}"] if rule.bias else []
        cells += [_number(entry.unsure)] if rule.lane is not None else []
        rows.append(cells)
    return table(rows)


def promise_lines(tuned: Tuned) -> list[str]:
    """Return sentences: what is fitted, what is promised, where images are too few."""
    return [
        *_temperature_lines(tuned),
        *_bias_lines(tuned),
        *_escape_lines(tuned),
        *_lane_lines(tuned),
    ]


def _temperature_lines(tuned: Tuned) -> list[str]:
    temperature = tuned.rule.temperature
    if temperature == 1:
        return [
            "Temperature 1: no other lowers the log loss of images it was not fitted "
            "on, so probabilities stay as they are."
        ]
    sure = "too sure of itself" if temperature > 1 else "not sure enough of itself"
    return [f"Temperature {temperature:.2f}: the model was {sure}."]


def _bias_lines(tuned: Tuned) -> list[str]:
    if not tuned.rule.bias:
        return []
    few = [
        f"{row.name} ({row.groups})"
        for row in tuned.by_class
        if row.groups < MIN_SUPPORT
        and (tuned.config.bias or row.name in tuned.config.recalls)
    ]
    lines = _recall_lines(tuned)
    aim = "mean_cost" if tuned.config.costs else "macro_f1"
    gain = next(change for change in tuned.changes if change.name == aim)
    if tuned.config.bias and gain.verdict != "better":
        lines.append(
            f"Bias: no gain is shown in {_NAMES[aim]}; without --bias the rule is "
            "simpler and no worse for all that these images can tell."
        )
    if few:
        lines.append(
            f"Bias of {listing(few)}: fewer than {MIN_SUPPORT} groups, so it is little "
            "more than a guess."
        )
    return lines


def _recall_lines(tuned: Tuned) -> list[str]:
    """Say what became of each recall target on images it was not fitted on."""
    lines = []
    for row in tuned.by_class:
        share, found = tuned.config.recalls.get(row.name), row.recall_after
        if share is None or found is None:
            continue
        low, high = clopper_pearson(found * row.groups, row.groups)
        need = min(math.ceil(share * (row.images + 1) - 1e-9), row.images)
        lines.append(
            f"Recall of {short(row.name)}: {share:g} asked for, so that {need} of "
            f"{row.images} images here are found; {found:.3f} ({low:.3f} to "
            f"{high:.3f}, {row.groups} groups) where the rule was not fitted. This is "
            "no promise"
            + ("." if found >= share else ", and these images do not bear it out.")
        )
        alone = row.recall_before or 0.0
        if alone >= share:
            lines.append(
                f"Recall of {short(row.name)}: the model alone has {alone:.3f} here, "
                "so without --recall the rule is simpler."
            )
    return lines


def _escape_lines(tuned: Tuned) -> list[str]:
    limit = tuned.rule.escape
    if limit is None:
        return []
    share = (1 + math.tanh(limit.threshold / 2)) / 2  # overflows for no threshold
    held = (
        f"with {limit.confidence:.0%} confidence"
        if limit.guarantee == "confidence"
        else "on average over such fits"
    )
    verb = "" if limit.certified else "would "
    held = f"{held} at most {limit.max_escape:g} of the defective parts {verb}pass"
    mix = "in the mix of defects that these images have"
    lines = [
        f"Escape limit: a part is rejected where the model's own probability of a "
        f"defect is {share:.4g} or more; {limit.missed} of {limit.groups} defective "
        "groups are missed."
    ]
    if limit.certified:
        lines.append(
            f"Certified, as the model never saw an image of these groups: {held}, "
            f"{mix}."
        )
    elif tuned.folds:
        lines += _fold_limit_lines(tuned.check, f"{held}, {mix}")
    else:
        lines.append(
            "NOT certified: these are validation images. Training never learned from "
            "them, but they steered it (which weights were kept, when to stop, how far "
            f"to trust a teacher). Were they new to the model, {held}, {mix}; as it "
            f"is, it may be more. {_CERTIFY}"
        )
    bad = [row for row in tuned.by_class if row.name != limit.good_class]
    lines += [
        f"  {short(row.name)} alone: {_class_promise(row, limit.confidence)}"
        for row in bad
    ]
    return lines


def _fold_limit_lines(check: LimitCheck | None, held: str) -> list[str]:
    """Say what a limit fitted on other trainings' answers is worth."""
    lines = [
        "NOT certified: these are answers of the fold trainings; the run itself has "
        f"since learned from these images. Were it one of those trainings, {held}."
    ]
    if check is None or not check.groups:
        lines.append(
            "The run itself was not tried: its validation part has no defective group. "
            + _CERTIFY
        )
        return lines
    lines.append(
        f"The run itself, on the validation part, which was left out of the fit and "
        f"never trained on: {check.missed} of {check.groups} defective groups missed, "
        f"so with {check.confidence:.0%} confidence at most {check.bound:.2g} of the "
        f"defective parts pass. These images had a say in the training all the same. "
        + _CERTIFY
    )
    return lines


def _class_promise(row: ClassRow, confidence: float) -> str:
    if not row.groups:
        return "no image, so nothing is known of it"
    least = clopper_pearson(0, row.groups, 2 * confidence - 1).high
    return (
        f"{row.groups} groups, which could prove an escape of at most {least:.2g} even "
        "if none were missed"
    )


def _lane_lines(tuned: Tuned) -> list[str]:
    lane = tuned.rule.lane
    if lane is None:
        return []
    lines = [
        f"Unsure lane: expect {tuned.unsure} of the parts to go to a person, in the "
        f"mix of classes that these images have. For {lane.coverage:.0%} of the parts "
        "of each class the true class is not ruled out, on average over such fits."
    ]
    need = needed_groups(lane.coverage)
    few = [
        f"{row.name} ({row.groups})"
        for row, promised in zip(tuned.by_class, lane.promised, strict=True)
        if not promised
    ]
    if few:
        lines.append(
            f"No such promise for {listing(few)}: a class needs {need} groups; it has "
            "the limit of all classes together."
        )
    if tuned.folds:
        lines.append(
            "The lane's coverage, too, is that of the fold trainings, not of the run "
            "itself; images that the run never saw make it exact."
        )
    elif not tuned.certified:
        lines.append(
            "The lane's coverage, too, rests on validation images that steered the "
            "training; images that the run never saw make it exact."
        )
    return lines


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
