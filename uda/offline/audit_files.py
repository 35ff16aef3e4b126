"""What an audit reads and leaves behind: images of a run, table, figure, policy.

The test part of a run is never read: whoever chooses a policy by it has none left.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml

from uda.augment.policy import Policy, PythonPolicy, load_policy
from uda.cores import reading_threads
from uda.data.images import BadImage
from uda.data.preprocessing import Preprocessing, evenly
from uda.data.splits import Split
from uda.data.table import listing, shown
from uda.errors import CheckpointError, DataError, UsageError
from uda.evaluation.parts import EvaluationSet, split_part
from uda.files import (
    OUTPUT_MARK,
    atomic_write,
    output_folder,
    read_json,
    write_csv,
    writing,
)
from uda.offline.audit import Audit, Cell, Images
from uda.offline.narrowing import policy_text, without
from uda.offline.newset import names_in
from uda.run.layout import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEADER = (
    "element", "class", "images", "groups", "probability_untouched", "fall",
    "fall_low", "fall_high", "share_leaving_the_class", "harmful",
)  # fmt: skip
TABLE, FIGURE, VISIBILITY = "audit.csv", "audit.png", "visibility.csv"
_NARROWED = "-audited.yaml"
_LEAD = "without what lowers a trained model's probability of the true class"
_WIDTH = 84  # of a comment line
_SEEN = (
    "the run has no validation part: the labelled training images are used, on which "
    "the model is surer than it should be, so falls look smaller than they are"
)
_UNTRAINED = (
    "the run was not trained with this policy: a fall may also mean that the model "
    "never learned to bear the op; look at its views (uda policy preview) before you "
    "leave it out, or audit a run that was trained with it"
)


def choose_images(
    run: RunFolder, classes: Sequence[str], data: Path | None
) -> tuple[EvaluationSet, list[str]]:
    """Return the fairest labelled part that is not the test part, and notes.

    Raises:
        DataError: no such images, or images that are missing or changed.
        CheckpointError: the run has no split file.
    """
    if not run.split.is_file():
        raise CheckpointError(
            f"{run.split}: missing, so it is unknown which images the model was "
            "trained on; copy the run folder again"
        )
    if Split.load(run.split).part("validation"):
        return split_part(run, classes, "validation", data=data), []
    return split_part(run, classes, "labeled", data=data), [_SEEN]


def not_trained_with(run: RunFolder, policy: Policy | PythonPolicy) -> list[str]:
    """Return a note where the run's strong views were not made by this policy."""
    # By what the run wrote down: a program in its folder is not to be run for this.
    prints = run.policies / "fingerprints.json"
    known = read_json(prints) if prints.is_file() else {}
    same = known.get("strong", {}).get("fingerprint") == policy.fingerprint()
    config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    if same and config.get("method", "uda") == "uda":
        return []
    return [_UNTRAINED]


def read_images(
    chosen: EvaluationSet, preprocessing: Preprocessing, *, per_class: int
) -> tuple[Images, list[str]]:
    """Decode images as the model sees them.

    Args:
        chosen: which images.
        preprocessing: of the run.
        per_class: at most so many of each class, evenly spaced by path.

    Returns:
        The images and notes: what was left out.

    Raises:
        DataError: when none can be decoded.
    """
    rows, notes = _sample(chosen, per_class)

    def decode(row: int) -> Any:
        try:
            return preprocessing.read(chosen.files[row][1])
        except BadImage as error:
            return error

    with ThreadPoolExecutor(reading_threads()) as pool:
        decoded = list(pool.map(decode, rows))
    good = [i for i, image in enumerate(decoded) if not isinstance(image, BadImage)]
    bad = [str(image) for image in decoded if isinstance(image, BadImage)]
    if bad:
        notes.append(f"{len(bad)} images cannot be decoded: {listing(bad, 3)}")
    if not good:
        raise DataError("no labelled image can be decoded; repair the data")
    kept = [rows[i] for i in good]
    images = Images(
        pixels=np.stack([decoded[i] for i in good]),
        targets=chosen.targets[kept],
        groups=[chosen.groups[row] for row in kept],
        fill=np.array(preprocessing.fill, dtype=np.uint8),
    )
    return images, notes


