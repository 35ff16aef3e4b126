"""`uda policy audit`: which ops of a policy destroy which class of a trained run.

Text -> options -> one call of `uda.offline.audit`; then a table and what to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda.cli.notes import say
from uda.cli.options import model_flags
from uda.cli.progress import counter
from uda.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from uda.offline.audit import Audit, Cell
    from uda.offline.visibility import Defects, Visible
    from uda.run.bundle import Bundle
    from uda.run.layout import RunFolder

_PATH = click.Path(path_type=Path)


@click.command(name="audit")
@click.argument("run", type=_PATH)
@click.option(
    "--data", type=_PATH, help="The run's data folder; default: where it was."
)
@click.option(
    "--policy",
    metavar="NAME|FILE",
    help="The policy to audit; default: the run's strong one.",
)
@click.option(
    "--draws",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Views of each image per op.",
)
@click.option("--out", type=_PATH, help="Folder; default: RUN/audit/POLICY.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.10,
    show_default=True,
    help="A mean fall of the probability surely above this is harm.",
)
@click.option(
    "--per-class",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="At most so many images of each class.",
)
@click.option(
    "--boxes",
    type=_PATH,
    help="Annotations of the data's defects (COCO, VOC, YOLO, corners): shows how "
    "much of them stays visible.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@model_flags
def command(
    run: Path,
    data: Path | None,
    policy: str | None,
    draws: int,
    out: Path | None,
    threshold: float,
    per_class: int,
    boxes: Path | None,
    weights: str,
    seed: int,
    batch: int,
    device: str,
) -> None:
    """Show which ops of a policy destroy which class, by RUN's own answers.

    Each op is applied alone to labelled images that the run was not trained on (its
    validation part, never its test part); what counts is how far the probability of
    the true class falls. Writes audit.csv, audit.png and, where ops do harm, a
    policy without them.
    """
    from uda.augment.policy import load_policy
    from uda.evaluation.evaluate import place
    from uda.models.device import choose_device
    from uda.offline import audit_files as files
    from uda.offline.audit import audit_policy
    from uda.run import bundle as bundles
    from uda.run.layout import open_run

    folder = open_run(run)
    audited = load_policy(policy or str(_strong(folder)))
    name = audited.name if policy else f"{audited.name} (the run's strong policy)"
    where = str(choose_device(device))
    bundle = bundles.require_one_label(
        bundles.load_bundle(folder.path, weights=weights),
        "`uda policy audit` asks for the probability of the one true class",
    )
    target = out or folder.path / "audit" / files.file_name(audited)
    files.refuse_foreign(target)
    defects = _defects(boxes, audited, bundle, folder, data)
    chosen, notes = files.choose_images(folder, bundle.classes, data)
    images, more = files.read_images(chosen, bundle.preprocessing, per_class=per_class)
    click.echo(f"{name} on {len(images.targets)} images of the part {chosen.name}")
    audit = audit_policy(
        place(bundle, where),
        audited,
        images,
        bundle.classes,
        draws=draws,
        threshold=threshold,
        seed=seed,
        batch=batch,
        device=where,
        progress=counter("ops"),
    )
    written = files.write_audit(target, audit, audited)
    _print(audit)
    for note in [*notes, *files.not_trained_with(folder, audited), *more, *audit.notes]:
        say(note)
    if defects is not None:
        _follow(defects, audited, target, draws, seed)
    _print_end(target, written)


def _print_end(target: Path, narrowed: Path | None) -> None:
    click.echo(f"Written to {target}")
    if narrowed is not None:
        click.echo(f"Without these ops: uda train DATA --strong {narrowed}")


def _strong(run: RunFolder) -> Path:
    """Return the run's own copy of its strong policy."""
    found = sorted(run.policies.glob("strong.*"))
    if not found:
        raise CheckpointError(
            f"{run.path}: has no strong policy (a supervised run, or a copy without "
            "policies/); name one with --policy"
        )
    return found[0]


def _print(audit: Audit) -> None:
    """Print falls by op and class, then the harm in words."""
    from uda.offline.audit_files import words
    from uda.reporting.text import short, table

    click.echo("\nFall of the true class's probability, each op alone:")
    rows = [["", *(short(label, 14) for label in audit.classes)]]
    for part in audit.elements:
        cells = audit.row(part.name)
        rows.append([part.name, *(words(c).ljust(len("0.00 !")) for c in cells)])
    for line in table(rows):
        click.echo(f"  {line}")
    click.echo(f"  ! = surely above {audit.threshold:g} (95 %)  ? = no verdict")
    if not audit.judged:
        click.echo(
            "\nNo verdict on any class, and no policy is written: the notes say why. "
            "Train longer, or with more validation images, and audit again."
        )
        return
    if not audit.harmful:
        which = "any class"
        if len(audit.judged) < len(audit.classes):
            which += " that there is a verdict on"
        click.echo(f"\nNo op is surely above {audit.threshold:g} for {which}.")
        return
    click.echo("\nThese destroy a class for this model (mean fall, 95 % interval):")
    risks = {part.name: part.risk for part in audit.elements}
    for name in dict.fromkeys(cell.element for cell in audit.harmful):
        worst = [cell for cell in audit.harmful if cell.element == name]
        click.echo(f"  {name}: {', '.join(_said(cell) for cell in worst)}")
        if risks[name]:
            click.echo(f"    {risks[name]}")


def _said(cell: Cell) -> str:
    from uda.data.table import shown

    low, high = cell.interval or (0.0, 0.0)  # a harmful cell has one
    leaving = "" if cell.left is None else f", {cell.left:.0%} leave the class"
    return f"{shown(cell.label)} {cell.fall:.2f} ({low:.2f}-{high:.2f}{leaving})"


def _defects(
    path: Path | None, policy: Any, bundle: Bundle, run: RunFolder, data: Path | None
) -> Defects | None:
    """Read the boxes that --boxes names, or refuse them, before minutes are spent."""
    if path is None:
        return None
    from uda.augment.policy import PythonPolicy
    from uda.data.splits import Split
    from uda.evaluation.locations import data_root
    from uda.offline import visibility

    if isinstance(policy, PythonPolicy):
        raise UsageError(
            "--boxes needs a native policy: a program does not tell how it moves "
            "pixels; leave --boxes out"
        )
    root = data or data_root(run)
    return visibility.read_defects(
        path,
        root if root.is_dir() else root.parent,
        bundle.preprocessing,
        without=[row.path for row in Split.load(run.split).part("test")],
    )


def _follow(defects: Defects, policy: Any, target: Path, draws: int, seed: int) -> None:
    """Print and write how much of the defects stays visible."""
    from uda.offline import visibility
    from uda.offline.audit_files import VISIBILITY

    found = visibility.audit_boxes(
        policy, defects, draws=draws, seed=seed, progress=counter("ops")
    )
    visibility.write_visibility(target / VISIBILITY, found)
    _print_visible(found, defects.smallest, defects.shape)
    for note in defects.notes:
        say(note)


def _print_visible(
    found: list[Visible], smallest: tuple[float, float], shape: tuple[int, int]
) -> None:
    from uda.reporting.text import table

    count = found[0].defects if found else 0
    click.echo(f"\nVisible share of {count} defects at {shape[0]}x{shape[1]} px:")
    rows = [["", "mean", "below half"]]
    rows += [[v.element, f"{v.mean:.2f}", f"{v.hidden:.0%}"] for v in found]
    for line in table(rows):
        click.echo(f"  {line}")
    click.echo(
        f"  smallest defect: {smallest[0]:.1f} x {smallest[1]:.1f} px (height, width)"
    )
