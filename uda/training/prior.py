"""The class prior of a run: the one place where it is computed.

Labelled batches have the sampler's prior, whatever the counts are; unlabelled
images have one that only somebody who knows the line can state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from uda.data.sampling import class_probabilities
from uda.errors import UsageError
from uda.objectives.supervised import class_weights
from uda.training.config import RunConfig
from uda.words import did_you_mean

# With fewer a class's row of the confusion matrix is a guess: of 5 images, all
# right, the 95 % interval of the recall reaches down to 0.48.
MIN_VALIDATION = 5


def sampling_prior(
    config: RunConfig, counts: npt.NDArray[np.int64]
) -> tuple[float, ...]:
    """Return the (C,) class shares of labelled batches.

    Args:
        config: of the run.
        counts: (C,) labelled images per class.
    """
    shares = class_probabilities(
        counts,
        power=config.supervised.sampling_power,
        max_repeat=config.supervised.max_repeat,
    )
    return tuple(float(share) for share in shares)


def stated_prior(config: RunConfig, classes: Sequence[str]) -> tuple[float, ...] | None:
    """Return the (C,) shares of the classes among the unlabelled images, if stated.

    Raises:
        UsageError: a class that does not exist, or one without a share.
    """
    stated = config.consistency.prior
    if stated is None or stated == "estimate":
        return None
    for name in stated:
        if name not in classes:
            raise UsageError(
                f"--prior names the class {name!r}{did_you_mean(name, classes)}; the "
                f"classes are {', '.join(classes)}"
            )
    missing = [name for name in classes if stated.get(name, 0) <= 0]
    if missing:
        raise UsageError(
            f"--prior gives no share to {', '.join(missing)}: state one above 0 for "
            "each class, a guess of 0.001 where it is next to nothing"
        )
    total = sum(stated.values())
    return tuple(stated[name] / total for name in classes)


def refuse_unestimable(config: RunConfig, counts: Mapping[str, int]) -> None:
    """Refuse to estimate the prior from too few validation images.

    Args:
        config: of the run.
        counts: validation images of each class.

    Raises:
        UsageError: says which classes lack how many.
    """
    if config.consistency.prior != "estimate":
        return
    few = [f"{n} ({count})" for n, count in counts.items() if count < MIN_VALIDATION]
    if few:
        raise UsageError(
            f"--prior estimate needs {MIN_VALIDATION} validation images of each class "
            f"to know the network's mistakes; there are fewer of {', '.join(few)}. "
            "Label more, raise --validation, or state the mix (--prior CLASS=SHARE,…)"
        )


def learned_prior(
    config: RunConfig, counts: npt.NDArray[np.int64]
) -> tuple[float, ...]:
    """Return the (C,) prior that the network's answers rest on at the warm start's end.

    That of the labelled batches, as far as no adjustment takes it out and no class
    weights change it.

    Args:
        config: of the run.
        counts: (C,) labelled images per class.
    """
    adjusted = config.supervised.logit_adjustment != "none"
    progress = config.consistency.start_share
    return _resting_on(config, counts, adjusted=adjusted, progress=progress)


def teaching_prior(
    config: RunConfig, counts: npt.NDArray[np.int64], progress: float
) -> tuple[float, ...]:
    """Return the (C,) prior that the network's targets rest on, in the main head.

    As `learned_prior`, but a post-hoc adjustment is of answers and not of targets, and
    class weights may have begun since.

    Args:
        config: of the run.
        counts: (C,) labelled images per class.
        progress: share of the steps that is done.
    """
    adjusted = config.supervised.logit_adjustment == "loss"
    return _resting_on(config, counts, adjusted=adjusted, progress=progress)


def _resting_on(
    config: RunConfig,
    counts: npt.NDArray[np.int64],
    *,
    adjusted: bool,
    progress: float,
) -> tuple[float, ...]:
    settings = config.supervised
    if config.semi_supervised and config.consistency.debias:
        return (1 / len(counts),) * len(counts)  # it goes with the blank image
    shares = np.array(sampling_prior(config, counts))
    if adjusted:
        shares = shares ** (1 - settings.adjustment_tau)
    # When they have just begun nothing has been learned with them.
    begun = settings.reweight_from == 0 or progress > settings.reweight_from
    if settings.class_weights != "none" and begun:
        weights = class_weights(torch.from_numpy(counts), settings.class_weights)
        shares = shares * weights.double().numpy()
    return tuple(float(share) for share in shares / shares.sum())