def _sample(chosen: EvaluationSet, per_class: int) -> tuple[list[int], list[str]]:
    rows: list[int] = []
    cut = False
    for target in np.unique(chosen.targets[chosen.targets >= 0]):
        mine = np.flatnonzero(chosen.targets == target)
        cut = cut or mine.size > per_class
        rows += [int(mine[i]) for i in evenly(mine.size, per_class)]
    note = f"at most {per_class} images of each class are used (--per-class)"
    return sorted(rows), [note] if cut else []


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder of anything but audits, before minutes are spent.

    The folder gets the mark of results: images that lie there would be left out of
    the data that they belong to.

    Raises:
        UsageError: a file, or a folder that holds something else.
        DataError: a folder that cannot be read.
    """
    names = names_in(folder)
    known = (TABLE, FIGURE, VISIBILITY)
    other = [n for n in sorted(names) if n not in known and not n.endswith(_NARROWED)]
    if other and OUTPUT_MARK not in names:
        raise UsageError(
            f"--out {shown(folder)}: holds something else than an audit "
            f"({listing(other, 3)}); name a new folder"
        )


def write_audit(folder: Path, audit: Audit, policy: Any) -> Path | None:
    """Write audit.csv, audit.png and, where ops do harm, a policy without them.

    What an older audit left of this policy goes, so that all files agree.

    Args:
        folder: made where it is missing, and marked as results.
        audit: what was found.
        policy: the audited policy.

    Returns:
        The file of the narrowed policy; None where there is nothing to leave out,
        or where a program was audited.

    Raises:
        DataError: the folder cannot be written.
    """
    with writing(folder, "give --out"):
        _clear(output_folder(folder), policy)
        write_csv(folder / TABLE, _HEADER, map(_row, audit.cells))
        atomic_write(folder / FIGURE, _png(draw_audit(audit, policy.name)))
        return _write_policy(folder, audit, policy)


def _clear(folder: Path, policy: Policy | PythonPolicy) -> None:
    (folder / VISIBILITY).unlink(missing_ok=True)
    narrowed = folder / f"{file_name(policy)}{_NARROWED}"
    ours = f"# `{policy.name}` {_LEAD}".encode("utf-8", "backslashreplace")
    if narrowed.is_file() and narrowed.read_bytes().startswith(ours):
        narrowed.unlink()


def _row(cell: Cell) -> tuple[object, ...]:
    # Numbers, not text: a spreadsheet's guard would quote a negative fall.
    low, high = cell.interval or (None, None)
    numbers = (cell.before, cell.fall, low, high, cell.left)
    return (
        cell.element,
        cell.label,
        cell.images,
        cell.groups,
        *("" if value is None else round(value, 4) for value in numbers),
        "yes" if cell.harmful else "no",
    )


def file_name(policy: Policy | PythonPolicy) -> str:
    """Return a policy's name as the name of a file: a policy may be called ``../x``."""
    return re.sub(r"[^\w.-]+", "_", policy.name).lstrip("._")[:80] or "policy"


def removable(audit: Audit) -> list[str]:
    """Return the harmful elements that can be taken out of a policy, in its order."""
    harmful = {cell.element for cell in audit.cells if cell.harmful}
    return [part.name for part in audit.elements[:-1] if part.name in harmful]


def _write_policy(folder: Path, audit: Audit, policy: Any) -> Path | None:
    names = removable(audit)
    if not isinstance(policy, Policy) or not names:
        return None
    name = f"{policy.name}-audited"
    narrowed = without(policy, names)
    values = {"name": name, "source": f"`{policy.name}` without what an audit named."}
    narrowed = type(narrowed)(**{**_fields(narrowed), **values})
    path = folder / f"{file_name(policy)}{_NARROWED}"
    atomic_write(path, policy_text(narrowed, _reasons(audit, policy.name, names)))
    read_back = load_policy(str(path))
    if read_back.fingerprint() != narrowed.fingerprint():  # a fault of this package
        raise RuntimeError(f"{path} does not say what was meant")
    return path


