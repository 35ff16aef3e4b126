"""A stored decision rule in words, for people who decide about parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from uda.data.table import listing, shown
from uda.errors import DataError
from uda.evaluation.decision import DecisionRule


def rule_sentences(stored: Mapping[str, Any]) -> list[str]:
    """Return what decision.json does with a part, and what it rests on.

    Raises:
        DataError: it is no decision rule.
    """
    try:
        rule = DecisionRule.from_json(stored["rule"])
        fitted = dict(stored.get("fitted_on") or {})
        weights = shown(stored.get("weights", "?"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"decision.json is damaged ({type(error).__name__}: {error}); write it "
            "again with `uda tune`"
        ) from error
    lines = [
        f"In one line: {shown(rule.words())}.",
        *_answers(rule),
        *_escape(rule),
        *_lane(rule),
    ]
    if {"images", "groups"} <= set(fitted):
        source = (
            "what the fold trainings said of images that they did not see"
            if fitted.get("out_of_fold")
            else f"the {weights} weights and the {shown(fitted.get('part', '?'))} part"
        )
        lines.append(
            f"Fitted on {source}: {fitted['images']} images of "
            f"{fitted['groups']} groups."
        )
    return lines


def _answers(rule: DecisionRule) -> list[str]:
    lines = []
    if rule.temperature != 1:
        sure = "too sure of itself" if rule.temperature > 1 else "not sure enough"
        lines.append(
            f"Probabilities are calibrated by the temperature {rule.temperature:.2f}: "
            f"the model was {sure}."
        )
    if rule.costs:
        lines.append("Of all classes the one with the least expected cost is taken.")
    elif not rule.bias:
        lines.append("The likeliest class is taken.")
    if rule.bias:
        named = sorted(zip(rule.bias, rule.classes, strict=True), reverse=True)
        told = [f"{name} {value:+.2f}" for value, name in named]
        lines.append(
            "A bias per class is added before the best class is taken; above 0 it is "
            f"named more readily: {listing(told, 12)}."
        )
    return lines


def _escape(rule: DecisionRule) -> list[str]:
    limit = rule.escape
    if limit is None:
        return []
    share = (1 + math.tanh(limit.threshold / 2)) / 2
    held = (
        f"with {limit.confidence:.0%} confidence"
        if limit.guarantee == "confidence"
        else "on average over such fits"
    )
    rests = (
        "certified on groups that the model never saw"
        if limit.certified
        else "not certified, as the images it was fitted on had a part in the training"
    )
    return [
        f"A part is rejected where the probability of a defect is {share:.4g} or more, "
        f"else it passes as {shown(limit.good_class)}: {held} at most "
        f"{limit.max_escape:.3g} of the defective parts pass; {rests} "
        f"({limit.missed} of {limit.groups} defective groups were missed)."
    ]


def _lane(rule: DecisionRule) -> list[str]:
    lane = rule.lane
    if lane is None:
        return []
    few = [
        name
        for name, promised in zip(rule.classes, lane.promised, strict=True)
        if not promised
    ]
    told = (
        f"Parts whose answer is unsure go to a person, so that for {lane.coverage:.0%} "
        "of the parts of each class the true class is not ruled out."
    )
    if few:
        told += f" Without that promise, for want of groups: {listing(few)}."
    return [told]
