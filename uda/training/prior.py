"""The class prior of a run: the one place where it is computed.

Labelled batches have the sampler's prior, whatever the counts are; unlabelled
images have one that only somebody who knows the line can state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from uda.augment.specs import did_you_mean
from uda.data.sampling import class_probabilities
from uda.errors import UsageError
from uda.training.config import RunConfig


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
    if stated is None:
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
