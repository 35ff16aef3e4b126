"""A pile of unlabelled images: found, asked about, and named in lists.

Shared by `uda filter` and `uda suggest`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from uda.data.chosen import chosen_folders
from uda.data.records import Record
from uda.errors import DataError
from uda.evaluation.evaluate import place
from uda.evaluation.files import predict_files
from uda.evaluation.predict import Predictions
from uda.evaluation.tta import Tta
from uda.files import spreadsheet_safe

if TYPE_CHECKING:
    from uda.run.bundle import Bundle

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Answers:
    """What a model said about a pile.

    Attributes:
        predictions: for the images that could be read, in their order.
        errors: {place: why} of the others.
        readable: places of those that could be read.
    """

    predictions: Predictions
    errors: dict[int, str]
    readable: list[int]


def pile_records(unlabeled: Sequence[Path]) -> list[Record]:
    """Return the images of folders and lists, called ``@k/PATH`` by their place.

    Raises:
        DataError: there is none.
    """
    found = [
        Record(f"@{number}/{path}", chosen.folder, prefix=f"@{number}/")
        for number, chosen in enumerate(chosen_folders(unlabeled))
        for path in chosen.find().images
    ]
    if not found:
        raise DataError(
            f"no images below {', '.join(str(path) for path in unlabeled)}; check "
            "--unlabeled"
        )
    return found


def ask(
    bundle: Bundle,
    records: Sequence[Record],
    *,
    tta: Tta,
    batch: int,
    device: str,
    threads: int,
    progress: Progress | None,
) -> Answers:
    """Let a model answer for a pile.

    Args:
        bundle: the model.
        records: (N,) the images.
        tta: the views of each image whose probabilities are averaged.
        batch: images per forward pass.
        device: where the model is.
        threads: threads that decode.
        progress: called with (stage, done, total).

    Returns:
        Answers for the images that could be read, reasons for the others.

    Raises:
        DataError: none can be read.
    """
    errors: dict[int, str] = {}
    answers: list[Predictions] = []
    for block in predict_files(
        {"model": place(bundle, device)},
        [(record.path, record.file) for record in records],
        classes=bundle.classes,
        preprocessing=bundle.preprocessing,
        batch=batch,
        threads=threads,
        device=device,
        progress=progress,
        tta=tta,
    ):
        answers.append(block.predictions["model"])
        for offset, error in enumerate(block.errors):
            if error is not None:
                errors[block.start + offset] = error
    if len(errors) == len(records):
        raise DataError(
            f"none of the {len(records)} images could be read, the first: {errors[0]}"
        )
    joined = replace(
        answers[0],
        ids=[name for answer in answers for name in answer.ids],
        targets=np.concatenate([answer.targets for answer in answers]),
        log_probs=np.concatenate([answer.log_probs for answer in answers]),
    )
    return Answers(joined, errors, [i for i in range(len(records)) if i not in errors])


def unnameable(records: Sequence[Record]) -> dict[int, str]:
    """Return {place: why} of images that no list can name.

    Names that are not UTF-8, or with a carriage return, cannot be written so that they
    are found again.
    """
    why = "the name is not UTF-8, or has a line break in it: rename the file"
    bad = re.compile("[\ud800-\udfff\r]")
    return {i: why for i, record in enumerate(records) if bad.search(record.path)}


def listed(record: Record, home: Path) -> tuple[str, str]:
    """Return (path, folder) of an image as a list that lies in ``home`` names it.

    The folder counts from there if it lies inside, else it is a full path.
    """
    path = _plain(record.path.removeprefix(record.prefix))
    folder = record.root
    if folder.is_relative_to(home):
        return path, _plain(folder.relative_to(home).as_posix())
    return path, str(folder)


def _plain(path: str) -> str:
    """Return a path that no spreadsheet takes for a formula."""
    # A spreadsheet's formula sign is defused by the folder it stands in.
    return path if spreadsheet_safe(path) == path else f"./{path}"
