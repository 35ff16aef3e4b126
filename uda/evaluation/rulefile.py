"""``decision.json``: a DecisionRule in the run folder, tied to the weights it fits.

A rule of other weights, other classes or another test-time augmentation is refused:
its limits would mean nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uda.errors import CheckpointError, DataError, UsageError
from uda.evaluation.decision import DecisionRule
from uda.evaluation.tta import same_tta
from uda.files import hash_path, read_json, write_json
from uda.run.layout import NETWORK, RunFolder

if TYPE_CHECKING:
    from uda.run.bundle import Bundle

FORMAT = 1


def save_rule(
    run: RunFolder, rule: DecisionRule, weights: str, facts: Mapping[str, Any]
) -> None:
    """Write decision.json, whole or not at all; an earlier one is replaced.

    Args:
        run: the run.
        rule: what to do.
        weights: ``ema`` or ``raw``: which weights it was fitted on.
        facts: what it rests on, for people.
    """
    write_json(
        run.decision,
        {
            "format": FORMAT,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "weights": weights,
            "sha256": weights_digest(run, weights),
            "rule": rule.to_json(),
            **facts,
        },
    )


def own_rule(bundle: Bundle, weights: str) -> DecisionRule | None:
    """Return a run's rule for some weights; None where there is none for them.

    Raises:
        CheckpointError: decision.json is damaged, or about other weights or classes.
    """
    run = RunFolder(bundle.folder)
    if not run.decision.is_file():
        return None
    way_out = f"run `uda tune {run.path}` again, or leave it aside with --no-decision"
    try:
        stored = read_json(run.decision)
    except DataError as error:
        raise CheckpointError(f"{error}; {way_out}") from error
    try:
        if stored["format"] != FORMAT:
            raise CheckpointError(
                f"{run.decision}: written by another version; {way_out}"
            )
        rule = DecisionRule.from_json(stored["rule"])
        fitted, digest = str(stored["weights"]), stored["sha256"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{run.decision}: damaged ({type(error).__name__}: {error}); {way_out}"
        ) from error
    if rule.classes != bundle.classes:
        raise CheckpointError(
            f"{run.decision}: is about the classes {', '.join(rule.classes)}, the "
            f"model knows {', '.join(bundle.classes)}; {way_out}"
        )
    if fitted != weights:
        return None
    if digest != weights_digest(run, weights):
        raise CheckpointError(
            f"{run.decision}: was fitted on other {weights} weights than the run has "
            f"now; {way_out}"
        )
    return rule


def stored_rule(run: RunFolder) -> DecisionRule | None:
    """Return the rule in a run, of whatever weights; None without a whole one."""
    if not run.decision.is_file():
        return None
    try:
        return DecisionRule.from_json(read_json(run.decision)["rule"])
    except (DataError, KeyError, TypeError, ValueError, AttributeError):
        return None


def asked_good_class(run: RunFolder) -> str | None:
    """Return the class of good parts that a run's rule was fitted with, if any."""
    try:
        found = read_json(run.decision)["fitted_on"]["asked"]["good_class"]
    except (DataError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def fitted_part(run: RunFolder) -> str | None:
    """Return the name of the images that a run's rule was fitted on, if it says."""
    try:
        found = read_json(run.decision)["fitted_on"]["part"]
    except (DataError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def require_tta(rule: DecisionRule, label: str, file: Path, run: str) -> None:
    """Refuse a rule that was fitted on other views.

    Args:
        rule: the rule.
        label: of the views that are asked for.
        file: that the rule is from, for the message.
        run: its run, for the message.

    Raises:
        UsageError: the views differ.
    """
    if not same_tta(rule.tta, label):
        raise UsageError(
            f"{file}: fitted under --tta {rule.tta}, and this is --tta {label}, for "
            f"which its limits mean nothing; take --tta {rule.tta}, fit it again "
            f"(`uda tune {run} --tta {label}`), or leave it aside with --no-decision"
        )


def weights_digest(run: RunFolder, weights: str) -> str | None:
    """Return the SHA-256 of some weights as stored beside them, or None."""
    # First texture: a run that hands it over has weights of its network, too.
    names = ["texture.npz", f"{weights}.safetensors"]
    if weights == NETWORK:
        names = ["ema.safetensors"]
    for name in names:
        side = hash_path(run.weights / name)
        if side.is_file():
            return side.read_text(encoding="ascii").strip()
    return None
