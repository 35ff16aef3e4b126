"""From held-out answers to a rule and what it gains: one call for ``uda tune``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from uda.evaluation.costs import costs_to_json
from uda.evaluation.crossfit import (
    Answers,
    Change,
    changes,
    cross_fit,
    without_useless_temperature,
)
from uda.evaluation.decided import share
from uda.evaluation.decision import DecisionRule
from uda.evaluation.estimates import Estimate
from uda.evaluation.fold_sample import LimitCheck
from uda.evaluation.rates import confusion_matrix, rates
from uda.evaluation.tuning import Sample, TuneConfig, fit_rule


@dataclass(frozen=True)
class ClassRow:
    """One class of a sample under a rule.

    Attributes:
        name: of the class.
        images: that truly are of it.
        groups: of these images.
        recall_before: of the model alone; None without images.
        recall_after: with cross-fitted rules, as if nothing were unsure.
        unsure: share of its images that would go to a person; None without images.
    """

    name: str
    images: int
    groups: int
    recall_before: float | None
    recall_after: float | None
    unsure: float | None


@dataclass(frozen=True)
class Tuned:
    """A fitted rule, and what it does to images that it was not fitted on.

    Attributes:
        config: what was asked for.
        sample: what the rule was fitted on.
        rule: fitted on all of it.
        answers: cross-fitted.
        changes: cross-fitted, against the model alone.
        certified: whether the model never saw any of the sample's groups.
        folds: whether the answers are out-of-fold ones, of other trainings.
        check: of the escape limit, on images that it was not fitted on.
    """

    config: TuneConfig
    sample: Sample
    rule: DecisionRule
    answers: Answers
    changes: tuple[Change, ...]
    certified: bool
    folds: bool = False
    check: LimitCheck | None = None

    @property
    def by_class(self) -> tuple[ClassRow, ...]:
        """Return one row per class, in the order of the classes."""
        targets, size = self.sample.targets, len(self.sample.classes)
        alone = np.asarray(self.sample.log_probs).argmax(axis=1)
        before = rates(confusion_matrix(targets, alone, size))["recall"]
        after = rates(confusion_matrix(targets, self.answers.predicted, size))["recall"]
        rows = []
        for label, name in enumerate(self.sample.classes):
            mine = targets == label
            some = bool(mine.any())
            rows.append(
                ClassRow(
                    name,
                    self.sample.images_of(mine),
                    self.sample.groups_of(mine),
                    float(before[label]) if some else None,
                    float(after[label]) if some else None,
                    float(self.answers.unsure[mine].mean()) if some else None,
                )
            )
        return tuple(rows)

    @property
    def unsure(self) -> Estimate:
        """Return the share of parts that would go to a person, with its interval."""
        return share(
            self.answers.unsure,
            np.ones(len(self.sample.targets), np.bool_),
            np.asarray(self.sample.groups),
            self.sample.targets,
            seed=self.config.seed,
        )

    def facts(self) -> dict[str, Any]:
        """Return plain values about what the rule rests on, for decision.json."""
        asked = asdict(self.config)
        classes = self.sample.classes
        asked["costs"] = (
            costs_to_json(self.config.costs, classes) if self.config.costs else {}
        )
        return {
            "asked": asked,
            "images": self.sample.images_of(self.sample.targets >= 0),
            "groups": len(set(self.sample.groups)),
            "never_seen_by_the_model": self.certified,
            "out_of_fold": self.folds,
            "escape_on_validation": None if self.check is None else asdict(self.check),
            "cross_fitted": {
                "folds": self.answers.folds,
                "changes": [asdict(change) for change in self.changes],
                "unsure": asdict(self.unsure) if self.rule.lane else None,
                "classes": [asdict(row) for row in self.by_class],
            },
        }


def tune(config: TuneConfig, sample: Sample, *, certified: bool) -> Tuned:
    """Fit a rule, and tell by cross-fitting what it gains.

    Args:
        config: what it shall do, checked.
        sample: held-out answers.
        certified: whether the model never saw any of the sample's groups.

    Raises:
        DataError: the sample cannot support a promise; says how many images could.
    """
    config = without_useless_temperature(config, sample)
    rule = fit_rule(config, sample, certified=certified)
    answers = cross_fit(config, sample, rule)
    return Tuned(
        config, sample, rule, answers, changes(config, sample, answers), certified
    )
