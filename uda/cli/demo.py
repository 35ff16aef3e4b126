"""``uda demo``: the whole way on synthetic images, by the commands a user types.

Every stage prints its command and then runs it, so that the demo can be copied.
"""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from uda.errors import UsageError
from uda.training.stop import own_signals

# Share of the minutes that UDA gets. The baseline does as many steps without the
# unlabelled images, which cost most of a step: it needs less than the rest.
UDA_SHARE = 0.7
STAGES = 7
FEW_STEPS = 100  # a training shorter than this has hardly begun
METHODS = ("supervised", "uda")


@dataclass(frozen=True)
class Demo:
    """What a demo makes, and where; the tests make a smaller one.

    Attributes:
        out: folder that everything goes below.
        minutes: length of both trainings together.
        seed: of the images, the split and the runs.
        unlabeled: number of unlabelled images.
        side: of an image, in pixels.
        group: how `uda split` learns which photos belong together.
        steps: length of each training, instead of the minutes.
        flags: further words for `uda train`.
    """

    out: Path
    minutes: float = 5.0
    seed: int = 0
    unlabeled: int = 600
    side: int = 96
    group: str = "auto"
    steps: int | None = None
    flags: tuple[str, ...] = ()

    @property
    def data(self) -> Path:
        """Folder of the images."""
        return self.out / "data"

    @property
    def inspection(self) -> Path:
        """Folder of what `uda inspect` found."""
        return self.out / "inspect"

    @property
    def split(self) -> Path:
        """The split file."""
        return self.out / "split.csv"

    @property
    def runs(self) -> Path:
        """Folder of the run folders."""
        return self.out / "runs"

    @property
    def predictions(self) -> Path:
        """Answers for the unlabelled images."""
        return self.out / "predictions.csv"

    @property
    def summary(self) -> Path:
        """The closing table as a file."""
        return self.out / "summary.txt"

    def run(self, method: str) -> Path:
        """Return the run folder of a method."""
        return self.runs / method

    def evaluation(self, method: str) -> Path:
        """Return the folder of a method's numbers on the test part."""
        return self.run(method) / "evaluation" / "test"


