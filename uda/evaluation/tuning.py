"""Fit a DecisionRule on held-out answers: what was asked for, and nothing else.

In the order in which the rule applies its parts, each given the ones before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.errors import DataError, UsageError
from uda.evaluation.bias import (
    bagged_bias,
    cost_along,
    macro_f1_along,
    recall_bias,
)
from uda.evaluation.calibration import fit_temperature
from uda.evaluation.conformal import fit_lane
from uda.evaluation.costs import Costs
from uda.evaluation.decision import UNSURE, DecisionRule
from uda.evaluation.escape import (
    EscapeLimit,
    Guarantee,
    fit_escape,
    misses_for,
    refuse_unsupported,
)
from uda.evaluation.predict import Predictions
from uda.evaluation.tta import NONE
from uda.words import did_you_mean

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TuneConfig:
    """What a rule shall do.

    Attributes:
        calibrate: fit a temperature.
        bias: fit a bias per class; by macro-F1, or by the costs where there are some.
        costs: (C, C) by true class and answer; empty for none.
        good_class: the class of parts without a defect, or None.
        max_escape: limit on the share of defective parts that pass, or None.
        guarantee: kind of promise, see `EscapeLimit`.
        confidence: with which the limit is held.
        recalls: share of a class's parts that is to be found, by class.
        coverage: of the unsure lane, or None for no lane.
        seed: of the bootstrap draws and the folds.
    """

    calibrate: bool = True
    bias: bool = False
    costs: Costs = ()
    good_class: str | None = None
    max_escape: float | None = None
    guarantee: Guarantee = "confidence"
    confidence: float = 0.95
    recalls: Mapping[str, float] = field(default_factory=dict)
    coverage: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """Answers to images of which the truth is known.

    Attributes:
        log_probs: (N, C) of the model itself.
        targets: (N,) true classes.
        groups: (N,) images of one part share one.
        classes: (C,) names.
        tta: label of the views that the answers are means over.
        ids: (N,) of the images; one that was answered several times comes as often.
            Empty: each answer is of an image of its own.
    """

    log_probs: npt.NDArray[Any]
    targets: Ints
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    tta: str = NONE
    ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, predictions: Predictions, groups: Sequence[str]) -> Sample:
        """Keep the images with a known class.

        Raises:
            DataError: fewer than two groups of them.
        """
        rows = np.flatnonzero(predictions.known)
        names = tuple(groups[row] for row in rows.tolist())
        if len(set(names)) < 2:
            raise DataError(
                f"{rows.size} labelled images of {len(set(names))} groups: a decision "
                "rule takes several groups of each class; make a split with a larger "
                "validation part, or give DATA"
            )
        return cls(
            predictions.log_probs[rows],
            predictions.targets[rows],
            names,
            predictions.classes,
            predictions.tta,
            tuple(predictions.ids[row] for row in rows.tolist()),
        )

    def take(self, rows: npt.NDArray[Any]) -> Sample:
        """Return some of the images."""
        kept = tuple(self.groups[row] for row in rows.tolist())
        return replace(
            self,
            log_probs=self.log_probs[rows],
            targets=self.targets[rows],
            groups=kept,
            ids=tuple(self.ids[row] for row in rows.tolist()) if self.ids else (),
        )

    def place_of(self, name: str | None) -> int | None:
        """Return the number of a class; None for none."""
        return None if name is None else self.classes.index(name)

    def defective(self, good_class: str) -> npt.NDArray[np.bool_]:
        """Return (N,) which parts truly are."""
        return np.asarray(self.targets != self.classes.index(good_class))

    def images_of(self, rows: npt.NDArray[np.bool_]) -> int:
        """Return how many images some answers are of."""
        chosen = np.flatnonzero(rows).tolist()
        return len({self.ids[row] for row in chosen}) if self.ids else len(chosen)

    def groups_of(self, rows: npt.NDArray[np.bool_]) -> int:
        """Return of how many groups some images are."""
        return len({self.groups[row] for row in np.flatnonzero(rows).tolist()})


def check_config(config: TuneConfig, classes: Sequence[str]) -> None:
    """Refuse what contradicts itself or the model.

    Raises:
        UsageError: naming the option and the way out.
    """
    good = config.good_class
    if good is not None and good not in classes:
        raise UsageError(
            f"--good-class {good!r} is not a class of the model"
            f"{did_you_mean(good, classes)}; its classes: {', '.join(classes)}"
        )
    if config.max_escape is not None and good is None:
        raise UsageError(
            "--max-escape needs --good-class: which class are parts without a defect? "
            f"The classes: {', '.join(classes)}"
        )
    if config.max_escape is not None and config.costs:
        raise UsageError(
            "--max-escape and --cost both decide what passes as good; keep one"
        )
    _check_recalls(config, classes)
    if config.coverage is not None and UNSURE in classes:
        raise UsageError(
            f"--unsure-coverage writes {UNSURE!r} for what a person should look at, "
            "but a class has that name; rename the class"
        )


def _check_recalls(config: TuneConfig, classes: Sequence[str]) -> None:
    for name in config.recalls:
        if name not in classes:
            raise UsageError(
                f"--recall {name}: is not a class of the model"
                f"{did_you_mean(name, classes)}; its classes: {', '.join(classes)}"
            )
    if config.recalls and config.costs:
        raise UsageError(
            "--recall and --cost both say what a missed part costs; keep one"
        )
    if config.max_escape is not None and config.good_class in config.recalls:
        raise UsageError(
            f"--recall {config.good_class}: --max-escape decides what passes as "
            f"{config.good_class}; keep one"
        )


def fit_rule(
    config: TuneConfig, sample: Sample, *, certified: bool = False
) -> DecisionRule:
    """Fit the whole rule.

    Args:
        config: what it shall do, checked.
        sample: held-out answers.
        certified: whether the model never saw any of the sample's groups.

    Raises:
        DataError: the sample cannot support a promise; says how many images could.
    """
    escape = None
    if config.max_escape is not None and config.good_class is not None:
        bad = sample.groups_of(sample.defective(config.good_class))
        terms = (config.max_escape, config.guarantee, config.confidence)
        refuse_unsupported(bad, *terms)
        escape = fit_limit(config, sample, misses_for(bad, *terms), certified=certified)
    rule = fit_answers(config, sample, escape)
    _refuse_missed(config, sample, rule)
    if config.coverage is None:
        return rule
    lane = fit_lane(
        sample.log_probs,
        sample.targets,
        sample.groups,
        coverage=config.coverage,
        good_class=config.good_class,
    )
    return replace(rule, lane=lane)


def _refuse_missed(config: TuneConfig, sample: Sample, rule: DecisionRule) -> None:
    """Refuse recall targets that cannot be held even where the rule was fitted."""
    answers = rule.answers(sample.log_probs)
    for name, share in config.recalls.items():
        mine = sample.targets == sample.classes.index(name)
        if not mine.any():
            raise DataError(
                f"--recall {name}={share:g}: no image here is of that class; label "
                "some, or leave it out"
            )
        found = float((answers[mine] == sample.targets[mine]).mean())
        if found < share:
            raise DataError(
                f"--recall {name}={share:g}: cannot be had together with what else is "
                f"asked ({found:.3f} is what is left of it on these images); lower it, "
                "or leave another target or limit out"
            )


def fit_limit(
    config: TuneConfig, sample: Sample, misses: int, *, certified: bool = False
) -> EscapeLimit:
    """Fit the escape limit that misses so many defective groups at most."""
    name = config.good_class or ""
    threshold, groups, missed = fit_escape(
        sample.log_probs,
        sample.defective(name),
        sample.groups,
        good=sample.classes.index(name),
        misses=misses,
    )
    return EscapeLimit(
        good_class=name,
        threshold=threshold,
        max_escape=config.max_escape or 0.0,
        guarantee=config.guarantee,
        confidence=config.confidence,
        groups=groups,
        missed=missed,
        certified=certified,
    )


def fit_answers(
    config: TuneConfig, sample: Sample, escape: EscapeLimit | None
) -> DecisionRule:
    """Fit temperature and biases under an escape limit that is given."""
    temperature = (
        fit_temperature(sample.log_probs, sample.targets) if config.calibrate else 1.0
    )
    rule = DecisionRule(
        sample.classes, temperature, costs=config.costs, escape=escape, tta=sample.tta
    )
    if not config.bias and not config.recalls:
        return rule
    bias = _fitted_bias(config, sample, rule)
    wanted = {sample.classes.index(n): share for n, share in config.recalls.items()}
    values = rule.utilities(sample.log_probs)
    bias = recall_bias(values, sample.targets, bias, wanted)
    return replace(rule, bias=tuple(float(value) for value in bias))


def _fitted_bias(config: TuneConfig, sample: Sample, rule: DecisionRule) -> Floats:
    """Return (C,) biases by macro-F1 or cost; zeros where none are asked for."""
    if not config.bias:
        return np.zeros(len(sample.classes))
    escape = rule.escape
    good = [] if escape is None else [sample.classes.index(escape.good_class)]
    score = cost_along(np.asarray(config.costs)) if config.costs else macro_f1_along
    return bagged_bias(
        rule.utilities(sample.log_probs),
        sample.targets,
        sample.groups,
        score,
        fixed=good,
        prior=not config.costs,
        seed=config.seed,
    )
