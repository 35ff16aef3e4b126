"""Running sums of what steps do, kept on the device until they are logged.

Reading a number from the device stops it; so it is done once per log line.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uda.data.streams import Batch
from uda.objectives.consistency.method import ConsistencyTerms
from uda.training.monitor import tags
from uda.training.step import Terms


class StepStatistics:
    """Sums over the steps since the last log line."""

    def __init__(
        self,
        class_tags: tuple[str, ...],
        device: torch.device,
        hidden: Tensor,
        labeled: Tensor,
    ) -> None:
        """Start empty.

        Args:
            class_tags: C tag parts.
            device: where the sums are kept.
            hidden: (N,) class of each pool row where it is known, else -1; only
                for telling how many pseudo-labels are right.
            labeled: (N,) bool, pool rows that a person has labelled. Where they are
                among the unlabelled images they tell nothing of these: their target
                is their label.
        """
        self.class_tags = class_tags
        self.hidden = hidden.to(device)
        self.labeled = labeled.to(device)
        self.device = device
        self.reset()

    def reset(self) -> None:
        """Start a new window."""
        size = len(self.class_tags)
        self.steps = 0
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.shares: dict[str, tuple[Tensor, Tensor]] = {}
        # The last is for labels of several classes, the nodes of a tree.
        self.drawn = torch.zeros(size + 1, device=self.device)
        self.kept = torch.zeros(size + 1, device=self.device)
        self.pseudo = torch.zeros(size, device=self.device)
        self.known = torch.zeros((), device=self.device)
        self.right = torch.zeros((), device=self.device)

    def add(self, batch: Batch, terms: Terms, norm: Tensor) -> None:
        """Take in one batch's terms."""
        self.steps += 1
        self._sum("loss/total", terms.total.detach())
        self._sum("loss/supervised", terms.supervised)
        self._sum(tags.GRADIENT_NORM, norm)
        self._sum(tags.LABELED_ACCURACY, terms.correct)
        self.take_labels(batch, terms)
        found, rows = terms.unlabeled, batch.unlabeled_index
        if found is None or terms.consistency is None or rows is None:
            return
        self._sum("loss/consistency", terms.consistency)
        if terms.entropy is not None:
            self._sum("loss/entropy", terms.entropy)
        counted = (~self.labeled[rows]).to(self.drawn.dtype)
        self._share(tags.MASK_RATE, counted * found.mask, counted)
        if found.head_mask is not None:
            self._share(tags.HEAD_MASK_RATE, counted * found.head_mask, counted)
        by_node = found.by_node or {}
        names = tags.class_tags(tuple(by_node))
        for name, (reached, kept) in zip(names, by_node.values(), strict=True):
            self._share(f"{tags.MASK_RATE}/{name}", counted * kept, counted * reached)
        self.take_pseudo_labels(found, self.hidden[rows], counted)

    def take_labels(self, batch: Batch, terms: Terms) -> None:
        """Take in what was drawn and kept of each class."""
        ones = torch.ones_like(terms.kept)
        labels = batch.targets.clamp(max=len(self.class_tags))
        self.drawn.index_add_(0, labels, ones)
        self.kept.index_add_(0, labels, terms.kept.to(ones.dtype))

    def take_pseudo_labels(
        self, found: ConsistencyTerms, truth: Tensor, counted: Tensor
    ) -> None:
        """Take in the pseudo-labels that count, by class.

        Args:
            found: of a batch.
            truth: (U,) classes where they are known, else -1.
            counted: (U,) 0 for images that a person has labelled, else 1.
        """
        # A class that several decisions lead to needs all of them.
        mask = found.mask if found.named is None else found.named.amax(1)
        predicted = (found.targets if found.named is None else found.named).argmax(1)
        mask = counted * mask.to(counted.dtype)
        self.pseudo.index_add_(0, predicted, mask)
        known = mask * (truth >= 0)
        self.known += known.sum()
        self.right += (known * (truth == predicted)).sum()

    def _sum(self, tag: str, value: Tensor) -> None:
        self.sums[tag] = self.sums.get(tag, torch.zeros_like(value)) + value
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def _share(self, tag: str, part: Tensor, whole: Tensor) -> None:
        zero = torch.zeros((), device=self.device)
        before = self.shares.get(tag, (zero, zero))
        self.shares[tag] = (before[0] + part.sum(), before[1] + whole.sum())

    def values(self) -> dict[str, float]:
        """Return the window's means and shares; the only host-device sync."""
        found = {tag: float(s) / self.counts[tag] for tag, s in self.sums.items()}
        shares = {tag: (float(p), float(w)) for tag, (p, w) in self.shares.items()}
        found |= {tag: part / whole for tag, (part, whole) in shares.items() if whole}
        drawn, kept = self.drawn.tolist()[:-1], self.kept.tolist()[:-1]
        for tag, total, part in zip(self.class_tags, drawn, kept, strict=True):
            if total:
                found[f"{tags.KEPT_SHARE}/{tag}"] = part / total
        if tags.MASK_RATE in found:
            pseudo = self.pseudo.tolist()
            total = sum(pseudo)
            for tag, part in zip(self.class_tags, pseudo, strict=True):
                found[f"{tags.PSEUDO_SHARE}/{tag}"] = part / total if total else 0.0
        if float(self.known):
            found["unlabeled/pseudo_right"] = float(self.right) / float(self.known)
        return found
