"""``uda pretrain``: the warm start of a training by itself, as a file of weights."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda.cli.folders import new_folder
from uda.cli.progress import counter
from uda.cli.train_flags import built, given_settings, settings_flags, train_flags
from uda.errors import UsageError
from uda.files import check_writable, writing

if TYPE_CHECKING:
    from uda.training.config import RunConfig

_FOLDER, _FILE = Path("runs/pretrain"), "trunk.safetensors"


@click.command(
    name="pretrain",
    short_help="Warm up a network without labels; trainings share the weights.",
)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@train_flags
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Length: optimiser updates.",
)
@settings_flags
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New safetensors file. Default: runs/pretrain/trunk.safetensors, "
    "runs/pretrain2/…",
)
def command(
    data: Path | None,
    steps: int,
    config: Path | None,
    assignments: tuple[str, ...],
    out: Path | None,
    **flags: Any,
) -> Path:
    """Teach a network the texture of your images, before any training.

    Does only what `uda train` begins with (--pretrain-steps), and writes the network
    without its head. Takes the flags of `uda train`; no label is learnt from.

    \b
    uda pretrain photos --unlabeled more --split split.csv --steps 2000
    uda train photos --unlabeled more --split split.csv \\
        --weights runs/pretrain/trunk.safetensors --frozen-steps 0 --layer-decay 1
    """  # noqa: D301
    from uda.training.stop import StopRequest

    # Before torch is imported, as in uda train.
    stop = StopRequest().install()
    from uda.training.memory import memory_told
    from uda.training.prepare import build_parts
    from uda.training.pretrain import (
        explained_words,
        pretrained_trunk,
        refuse_without_trunk,
        save_trunk,
    )
    from uda.training.split import find_split

    given = given_settings(data, flags, assignments)
    resolved = _resolved(given, flags, config, steps)
    refuse_without_trunk(resolved)
    _refuse_place(out)
    catalog, split, _ = find_split(resolved)
    with memory_told(resolved):
        parts = build_parts(resolved, catalog, split, counter())
        model, explained = pretrained_trunk(
            resolved, parts, stop=stop, progress=counter("steps")
        )
    if explained is None:
        click.echo(f"Stopped by {stop.name}; nothing was written.", err=True)
        raise SystemExit(stop.exit_code)
    path = new_folder(None, _FOLDER.name) / _FILE if out is None else out
    with writing(path):
        save_trunk(model, path)
    click.echo(f"Written: {path}")
    click.echo(f"{len(parts.training_rows)} images: {explained_words(explained)}")
    _say_next(resolved.data.root, path, split_given=resolved.data.split is not None)
    return path


def _resolved(
    given: dict[str, Any], flags: dict[str, Any], config: Path | None, steps: int
) -> RunConfig:
    """Return the configuration with its warm start, as long as --steps says."""
    from uda.training.settled import read_settings

    if "model.pretrain_steps" in given:
        raise UsageError("--pretrain-steps belongs to uda train; here it is --steps")
    settings = read_settings(config) if config else {}
    if {**settings, **given}.get("method") == "texture":
        raise UsageError("--method texture trains no network, so it has no trunk")
    resolved = built({**given, "model.pretrain_steps": steps}, flags, config)
    if not resolved.data.root:
        raise UsageError("no data: uda pretrain DATA, or data.root in --config")
    return resolved


def _refuse_place(out: Path | None) -> None:
    """Raise a UsageError where the file could not be written in the end."""
    if out is not None and out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: end its name in .safetensors")
    if out is not None and out.exists():
        raise UsageError(
            f"--out {out}: exists and is not overwritten; name another file, or leave "
            f"--out away for {_FOLDER / _FILE}, {_FOLDER}2/…"
        )
    check_writable(_FOLDER if out is None else out)


def _say_next(root: str, path: Path, *, split_given: bool) -> None:
    # The two flags undo what is right for weights of foreign images.
    click.echo(
        f"Next: uda train {shlex.quote(root)} … --weights {shlex.quote(str(path))} "
        "--frozen-steps 0 --layer-decay 1"
    )
    if not split_given:
        click.echo(
            "Keep to this --seed, or give --split: another seed draws validation and "
            "test images that this network has seen"
        )
