"""Temperature: one number that makes probabilities mean what they say.

Fitted by the likelihood of held-out answers; it never changes which class is first.
Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks",
ICML 2017.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Outside, a validation part is too small to be believed.
LOWEST, HIGHEST = 0.1, 10.0
_HALVINGS = 60
# Stands for an impossible class: infinity would make NaN of what is subtracted.
_FLOOR = -1e6


def scaled(log_probs: npt.NDArray[Any], temperature: float = 1.0) -> Floats:
    """Return (N, C) log_softmax(log_probs / temperature), all of them finite."""
    values = np.maximum(np.asarray(log_probs, np.float64), _FLOOR) / temperature
    values = values - values.max(axis=1, keepdims=True)
    norm = np.log(np.exp(values).sum(axis=1, keepdims=True))
    return np.asarray(values - norm)


def log_losses(
    log_probs: npt.NDArray[Any], targets: Ints, temperature: float = 1.0
) -> Floats:
    """Return (N,) negative log-likelihoods of the true classes, in nats."""
    logs = scaled(log_probs, temperature)
    return np.asarray(-logs[np.arange(len(logs)), targets])


def fit_temperature(log_probs: npt.NDArray[Any], targets: Ints) -> float:
    """Return the temperature with the smallest mean negative log-likelihood.

    The loss is convex in b = 1 / temperature, with the derivative mean(sum_k p_k z_k
    - z_y), so its zero is found by halving log b. Where no answer is wrong the
    likelihood would let every probability become 1; such data say nothing about
    confidence, and the temperature stays 1.

    Args:
        log_probs: (N, C) natural logarithms, or any logits.
        targets: (N,) true classes.

    Returns:
        A temperature within 0.1 to 10; above 1 the model was too sure of itself.
    """
    logs = np.maximum(np.asarray(log_probs, dtype=np.float64), _FLOOR)
    if not len(logs) or bool((logs.argmax(axis=1) == targets).all()):
        return 1.0
    low, high = -math.log(HIGHEST), -math.log(LOWEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _slope(logs, targets, math.exp(middle)) > 0:
            high = middle
        else:
            low = middle
    return math.exp(-(low + high) / 2)


def _slope(logs: Floats, targets: Ints, inverse: float) -> float:
    """Return the derivative of the mean loss by the inverse temperature."""
    mean = (np.exp(scaled(logs, 1 / inverse)) * logs).sum(axis=1)
    return float((mean - logs[np.arange(len(logs)), targets]).mean())
