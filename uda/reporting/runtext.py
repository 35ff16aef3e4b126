"""A run itself in words: what it is, its state, how to repeat it, what it left out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uda.data.table import shown
from uda.intervals import clopper_pearson
from uda.reporting import curves, health, sentences
from uda.reporting.rundata import RunData
from uda.run.environment import anonymous
from uda.run.layout import progress
from uda.training.monitor import tags

_MOST_SKIPPED = 200


def subtitle(run: RunData) -> str:
    """Return method, network, size and date in one line."""
    config = run.config
    model = (config.get("model") or {}).get("name", "?")
    size = (config.get("data") or {}).get("size") or []
    pixels = "×".join(str(side) for side in size)
    told = [
        f"method {config.get('method', '?')}",
        f"network {model}" if run.kind != "texture" else "texture model",
        f"{pixels} pixels" if pixels else "",
        f"seed {config.get('seed', '?')}",
        f"trained {str(run.status['time'])[:10]}" if run.status.get("time") else "",
    ]
    return ", ".join(word for word in told if word)


def state(run: RunData) -> str:
    """Return what keeps a run from being done; nothing for one that is."""
    state = run.status.get("state", "unknown")
    if state == "done":
        return ""
    reason = f" ({run.status['reason']})" if run.status.get("reason") else ""
    return (
        f"The run is {state}{reason}, at {progress(run.status)}: not its final weights."
    )


def validation(run: RunData) -> list[str]:
    """Return what the validation part said, for a run that was never evaluated."""
    counts = health.class_counts(run.split, run.classes) if run.split else []
    told = []
    for one, tag in zip(counts, tags.class_tags(run.classes), strict=False):
        recall = curves.last(run, f"val_ema/recall/{tag}")
        number = one.images["validation"]
        if recall is None or not number:
            continue
        hits, groups = round(recall * number), one.groups["validation"]
        low, high = clopper_pearson(hits, number).hull(
            clopper_pearson(hits / number * groups, groups)
        )
        found: dict[str, Any] = {"value": hits / number, "part": hits, "whole": number}
        found |= {"interval": (low, high)}
        told.append(f"{sentences.share(found)} of {shown(one.name)}")
    if not told:
        return []
    which = "On validation images it found"
    if run.status.get("handed_over", "final") != "final" or _earlier(run.status):
        which = (
            "At its last step the network, which is not what is handed over, found on "
            "validation images"
        )
    return [
        f"{which} {', '.join(told)}.",
        "These images steered the training, so they flatter it.",
    ]


def _earlier(status: Mapping[str, Any]) -> bool:
    """Tell whether early stopping hands over weights of an earlier step."""
    return bool(status.get("chosen") != status.get("stopped"))


def training(run: RunData) -> str:
    """Return how long the training took."""
    if not run.history:
        return "No step was logged."
    seconds = float(run.history[-1].get("time") or 0)
    return (
        f"{run.history[-1]['step']} steps in {seconds / 60:.1f} minutes. The "
        "validation part is small: read trends, not digits."
    )


def no_views(run: RunData, images: bool) -> str:
    """Return why there is no picture of views."""
    if not images or any(one.kept is False for one in run.evaluations):
        return "Left out on request, as all images (--no-thumbnails)."
    return (
        "The run has no picture of views: only training on unlabelled images has any."
    )


def no_branch(run: RunData) -> str:
    """Return why there is no unlabelled branch."""
    method = run.config.get("method", "?")
    return f"The method {method} did not train on unlabelled images, or not yet."


def no_decision(run: RunData) -> str:
    """Return what decides where there is no rule."""
    if any(one.predictions.several for one in run.evaluations):
        return "A class is named above its threshold, see the table of classes."
    return "None was fitted: the likeliest class is taken."


def repeat(run: RunData) -> dict[str, Any]:
    """Return command, versions and settings without home folder and user name."""
    found = run.environment
    words = [anonymous(str(word)) for word in found.get("command") or []]
    if words:  # where the package lies is nobody's business
        module = Path(words[0]).name == "__main__.py"
        words[:1] = ["python", "-m", "uda"] if module else [Path(words[0]).name]
    system, compute = found.get("system") or {}, found.get("compute") or {}
    packages = found.get("packages") or {}
    git = found.get("git") or {}
    rows = [
        ("uda", found.get("uda")),
        (
            "Commit",
            git.get("commit") and f"{git['commit']}{' changed' * git['changed']}",
        ),
        ("Python", found.get("python")),
        ("Packages", ", ".join(f"{k} {v}" for k, v in packages.items() if v)),
        ("System", ", ".join(str(system[k]) for k in ("os", "cpu") if system.get(k))),
        ("Threads", compute.get("threads")),
        ("Accelerators", ", ".join(compute.get("gpus") or []) or "none"),
    ]
    return {
        "command": shlex.join(words),
        "environment": [(k, str(v)) for k, v in rows if v] if found else [],
        "config": [anonymous(line) for line in run.config_text.splitlines()],
    }


def skipped(run: RunData) -> dict[str, Any]:
    """Return (file, where, reason) of files left out, and how many more there are."""
    rows = [(path, "training", reason) for path, reason in run.skipped]
    for one in run.evaluations:
        rows += [(path, one.name, reason) for path, reason in one.facts["skipped"]]
    return {
        "skipped": rows[:_MOST_SKIPPED],
        "skipped_left": max(0, len(rows) - _MOST_SKIPPED),
    }
