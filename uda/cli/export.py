"""``uda export``: a run's model as one file for other programs.

The file is checked against the run before it takes its name.
"""

from __future__ import annotations

from pathlib import Path

import click

from uda.cli.notes import warn_unfinished
from uda.cli.options import (
    WEIGHTS,
    WEIGHTS_HELP,
    no_decision_flag,
    note_thresholds,
    require_decision,
    tta_flag,
)


@click.command(short_help="Write a run's model as one file for other programs.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path, exists=True), required=False)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["onnx", "pt2", "safetensors"]),
    default="onnx",
    show_default=True,
    help="ONNX for any program; pt2 for torch; safetensors: the weights alone.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Model file to write; RUN/export/FORMAT/model.FORMAT by default.",
)
@click.option("--overwrite", is_flag=True, help="Replace an export that is there.")
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS),
    default="ema",
    show_default=True,
    help=WEIGHTS_HELP,
)
@click.option(
    "--pixels",
    type=click.Choice(["uint8", "float32"]),
    default="uint8",
    show_default=True,
    help="Type of the model's input; its values are 0 to 255 in both.",
)
@no_decision_flag
@tta_flag
def command(
    run: Path,
    data: Path | None,
    kind: str,
    out: Path | None,
    overwrite: bool,
    weights: str,
    pixels: str,
    no_decision: bool,
    tta: str | None,
) -> Path:
    """Write the model of RUN as one file, and beside it a JSON that says what it means.

    The file maps pixels to probabilities, for any number of images at once. It is
    compared with the run on images of its validation part; DATA says where the
    run's data are now, where they have moved. `uda predict MODEL PATHS` asks it.

    With --tta flips or d4 the JSON says so, and who asks the file makes the views.
    """
    from uda.export.description import beside
    from uda.export.write import export_run
    from uda.run.layout import open_run

    folder = open_run(run)
    if no_decision:
        require_decision(folder)
    path, described = export_run(
        folder.path,
        kind=kind,  # type: ignore[arg-type]
        out=out,
        weights=weights,
        pixels=pixels,  # type: ignore[arg-type]
        data=data,
        overwrite=overwrite,
        decision=not no_decision,
        tta=tta,
    )
    warn_unfinished(folder)
    size = path.stat().st_size / 2**20
    click.echo(f"Wrote {path} ({size:.1f} MiB) and {beside(path).name}")
    check = described.check
    worst = max(check["largest_difference"].values())
    click.echo(
        f"Largest difference from the run: {worst:.1e} of a probability, on "
        f"{check['images']} images of the {check['part']} part"
    )
    if described.rule is not None:
        click.echo(f"It decides as decision.json does: {described.rule.words()}")
    elif described.tta != "none":
        click.echo(f"Whoever asks it averages over views: --tta {described.tta}")
    elif folder.decision.is_file() and not no_decision:
        click.echo(
            "Note: decision.json is about other weights (--weights) and is left aside",
            err=True,
        )
    if described.thresholds:
        note_thresholds(described.tta)
    return path
