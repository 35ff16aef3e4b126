"""ABC: an auxiliary head that sees every class equally often, by leaving out.

The backbone learns from everything; the auxiliary head, which decides at test time,
learns from a Bernoulli draw of it that is even over the classes.
Source: Lee, Shin & Kim, "ABC: Auxiliary Balanced Classifier for Class-Imbalanced
Semi-Supervised Learning", NeurIPS 2021; LeeHyuck/ABC; USB (hard targets, one
strong view, which is what this is).
"""

from __future__ import annotations

from torch import Tensor

from uda.objectives.consistency.divergences import ce
from uda.objectives.consistency.gates import confidence_of
from uda.objectives.consistency.method import ConsistencyTerms
from uda.objectives.consistency.targets import hard
from uda.objectives.supervised import cross_entropy


def keep_labeled(labels: Tensor, counts: Tensor) -> Tensor:
    """Return (B,) chance n_min / n_y that a labelled image counts.

    Args:
        labels: (B,) int64.
        counts: (C,) expected images per class in what is drawn from: training
            counts, or the sampler's shares where it balances already.
    """
    counts = counts.double()
    return (counts.min() / counts)[labels]


def keep_unlabeled(classes: Tensor, counts: Tensor, *, progress: float) -> Tensor:
    """Return (U,) chance 1 - s (1 - n_min / n_c): 1 at first, n_min / n_c at the end.

    Args:
        classes: (U,) int64 predicted classes.
        counts: (C,) as above.
        progress: s in [0, 1].
    """
    return 1 - progress * (1 - keep_labeled(classes, counts))


def abc_labeled(
    logits: Tensor, labels: Tensor, counts: Tensor, uniform: Tensor
) -> Tensor:
    """Return the head's supervised loss: CE(a_i, y_i) where u_i < n_min / n_y.

    Args:
        logits: (B, C) of the auxiliary head.
        labels: (B,) int64.
        counts: (C,), see `keep_labeled`.
        uniform: (B,) numbers u in [0, 1) drawn for the step.

    Returns:
        scalar, mean over all B.
    """
    kept = (uniform.to(labels.device) < keep_labeled(labels, counts)).to(logits.dtype)
    return (cross_entropy(logits, labels) * kept).mean()


def abc_unlabeled(
    weak: Tensor,
    strong: Tensor,
    counts: Tensor,
    uniform: Tensor,
    *,
    progress: float,
    threshold: float = 0.95,
) -> ConsistencyTerms:
    """Return the head's consistency: its own sure answers, thinned to be even.

    Args:
        weak: (U, C) auxiliary logits of the weak view.
        strong: (U, C) of the strong view.
        counts: (C,), see `keep_labeled`.
        uniform: (U,) numbers u in [0, 1) drawn for the step.
        progress: s in [0, 1] of the run.
        threshold: of the head's confidence; equality keeps.
    """
    targets, confidence = hard(weak), confidence_of(weak)
    chance = keep_unlabeled(weak.detach().argmax(1), counts, progress=progress)
    sure = confidence >= threshold
    mask = (sure & (uniform.to(chance.device) < chance)).to(confidence.dtype)
    return ConsistencyTerms(mask * ce(targets, strong), mask, targets)
