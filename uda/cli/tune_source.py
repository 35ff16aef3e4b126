"""What ``uda tune`` fits on: out-of-fold answers, validation images, or new ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.notes import say, say_depth
from uda.cli.progress import counter
from uda.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uda.data.splitfile import SplitRow
    from uda.evaluation.escape import EscapeLimit
    from uda.evaluation.evaluate import Answered
    from uda.evaluation.fold_sample import LimitCheck
    from uda.evaluation.gain import TtaGain
    from uda.evaluation.parts import EvaluationSet
    from uda.evaluation.tta import Tta
    from uda.evaluation.tuning import Sample
    from uda.run.bundle import Bundle
    from uda.run.layout import RunFolder


@dataclass(frozen=True)
class Asking:
    """Whom to ask, and how."""

    run: RunFolder
    bundle: Bundle
    weights: str
    views: Tta
    batch: int
    device: str
    group: str | None = None


@dataclass(frozen=True)
class Source:
    """What a rule is fitted on, and what is to be said of it."""

    name: str
    sample: Sample
    notes: tuple[str, ...]
    words: str
    fresh: bool = False
    folds: bool = False
    gain: TtaGain | None = None


def from_folds(asking: Asking, *, limit_for: str | None) -> Source | None:
    """Return the run's out-of-fold answers, where it has some of what is asked.

    Args:
        asking: whom to ask.
        limit_for: the good class, where an escape limit is fitted. It is then tried
            on the validation part; but where that has more defective groups than are
            left without it, the limit is fitted there.
    """
    from uda.data.splits import Split
    from uda.evaluation.fold_sample import NAME, fold_sample
    from uda.evaluation.tta import NONE

    folder, plain = asking.run, asking.views.label == NONE
    if asking.weights != "ema" or not plain:
        if folder.out_of_fold.is_file():
            click.echo(
                "Note: the out-of-fold answers are of ema weights without --tta, so "
                "the validation part is asked instead",
                err=True,
            )
        return None
    inside = Split.load(folder.split).part("validation")
    spare = limit_for is not None and bool(inside)
    found, why = fold_sample(folder, asking.bundle, spare_validation=spare)
    if found is None:
        if why:
            say(f"{why}; the validation part is asked instead")
        return None
    if limit_for is not None and spare:
        more = _defective_groups(inside, limit_for)
        left = found.sample.groups_of(found.sample.defective(limit_for))
        if left < more:
            click.echo(
                f"Note: the validation part has {more} defective groups, the "
                f"out-of-fold answers without it {left}; so the limit is fitted on the "
                "validation part, and not tried anywhere",
                err=True,
            )
            return None
    again = f", {found.answers} answers each" if found.answers > 1 else ""
    groups = len(set(found.sample.groups))
    words = f"{found.images} images of {groups} groups{again}"
    return Source(NAME, found.sample, found.notes, words, folds=True)


def _defective_groups(rows: Iterable[SplitRow], good_class: str) -> int:
    """Return of how many groups defective images are; an image alone is one."""
    return len({row.unit for row in rows if row.label != good_class})


def from_images(asking: Asking, data: Path | None, seed: int) -> Source:
    """Let the run answer for its validation part, or for DATA."""
    from uda.data.table import shown

    images, fresh = _choose(asking, data)
    if data is not None:
        say_depth([file for _, file in images.files], asking.bundle.preprocessing)
    ask = (asking.bundle, images, asking.batch, asking.device, asking.views)
    sample, skipped = _ask(*ask)
    for path, reason in skipped:
        click.echo(f"skipped {shown(path)}: {shown(reason)}", err=True)
    words = f"{len(sample.targets)} images of {len(set(sample.groups))} groups"
    notes, gain = tuple(images.notes), _gain(*ask, sample, seed)
    return Source(images.name, sample, notes, words, fresh, gain=gain)


def try_limit(asking: Asking, limit: EscapeLimit | None) -> LimitCheck | None:
    """Try a limit that was fitted out of fold on the run itself."""
    import numpy as np

    from uda.data.splits import Split
    from uda.evaluation.fold_sample import check_limit
    from uda.evaluation.tuning import Sample

    if limit is None:
        return None
    if not Split.load(asking.run.split).part("validation"):
        return check_limit(limit, None)
    images, _ = _choose(asking, None)
    found = _answers(asking.bundle, images, asking.batch, asking.device, asking.views)
    told = found.predictions["model"]
    # Not `Sample.of`: to fit takes two groups, to try a limit one is enough.
    whole = Sample(told.log_probs, told.targets, tuple(found.groups), told.classes)
    return check_limit(limit, whole.take(np.flatnonzero(told.known)))


def _choose(asking: Asking, data: Path | None) -> tuple[EvaluationSet, bool]:
    """Return what to fit on, and whether the model never saw any of its groups."""
    from uda.evaluation.locations import data_root
    from uda.evaluation.parts import split_part, unseen_folder

    run, bundle = asking.run, asking.bundle
    own = data_root(run)
    moved = data is not None and not own.exists() and _holds_validation(run, data)
    if data is not None and data.resolve() != own.resolve() and not moved:
        return unseen_folder(run, bundle.classes, data, asking.group), True
    if asking.group is not None:
        raise UsageError(
            "--group has no effect on the run's own images, whose groups its split "
            "says; leave it out"
        )
    if data is None and not own.exists():
        raise DataError(
            f"{own}: the run's data folder is not there; say where it is now, or give "
            f"labelled images that the run never saw: uda tune {run.path} DATA"
        )
    return split_part(run, bundle.classes, "validation", data=data), False


def _holds_validation(run: RunFolder, data: Path) -> bool:
    """Tell whether a folder is the run's own one, moved; hashes are checked later."""
    from uda.data.records import BESIDE
    from uda.data.splits import Split

    root = data.parent if data.is_file() else data
    rows = Split.load(run.split).part("validation") if run.split.is_file() else []
    # Images beside the data (@k/...) have not moved with it.
    names = [row.path for row in rows if not BESIDE.fullmatch(row.path)]
    return bool(names) and all((root / name).is_file() for name in names)


def _ask(
    bundle: Bundle, images: EvaluationSet, batch: int, device: str, tta: Tta
) -> tuple[Sample, list[tuple[str, str]]]:
    """Let the model answer; return what has a label, and what could not be read."""
    from uda.evaluation.tuning import Sample

    found = _answers(bundle, images, batch, device, tta)
    return Sample.of(found.predictions["model"], found.groups), found.skipped


def _answers(
    bundle: Bundle, images: EvaluationSet, batch: int, device: str, tta: Tta
) -> Answered:
    from uda.evaluation.evaluate import answer

    return answer(
        {"model": bundle},
        images,
        batch=batch,
        device=device,
        progress=counter(),
        tta=tta,
    )


def _gain(
    bundle: Bundle,
    images: EvaluationSet,
    batch: int,
    device: str,
    tta: Tta,
    sample: Sample,
    seed: int,
) -> TtaGain | None:
    """Let the model answer without views too, and compare; without any, nothing."""
    from uda.evaluation.gain import tta_gain
    from uda.evaluation.tta import NO_TTA, NONE

    if tta.label == NONE:
        return None
    plain, _ = _ask(bundle, images, batch, device, NO_TTA)
    return tta_gain(tta, sample, plain, seed=seed)