@click.command(name="demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for everything; must not exist, or be empty.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(1),
    default=5.0,
    show_default=True,
    help="Length of both trainings together.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def command(out: Path, minutes: float, seed: int) -> None:
    """Make a synthetic surface set, train on it, evaluate, predict.

    Draws photos of metal parts (Good 94, Scratch 32, Rust 11, Grind_Marks 7, and
    600 without a label), looks at them, trains with and without the unlabelled
    ones, and compares both on a test set. Nothing is downloaded.
    """
    run_demo(Demo(out, minutes=minutes, seed=seed))


def run_demo(demo: Demo) -> None:
    """Run every stage, and end with the table and what to do next.

    Raises:
        UsageError: when ``out`` holds anything already.
    """
    begin = time.monotonic()
    if demo.out.exists() and (not demo.out.is_dir() or any(demo.out.iterdir())):
        raise UsageError(
            f"--out {demo.out}: is there already and not empty; choose another "
            "folder, or delete this one"
        )
    with _cache(demo.out / "cache"):
        _stages(demo)
    lines = summary_lines(demo)
    lines += ["", f"All of it took {(time.monotonic() - begin) / 60:.1f} minutes."]
    _finish(demo, lines)


def _stages(demo: Demo) -> None:
    from uda.data.synthetic import write_demo
    from uda.files import read_json

    _stage(1, "draw photos of metal parts")
    write_demo(demo.data, seed=demo.seed, unlabeled=demo.unlabeled, size=demo.side)
    click.echo(f"{demo.data}: see README.txt there for what the photos show")

    _stage(2, "which numbers are too low and require treatment?")
    # What there is to learn from; the test part is made large, as none ever is.
    pool = ("--unlabeled", demo.data / "unlabeled")
    _uda("inspect", demo.data / "train", *pool, "--out", demo.inspection)

    _stage(3, "split by whole parts: no test part may have a twin in training")
    seed = ("--seed", demo.seed)
    _uda("split", demo.data, "--group", demo.group, *seed, "--out", demo.split)

    common = ("--split", demo.split, *seed, "--project", demo.runs, *demo.flags)
    length: tuple[object, ...] = ("--steps", demo.steps)
    if demo.steps is None:
        length = ("--budget", f"{60 * demo.minutes * UDA_SHARE:.0f}s")
    _stage(4, "train with the unlabelled photos (UDA)")
    _uda("train", demo.data, *common, "--name", "uda", *length)

    _stage(5, "the baseline: as many steps, with the labelled photos alone")
    steps = read_json(demo.run("uda") / "status.json")["steps"]
    baseline = ("--method", "supervised", "--name", "supervised", "--steps", steps)
    _uda("train", demo.data, *common, *baseline)

    _stage(6, "ask the test part, which neither run has seen")
    for method in METHODS:
        _uda("evaluate", demo.run(method), "--good-class", "Good")

    _stage(7, "classify the unlabelled photos")
    photos = demo.data / "unlabeled"
    _uda("predict", demo.run("uda"), photos, "--out", demo.predictions)


def _stage(number: int, title: str) -> None:
    click.echo(f"\n== {number} of {STAGES}: {title}")


def _uda(*words: object) -> None:
    """Print a command line and run it as if it had been typed.

    Raises:
        SystemExit: with the command's exit code, where it is not 0.
    """
    from uda.cli import main

    arguments = [str(word) for word in words]
    click.echo(f"$ uda {shlex.join(arguments)}")
    with own_signals():
        main.main(args=arguments, prog_name="uda", standalone_mode=False)


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """Keep decoded images in a folder of the demo, not in the user's cache."""
    before = os.environ.get("UDA_CACHE")
    os.environ["UDA_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["UDA_CACHE"]
        else:
            os.environ["UDA_CACHE"] = before


def summary_lines(demo: Demo) -> list[str]:
    """Return the closing tables: one column per method."""
    from uda.files import read_json
    from uda.reporting.side_by_side import comparison_lines, duel_lines

    evaluations = {method: demo.evaluation(method) for method in METHODS}
    lines = comparison_lines(evaluations, _labelled(demo.split))
    lines += ["", *duel_lines(evaluations["uda"], evaluations["supervised"])]
    steps = read_json(demo.run("uda") / "status.json")["steps"]
    if steps < FEW_STEPS:
        lines += [
            "",
            f"Only {steps} steps fitted into the time, too few to learn from. Is the "
            f"machine busy? Try again with --minutes {2 * demo.minutes:g}.",
        ]
    return lines


def _labelled(split: Path) -> Counter[str]:
    from uda.data.splits import Split

    return Counter(str(row.label) for row in Split.load(split).part("labeled"))


def _finish(demo: Demo, lines: Sequence[str]) -> None:
    from uda.files import atomic_write

    places = [
        (demo.data, "the photos, labelled and not; README.txt says more"),
        (demo.inspection, "counts, groups.csv, and groups.png: photos of one part"),
        (demo.split, "which photo trains, validates, tests"),
        (demo.run("uda"), "the run: config.yaml, weights/, results.csv, tb/"),
        (demo.evaluation("uda"), "its numbers, answers and two pictures"),
        (demo.run("supervised"), "the baseline, with the same files"),
        (demo.predictions, "class and probabilities of each unlabelled photo"),
        (demo.summary, "the tables above"),
    ]
    width = max(len(str(path)) for path, _ in places)
    where = [f"  {str(path).ljust(width)}  {what}" for path, what in places]
    atomic_write(demo.summary, "\n".join(lines) + "\n")
    click.echo("\n== The result\n" + "\n".join(lines))
    click.echo("\n== Where everything is\n" + "\n".join(where))
    click.echo(_NEXT.format(runs=shlex.quote(str(demo.runs))))


_NEXT = """
== Next
  uda monitor {runs}        both runs in TensorBoard
  Your own images: photos/ has a folder per class, more-photos/ no labels.
  uda inspect photos --unlabeled more-photos
  uda split photos --unlabeled more-photos --group auto --out split.csv
  uda train photos --unlabeled more-photos --split split.csv --budget 20m
  uda evaluate runs/train
  uda predict runs/train new-photos --out predictions.csv
"""
