"""What is done with a trained model: ask it under views, fit thresholds to it."""

from __future__ import annotations

from uda.errors import DataError
from uda.evaluation.evaluate import Answered, answer
from uda.evaluation.parts import split_part
from uda.evaluation.tta import Tta
from uda.evaluation.tuned import Tuned, tune
from uda.evaluation.tuning import Sample, TuneConfig
from uda.run.bundle import Bundle
from uda.run.layout import RunFolder


def ask(bundle: Bundle, part: str, tta: Tta) -> Answered:
    """Ask a run's model for one part of its own split.

    Args:
        bundle: the model.
        part: ``validation``, or ``test``: of a fold, what it holds out.
        tta: the views whose answers are averaged.

    Raises:
        DataError: none of the images can be read. Some that cannot are left out.
    """
    images = split_part(RunFolder(bundle.folder), bundle.classes, part)
    found = answer({"ema": bundle}, images, most_bad=1.0, tta=tta)
    if not found.groups:
        name, reason = found.skipped[0]
        raise DataError(
            f"{name}: {reason}; none of the {len(images.files)} images of the part "
            f"{part!r} can be read"
        )
    return found


def fit_bias(bundle: Bundle, tta: Tta, *, seed: int) -> Tuned:
    """Fit thresholds as ``uda tune --bias`` does, on the run's validation part.

    Raises:
        DataError: fewer than two groups of validation images.
    """
    found = ask(bundle, "validation", tta)
    sample = Sample.of(found.predictions["ema"], found.groups)
    return tune(TuneConfig(bias=True, seed=seed), sample, certified=False)
