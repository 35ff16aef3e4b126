"""The supervised branch as one value: what the loss sees, its form, who counts.

    L = Σ k_i w_(y_i) l(seen(z_i), y_i) / Σ k_i w_(y_i)

``seen`` adjusts logits by a prior or takes a margin off; l is cross entropy or
focal; k is training signal annealing, on the probabilities that the loss sees; w
are class weights, from the start or from a later part of the run (deferred
re-weighting, Cao et al., NeurIPS 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from uda.objectives.annealing import (
    Schedule,
    mean_over_kept,
    tsa_mask,
    tsa_threshold,
)
from uda.objectives.annealing_by_class import (
    exempt_rare,
    mask_by_class,
    prior_thresholds,
    quota_mask,
    quota_memory,
)
from uda.objectives.supervised import cross_entropy, weighted_mean

Memory = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
Form = Literal["common", "prior", "quota"]


def unchanged(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logits as they are."""
    return logits


class LabeledTerms(NamedTuple):
    """What the supervised branch returns.

    Attributes:
        loss: scalar.
        kept: (B,) 1 = gave signal.
    """

    loss: Tensor
    kept: Tensor


@dataclass(frozen=True)
class Annealing:
    """Which labelled examples wait; see ``annealing`` and ``annealing_by_class``.

    Attributes:
        schedule: log, linear or exp.
        form: "common" is the published one threshold; "prior" starts each class at
            its share; "quota" keeps the least-known share of every class.
        prior: (C,) shares of the classes in labelled batches, for "prior".
        counts: (C,) labelled images per class.
        exempt_below: classes of fewer images are never masked; 0 = none.
        coarse: labels of C and more stand for several classes and never wait: what
            they say is little, and hard to learn by heart.
    """

    schedule: Schedule
    form: Form
    prior: Tensor
    counts: Tensor
    exempt_below: int = 0
    coarse: bool = False

    def memory(self) -> Memory:
        """Return what is remembered before the first step."""
        return quota_memory(len(self.prior)) if self.form == "quota" else {}

    def level(self, progress: float) -> float:
        """Return the published threshold at this progress, for the log."""
        return tsa_threshold(progress, len(self.prior), self.schedule)

    def __call__(
        self, logits: Tensor, labels: Tensor, progress: float, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Return the (B,) mask and what is remembered after this batch."""
        if not self.coarse:
            return self._mask(logits, labels, progress, memory)
        # Not by choosing rows: how many there are only the device would know.
        fine = labels < len(self.prior)
        classes = labels.clamp(max=len(self.prior) - 1)
        mask, memory = self._mask(logits, classes, progress, memory, fine)
        return torch.where(fine, mask, 1.0), memory

    def _mask(
        self,
        logits: Tensor,
        labels: Tensor,
        progress: float,
        memory: Memory,
        told: Tensor | None = None,
    ) -> tuple[Tensor, Memory]:
        if self.form == "quota":
            return self._quota(logits, labels, progress, memory, told)
        if self.form == "common" and not self.exempt_below:
            return tsa_mask(logits, labels, self.level(progress)), memory
        prior = self.prior.to(logits.device)
        limits = torch.full_like(prior, self.level(progress))
        if self.form == "prior":
            limits = prior_thresholds(progress, prior, self.schedule)
        limits = exempt_rare(limits, self.counts, below=self.exempt_below)
        return mask_by_class(logits, labels, limits), memory

    def _quota(
        self,
        logits: Tensor,
        labels: Tensor,
        progress: float,
        memory: Memory,
        told: Tensor | None,
    ) -> tuple[Tensor, Memory]:
        # The published level rises from 1/C to 1; as a share of 0..1 it is α(s).
        num = len(self.prior)
        share = (self.level(progress) - 1 / num) / (1 - 1 / num)
        mask, after = quota_mask(logits, labels, memory, progress=share, told=told)
        rare = self.counts.to(labels.device)[labels] < self.exempt_below
        return torch.where(rare, 1.0, mask), after


@dataclass(frozen=True)
class Labeled:
    """The supervised branch.

    Attributes:
        loss: (seen logits (B, C), labels (B,)) -> (B,).
        seen: (logits (B, C), labels (B,)) -> (B, C).
        annealing: who waits, or None.
        weights: (C,) class weights, or None.
        weights_from: share of the run after which the weights count.
        min_share: the mean is over at least this share of the batch (of its
            weight, with class weights), however few are kept.
    """

    loss: Loss = cross_entropy
    seen: Loss = unchanged
    annealing: Annealing | None = None
    weights: Tensor | None = field(default=None, repr=False)
    weights_from: float = 0.0
    min_share: float = 0.0

    def memory(self) -> Memory:
        """Return what is remembered before the first step."""
        return {} if self.annealing is None else self.annealing.memory()

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        memory: Memory,
        *,
        progress: float,
        annealed: float | None,
    ) -> tuple[LabeledTerms, Memory]:
        """Return the loss of one batch.

        Args:
            logits: (B, C).
            labels: (B,) int64.
            memory: from the step before.
            progress: of the run, in [0, 1].
            annealed: progress of the annealing; None once it has ended.
        """
        seen = self.seen(logits, labels)
        kept = torch.ones(len(labels), device=labels.device)
        if self.annealing is not None and annealed is not None:
            kept, memory = self.annealing(seen, labels, annealed, memory)
        losses = self.loss(seen, labels)
        if self.weights is None or progress < self.weights_from:
            mean = mean_over_kept(losses, kept, min_share=self.min_share)
        else:
            weights = self.weights[labels]
            least = self.min_share * weights.sum()
            mean = weighted_mean(losses, kept * weights, least=least)
        return LabeledTerms(mean, kept), memory
