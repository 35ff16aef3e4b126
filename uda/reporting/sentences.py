"""A run's evaluation in words: what is found, what slips through, whether UDA paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uda.data.splitfile import unit_of
from uda.data.table import shown
from uda.evaluation.paired import Asked, compare
from uda.evaluation.predict import Predictions
from uda.reporting.rundata import Evaluated, RunData
from uda.run.layout import NETWORK

_NAMED = 6  # classes that a sentence can hold
_WARM = "warm start (the same network before the unlabelled images came in)"
_BAD = 0.2  # an escape or overkill above this is marked
_RIVAL = (
    " Some of that is longer training: uda train --method supervised is the fair rival."
)
Json = Mapping[str, Any]


def percent(value: float) -> str:
    """Return ``87%``, with a decimal below 10%."""
    return f"{100 * value:.1f}%" if 0 < value < 0.1 else f"{100 * value:.0f}%"


def share(estimate: Json) -> str:
    """Return for example ``87% (26 of 30; 69% to 96%)``."""
    if estimate["value"] is None:
        return "n/a"
    told = []
    if estimate.get("part") is not None:
        told.append(f"{estimate['part']} of {estimate['whole']}")
    if estimate.get("interval"):
        low, high = estimate["interval"]
        told.append(f"{percent(low)} to {percent(high)}")
    return percent(estimate["value"]) + (f" ({'; '.join(told)})" if told else "")


def answer(evaluated: Evaluated) -> str:
    """Return one sentence, its stop left out: of each defect, how much is found."""
    main, images = evaluated.main, evaluated.facts["images"]
    good = main.get("good_class")
    defects = [
        entry
        for entry in main["per_class"]
        if entry["name"] != good and entry["recall"]["value"] is not None
    ]
    if not defects:
        return f"None of the {images} images shows a class that could be found"
    start = f"Of {images} images in {_place(evaluated.name)} the model finds"
    if len(defects) <= _NAMED:
        found = [f"{share(e['recall'])} of {shown(e['name'])}" for e in defects]
        return f"{start} {_joined(found)}"
    defects.sort(key=lambda entry: entry["recall"]["value"])
    mean = float(np.mean([entry["recall"]["value"] for entry in defects]))
    lowest = [f"{shown(e['name'])} {share(e['recall'])}" for e in defects[:3]]
    return (
        f"{start} {percent(mean)} of the images of a class, on average over "
        f"{len(defects)} classes; least of {_joined(lowest)}"
    )


def rates(evaluated: Evaluated) -> list[tuple[str, bool]]:
    """Return escape and overkill in words, which go on with the answer's sentence.

    Returns:
        (words, whether they are bad) of each; empty without a class of good parts.
    """
    main = evaluated.main
    good = main.get("good_class")
    if good is None:
        return []
    told = {
        "escape": f"of the defective parts pass as {shown(good)} (escape)",
        "overkill": "of the good parts are rejected (overkill)",
    }
    return [
        (f"{share(main[key])} {words}", main[key]["value"] > _BAD)
        for key, words in told.items()
        if main[key]["value"] is not None
    ]


def _place(name: str) -> str:
    parts = {"test": "the test part", "validation": "the validation part"}
    return parts.get(name, f"“{shown(name)}”")


def _joined(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def costs(evaluated: Evaluated, run: RunData) -> str:
    """Return what is to be known beside the rates of escape and overkill."""
    main = evaluated.main
    if evaluated.predictions.several:
        return f"All classes of an image are right in {share(main['exact_match'])}."
    good = main.get("good_class")
    if good is None:
        known = (run.config.get("model") or {}).get("good_class") or "CLASS"
        return (
            "How many defective parts pass is not known: no class of good parts was "
            f"named. uda evaluate RUN --good-class {shown(known)} tells it."
        )
    bad = any(bad for _, bad in rates(evaluated))
    return f"Coloured and marked ▾: above {percent(_BAD)}." * bad


def rests_on(evaluated: Evaluated, run: RunData) -> str:
    """Return what the numbers rest on."""
    main = evaluated.main
    counts = [e["images"] for e in main["per_class"] if e["images"]]
    groups = sum(entry["groups"] for entry in main["per_class"])
    told = f"This rests on {sum(counts)} labelled images of {len(counts)} classes"
    if evaluated.predictions.several:
        told = f"This rests on {main['images']} labelled images"
    elif groups < sum(counts):
        told += f" in {groups} groups of alike images"
    told += f", {min(counts, default=0)} of the rarest. In brackets 95% intervals."
    views = evaluated.facts.get("tta", "none")
    if views != "none":
        told += f" Each answer is a mean over views of the image (TTA {shown(views)})."
    if evaluated.name == "validation":
        told += " Training was steered by these images, so they flatter it."
    if evaluated.name == "test" and run.reads > 1:
        told += (
            f" The test part was read {run.reads} times: whoever chose by it has made "
            "it too kind."
        )
    return told


def paid(evaluated: Evaluated, run: RunData) -> str:
    """Return whether training on unlabelled images beat the run's own warm start."""
    warm, method = evaluated.warm, shown(str(run.config.get("method", "")))
    handed = run.status.get("handed_over")
    if run.status.get("trust") == 0:
        return (
            "Whether unlabelled images pay is not known from this run: its labels "
            "carry too little from group to group to trust pseudo-labels made from "
            "them, so no unlabelled image came in."
        )
    if handed == "warm start":
        return (
            "The unlabelled images did not pay: the run ended worse on validation than "
            f"its supervised {_WARM}, and hands that over."
        )
    if warm is None:
        if handed == "texture" and evaluated.facts["main_weights"] == NETWORK:
            return (
                "These are the answers of the network, which was not clearly ahead of "
                "the texture teacher on validation images: the run hands over that."
            )
        if handed == "texture":
            return (
                "The run hands over its texture teacher, since the network was not "
                "clearly ahead on validation images; the network is not measured here."
            )
        return (
            f"Whether unlabelled images pay is not known from this {method} run: it "
            f"has no supervised {_WARM} to be held against."
        )
    if evaluated.predictions.several or warm.ids != evaluated.predictions.ids:
        names = ("macro_ap", "mean average precision")
        weights = evaluated.facts["weights"]
        if "warm" not in weights or names[0] not in weights["warm"]:
            return ""
        before = share(weights["warm"][names[0]])
        return (
            f"Against its own {_WARM}: {names[1]} "
            f"{share(evaluated.main[names[0]])}, there {before}."
        )
    return _against(evaluated, warm, run)