def _fields(policy: Policy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in policy.__dataclass_fields__}


def _reasons(audit: Audit, name: str, names: Sequence[str]) -> list[str]:
    """Return the comments of the narrowed policy: what is gone, and why."""
    lines = [
        f"`{name}` {_LEAD}",
        f"by more than {audit.threshold:g} on labelled images (95 % intervals):",
    ]
    risks = {part.name: part.risk for part in audit.elements}
    for element in names:
        words = f"{element}: {risks[element]}"
        lines += textwrap.wrap(
            words, _WIDTH, initial_indent="  ", subsequent_indent="    "
        )
        lines += [
            f"    {shown(cell.label)}: fall {cell.fall:.2f} ({cell.interval.low:.2f} "
            f"to {cell.interval.high:.2f}), {cell.images} images"
            for cell in audit.row(element)
            if cell.harmful and cell.interval is not None
        ]
    silent = [shown(label) for label in audit.classes if label not in audit.judged]
    if silent:
        lines += textwrap.wrap(f"No verdict on: {listing(silent)}.", _WIDTH)
    return lines


def draw_audit(audit: Audit, name: str) -> Figure:
    """Draw falls as numbers over colours, one row per element, one column per class.

    An exclamation mark stands where the interval lies above the threshold, a
    question mark, hatched, where there is no verdict.
    """
    from matplotlib.figure import Figure

    rows = [part.name for part in audit.elements]
    values = np.array(
        [
            [np.nan if c.interval is None else c.fall for c in audit.row(row)]
            for row in rows
        ]
    )
    width = 3.6 + 0.9 * len(audit.classes)
    height = 1.9 + 0.3 * len(rows)
    figure = Figure(figsize=(min(width, 24), min(height, 30)), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(
        np.ma.masked_invalid(values), cmap="Reds", vmin=0, vmax=1, aspect="auto"
    )
    _hatch(axes, np.isnan(values))
    figure.colorbar(picture, ax=axes, label="fall of the true class's probability")
    counts = [f"{_short(c.label)} ({c.images})" for c in audit.row(rows[0])]
    axes.set_xticks(
        range(len(counts)), counts, rotation=30, ha="right", parse_math=False
    )
    axes.set_yticks(range(len(rows)), rows, parse_math=False)
    for (y, x), value in np.ndenumerate(values):
        cell = audit.row(rows[y])[x]
        axes.text(
            x, y, words(cell), ha="center", va="center", fontsize=8,
            color="white" if value > 0.6 else "black",
        )  # fmt: skip
    silent = "; ? = no verdict" if np.isnan(values).any() else ""
    figure.suptitle(
        f"{_short(name)}: each op alone; ! = surely above {audit.threshold:g}{silent}",
        fontsize=10,
        parse_math=False,
    )
    return figure


def _hatch(axes: Axes, silent: npt.NDArray[np.bool_]) -> None:
    """Cover cells without a verdict: a colour would be read as one."""
    from matplotlib.patches import Rectangle

    for y, x in np.argwhere(silent).tolist():
        axes.add_patch(
            Rectangle(
                (x - 0.5, y - 0.5), 1, 1,
                facecolor="0.93", edgecolor="0.75", hatch="///", linewidth=0,
            )
        )  # fmt: skip


def words(cell: Cell) -> str:
    """Return a fall with "!" for harm or "?" for no verdict."""
    mark = " ?" if cell.interval is None else " !" if cell.harmful else ""
    return f"{round(cell.fall, 2) + 0.0:.2f}{mark}"  # no -0.00


def _short(name: str, longest: int = 24) -> str:
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in name)
    return plain if len(plain) <= longest else plain[: longest - 3] + "..."


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the software's version, the same figure gives the same bytes.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
