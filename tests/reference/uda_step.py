"""A literal UDA step: one example, one class at a time, nothing vectorised.

Written from the equations of the paper (arXiv 1904.12848) and from what the
released image code does, not from the package, which is compared with it.
"""

from __future__ import annotations

import math

import torch


def probabilities(logits, temperature=1.0):
    """Softmax of a list of scalars; keeps gradient where the scalars have one."""
    largest = max(z.item() for z in logits) / temperature
    powers = [torch.exp(z / temperature - largest) for z in logits]
    total = sum(powers)
    return [power / total for power in powers]


def annealing_threshold(progress, num_classes, schedule):
    alpha = {
        "log": 1.0 - math.exp(-progress * 5.0),
        "linear": progress,
        "exp": math.exp((progress - 1.0) * 5.0),
    }[schedule]
    return alpha * (1.0 - 1.0 / num_classes) + 1.0 / num_classes


def supervised_term(logits_labeled, labels, threshold):
    """Mean cross entropy of the examples at or below the threshold (None = all)."""
    total, num_kept = 0.0, 0
    for logits, label in zip(logits_labeled, labels, strict=True):
        p = probabilities(logits)[int(label)]
        if threshold is not None and p.item() > threshold:
            continue
        total = total - torch.log(p)
        num_kept += 1
    return total / max(num_kept, 1)


def consistency_term(logits_weak, logits_strong, temperature, threshold):
    """KL from the sharpened weak to the strong prediction; mean over ALL examples."""
    total = 0.0
    for weak, strong in zip(logits_weak, logits_strong, strict=True):
        unsharpened = [p.item() for p in probabilities(weak)]
        if not max(unsharpened) > threshold:
            continue
        targets = [p.item() for p in probabilities(weak, temperature)]
        for target, p in zip(targets, probabilities(strong), strict=True):
            total = total + target * (math.log(target) - torch.log(p))
    return total / len(logits_weak)


def entropy_term(logits_weak):
    """Mean entropy of the weak predictions, without mask, with gradient."""
    total = 0.0
    for weak in logits_weak:
        for p in probabilities(weak):
            total = total - p * torch.log(p)
    return total / len(logits_weak)


def uda_step_loss(
    logits_labeled,
    labels,
    logits_weak,
    logits_strong,
    *,
    progress,
    schedule,
    temperature,
    confidence,
    consistency_weight,
    entropy_weight,
):
    """L = L_sup + lambda L_con + e L_ent, all in float64 scalars."""
    num_classes = len(logits_labeled[0])
    threshold = (
        None
        if schedule is None
        else annealing_threshold(progress, num_classes, schedule)
    )
    return (
        supervised_term(logits_labeled, labels, threshold)
        + consistency_weight
        * consistency_term(logits_weak, logits_strong, temperature, confidence)
        + entropy_weight * entropy_term(logits_weak)
    )