def _against(evaluated: Evaluated, warm: Predictions, run: RunData) -> str:
    main, all_groups = evaluated.predictions, _groups(evaluated, run)
    if all_groups is None:
        return (
            f"Against its own {_WARM} nothing is said: which images belong together "
            "was not noted then; run uda evaluate again."
        )
    known = main.known
    if not known.any():
        return ""
    targets = main.targets[known]
    # Both by their likeliest class: a decision rule is fitted for one of them alone.
    first, second = main.likeliest[known], warm.likeliest[known]
    groups = np.asarray(all_groups)[known]
    repeats = np.zeros(targets.size, np.int64)
    asked = Asked(targets, groups, repeats, {0: int(targets[0])}, len(main.classes))
    found = compare(asked, first, second)["balanced_accuracy"]
    alone = int(((first == targets) & (second != targets)).sum())
    other = int(((first != targets) & (second == targets)).sum())
    low, high = found.interval
    alike = " by the likeliest class, without the rule" if main.rule else ""
    text = (
        f"{_verdict(low, high)}{alike}: balanced accuracy {percent(found.first)}, "
        f"there {percent(found.second)}; a change of "
        f"{_signed(found.value)} points ({_signed(low)} to {_signed(high)}). It alone "
        f"is right on {alone} images, the warm start alone on {other}."
    )
    return text + _RIVAL * (low > 0)


def _groups(evaluated: Evaluated, run: RunData) -> Sequence[object] | None:
    """Return the group of each image; None where nothing is known of them.

    Older evaluations did not note groups; those of the run's parts are in its split.
    """
    ids = evaluated.predictions.ids
    noted = evaluated.facts.get("groups")
    if isinstance(noted, list) and len(noted) == len(ids):
        return noted
    if evaluated.name not in ("test", "validation") or run.split is None:
        return None
    rows = [run.split.by_path.get(name) for name in ids]
    return [
        unit_of(None if row is None else row.group, name)
        for name, row in zip(ids, rows, strict=True)
    ]


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return f"Better than its own {_WARM}"
    if high < 0:
        return f"Worse than its own {_WARM}"
    return f"Better or worse than its own {_WARM}, these images cannot tell"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")
