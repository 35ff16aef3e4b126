"""Every loss of one run, built once from its configuration.

The step calls ``on_labeled`` and ``on_unlabeled`` and knows no method by name. What
a method remembers lies in TrainState as a flat dictionary of tensors; the prefix of
a name says whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from uda.data.multilabel import counts_of
from uda.models.heads import Outputs
from uda.models.links import hit_rate
from uda.objectives.acr import Acr
from uda.objectives.consistency.alignment import Aligned
from uda.objectives.consistency.by_class import ByClass
from uda.objectives.consistency.by_node import TreeConsistency
from uda.objectives.consistency.fixmatch import FixMatch
from uda.objectives.consistency.flexmatch import FlexMatch
from uda.objectives.consistency.freematch import FreeMatch
from uda.objectives.consistency.gates import has_opinion
from uda.objectives.consistency.method import (
    ConsistencyTerms,
    Memory,
    Method,
    Shape,
)
from uda.objectives.consistency.pi_model import MeanSquare
from uda.objectives.consistency.pseudo_label import PseudoLabel
from uda.objectives.consistency.softmatch import SoftMatch
from uda.objectives.consistency.uda import Uda
from uda.objectives.focal import focal
from uda.objectives.hierarchy import label_table, label_weights, tree_cross_entropy
from uda.objectives.labeled import Annealing, Labeled, LabeledTerms
from uda.objectives.margins import ldam_logits, ldam_margins
from uda.objectives.priors import adjust_logits, log_prior
from uda.objectives.supervised import class_weights
from uda.training.clock import Clock
from uda.training.config import RunConfig
from uda.training.multilabel import label_branches
from uda.training.prior import refuse_unestimable, sampling_prior, stated_prior
from uda.training.second_head import AbcHead, AcrHead, HeadTerms, SecondHead
from uda.tree import Tree

if TYPE_CHECKING:
    from uda.training.prepare import Parts, Rows

_LABELED, _METHOD, _HEAD = "labeled/", "method/", "head/"


Terms = TypeVar("Terms", ConsistencyTerms, HeadTerms)


@dataclass(frozen=True)
class Objective:
    """The losses of one run.

    Attributes:
        labeled: the supervised branch.
        method: the consistency method.
        head: the losses of the auxiliary head, if there is one.
        prior: (C,) shares that targets are bent to, once they are known.
        allowed: (labels, C) which classes a label allows, with a class tree.
        abstains: targets may be uniform for want of an opinion; those never count.
    """

    labeled: Labeled
    method: Method
    head: SecondHead | None = None
    prior: tuple[float, ...] | None = None
    allowed: Tensor | None = field(default=None, repr=False)
    abstains: bool = False

    def memory(self, shape: Shape) -> Memory:
        """Return all that is remembered before the first step."""
        start = _named(_LABELED, self.labeled.memory())
        start |= _named(_METHOD, self.method.memory(shape))
        if self.head is not None:
            start |= _named(_HEAD, self.head.memory(shape))
        return {name: value.to(shape.device) for name, value in start.items()}

    def hit_rate(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the share of labelled images whose answer their label allows."""
        if self.allowed is None:
            return hit_rate(logits, labels)
        return self.allowed[labels, logits.argmax(1)].float().mean()

    def on_labeled(
        self, outputs: Outputs, labels: Tensor, clock: Clock, memory: Memory
    ) -> tuple[LabeledTerms, Memory]:
        """Return the supervised loss, the auxiliary head's included."""
        terms, after = self.labeled(
            outputs.leaf.float(),
            labels,
            _own(_LABELED, memory),
            progress=clock.progress,
            annealed=clock.annealed,
        )
        memory = memory | _named(_LABELED, after)
        if self.head is None or outputs.auxiliary is None:
            return terms, memory
        extra = self.head.on_labeled(outputs.auxiliary.float(), labels, clock)
        return terms._replace(loss=terms.loss + extra), memory

    def on_unlabeled(
        self,
        weak: Outputs,
        strong: Outputs,
        index: Tensor,
        clock: Clock,
        memory: Memory,
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the consistency terms; the auxiliary head's are their penalty."""
        extra, terms = None, None
        if self.head is not None:
            own = _own(_HEAD, memory)
            extra, after = self.head.on_unlabeled(weak, strong, index, clock, own)
            memory, terms = memory | _named(_HEAD, after), extra.first
        if terms is None:
            terms, after = self.method(
                weak.leaf.float(), strong.leaf.float(), index, _own(_METHOD, memory)
            )
            memory = memory | _named(_METHOD, after)
        terms = self._of_opinions(terms, weak.leaf)
        if extra is None:
            return terms, memory
        if extra.first is not None:  # its adjusted answers look sure of anything
            extra = self._of_opinions(extra, weak.leaf)
        penalty = extra.loss.mean()
        if terms.penalty is not None:
            penalty = penalty + terms.penalty
        return terms._replace(penalty=penalty, head_mask=extra.mask), memory

    def _of_opinions(self, terms: Terms, weak: Tensor) -> Terms:
        """Leave out images that the table of targets says nothing about."""
        if not self.abstains:
            return terms
        gate = has_opinion(weak).to(terms.loss.dtype)
        return terms._replace(loss=gate * terms.loss, mask=gate * terms.mask)


def _named(prefix: str, memory: Memory) -> Memory:
    return {prefix + name: value for name, value in memory.items()}


def _own(prefix: str, memory: Memory) -> Memory:
    cut = len(prefix)
    return {n[cut:]: value for n, value in memory.items() if n.startswith(prefix)}


def build_objective(
    config: RunConfig,
    parts: Parts,
    device: torch.device,
    *,
    estimated: tuple[float, ...] | None = None,
) -> Objective:
    """Build the losses that a configuration names.

    Args:
        config: of the run.
        parts: its images.
        device: where the steps are computed.
        estimated: (C,) prior of the unlabelled images, where it is not stated.
    """
    if config.data.multi_label:
        return Objective(*label_branches(config, parts, device))
    validated = counts_of(parts.validation_targets, len(parts.classes)).tolist()
    refuse_unestimable(config, dict(zip(parts.classes, validated, strict=True)))
    prior_of_pile = estimated or stated_prior(config, parts.classes)
    known = known_rows(config, parts, device)
    counts = torch.from_numpy(parts.class_counts)
    prior = torch.tensor(sampling_prior(config, parts.class_counts))
    return Objective(
        labeled=_in_tree(_labeled(config, counts, prior, device), parts, device),
        method=_method(
            config, prior_of_pile, parts.tree, labeled_rows(parts, device), known
        ),
        head=_second_head(config, counts, prior, known, device),
        prior=prior_of_pile,
        allowed=None if parts.tree is None else label_table(parts.tree).to(device),
        abstains=config.consistency.weak_pass == "table",
    )


def _second_head(
    config: RunConfig,
    counts: Tensor,
    prior: Tensor,
    known: Tensor | None,
    device: torch.device,
) -> SecondHead | None:
    kind, threshold = config.consistency.balanced_head, config.consistency.threshold
    if kind == "abc":
        return AbcHead(config.seed, prior.to(device), counts.to(device))
    if kind == "none":
        return None
    momentum, shares = _momentum(config, Acr.momentum), tuple(prior.tolist())
    method = Acr(shares, threshold, momentum=momentum, known=known)
    return AcrHead(method, log_prior(prior).to(device))


def _in_tree(branch: Labeled, parts: Parts, device: torch.device) -> Labeled:
    """Let a supervised branch take labels of several classes."""
    tree, annealing, weights = parts.tree, branch.annealing, branch.weights
    if tree is None:
        return branch
    if annealing is not None and len(parts.fine) < len(parts.targets):
        annealing = replace(annealing, coarse=True)
    if weights is not None:
        weights = label_weights(weights, torch.from_numpy(parts.class_counts), tree)
    loss = partial(tree_cross_entropy, allowed=label_table(tree).to(device))
    return replace(branch, loss=loss, annealing=annealing, weights=weights)


def _labeled(
    config: RunConfig, counts: Tensor, prior: Tensor, device: torch.device
) -> Labeled:
    settings = config.supervised
    branch = Labeled(weights_from=settings.reweight_from, min_share=settings.min_share)
    if settings.loss == "focal":
        branch = replace(branch, loss=partial(focal, gamma=settings.focal_gamma))
    margins = None
    if settings.loss == "ldam":
        margins = ldam_margins(counts).to(device)
        branch = replace(branch, seen=partial(ldam_logits, margins=margins))
    if settings.logit_adjustment == "loss":
        # Beside margins only where a double correction is asked for.
        shares = log_prior(prior).to(device)
        seen = _Adjust(shares, settings.adjustment_tau, margins)
        branch = replace(branch, seen=seen)
    if settings.tsa != "none":
        annealing = Annealing(
            settings.tsa,
            settings.tsa_form,
            prior.to(device),
            counts.to(device),
            settings.tsa_exempt_below,
        )
        branch = replace(branch, annealing=annealing)
    if settings.class_weights != "none":
        weights = class_weights(counts, settings.class_weights)
        branch = replace(branch, weights=weights.to(device, torch.float32))
    return branch


@dataclass(frozen=True)
class _Adjust:
    """Logits as the loss sees them under logit adjustment, and margins if any."""

    log_shares: Tensor
    tau: float
    margins: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.margins is not None:
            logits = ldam_logits(logits, labels, margins=self.margins)
        return adjust_logits(logits, self.log_shares, tau=self.tau)


def _momentum(config: RunConfig, published: float) -> float:
    """Return the momentum of a method's averages: as published, where runs are long.

    Of 0.999, more than a third is still the start after 1,000 steps, which is a whole
    run here. So they remember no longer than the averaged network.
    """
    return min(published, config.loop.ema_decay)


def _method(
    config: RunConfig,
    prior: tuple[float, ...] | None,
    tree: Tree | None,
    labeled: Tensor | None = None,
    known: Tensor | None = None,
) -> Method:
    settings, threshold = config.consistency, config.consistency.threshold
    gate = None if settings.class_floor is not None else threshold
    methods: dict[str, Method] = {
        "uda": Uda(settings.temperature, gate),
        "fixmatch": FixMatch(0.0 if gate is None else gate),
        "flexmatch": FlexMatch(threshold),
        "freematch": FreeMatch(_momentum(config, FreeMatch.momentum)),
        "softmatch": SoftMatch(_momentum(config, SoftMatch.momentum)),
        "pseudo-label": PseudoLabel(0.0 if gate is None else gate),
        "pi-model": MeanSquare(),
        "mean-teacher": MeanSquare(),
    }
    if not config.semi_supervised:  # nobody asks; the state has one all the same
        return methods["uda"]
    method = methods[config.method]
    if tree is not None and isinstance(method, Uda | FixMatch):
        method = TreeConsistency(method, tree)
    if settings.class_floor is not None:
        method = ByClass(method, threshold)
    if prior is not None and settings.refinery == "align":
        momentum = _momentum(config, Aligned.momentum)
        method = Aligned(method, prior, momentum, tree, labeled, known)
    return method


def labeled_rows(parts: Parts, device: torch.device) -> Tensor:
    """Return (N,) bool: the pool rows that a person has labelled for training."""
    return _marked(parts.truly_labeled.labeled, parts, device)


def known_rows(config: RunConfig, parts: Parts, device: torch.device) -> Tensor | None:
    """Return (N,) bool: the pool rows whose targets are labels or pseudo-labels.

    None without a table of targets, where every target is predicted.
    """
    if config.consistency.weak_pass != "table":
        return None
    return _marked(parts.labeled, parts, device)


def _marked(rows: Rows, parts: Parts, device: torch.device) -> Tensor:
    found = torch.zeros(len(parts.pool.images), dtype=torch.bool)
    found[torch.from_numpy(rows)] = True
    return found.to(device)


def start_memory(objective: Objective, parts: Parts, device: torch.device) -> Memory:
    """Return what a run remembers before its first step."""
    rows = torch.from_numpy(parts.unlabeled)
    shape = Shape(len(parts.classes), len(parts.pool.images), rows, device)
    return objective.memory(shape)
