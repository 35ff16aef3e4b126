"""How a run ended, as a value that commands can show."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from uda.data.splits import Split
from uda.data.table import listing, shown
from uda.files import read_json
from uda.run.layout import RunFolder


@dataclass(frozen=True)
class Summary:
    """State ``done`` or ``interrupted``, the step, and the last evaluation.

    ``run`` is the folder to evaluate or to resume; None after a dry run.
    """

    state: str
    step: int
    metrics: dict[str, float]
    run: Path | None = None


def done_words(summary: Summary, run: RunFolder) -> str:
    """Return what validation said, on how many images, and what answers; or nothing."""
    answers = ""
    if run.read_status().get("handed_over") == "texture":
        answers = " The run answers by texture descriptors."
    accuracy = summary.metrics.get("val_ema/balanced_accuracy")
    counts = Counter(str(row.label) for row in Split.load(run.split).part("validation"))
    if accuracy is None or not counts:
        return answers
    spec = read_json(run.model)["spec"]
    rests = f"{counts.total()} images"
    if spec["link"] != "sigmoid":  # else a label may be several classes
        lacking = [name for name in spec["classes"] if name not in counts]
        rarest = min(counts, key=counts.__getitem__)
        rests += f", {counts[rarest]} of them {shown(rarest)}"
        rests += f", none of {listing(lacking, 3)}" if lacking else ""
    return f" Validation balanced accuracy {accuracy:.3f} ({rests}).{answers}"


def next_words(run: RunFolder) -> str:
    """Return the command to go on with; the test part is for the end."""
    words = f"uda evaluate {run.path}"
    if not Split.load(run.split).part("validation"):
        return words
    return f"{words} --part validation (without --part the test part: at the end)"
