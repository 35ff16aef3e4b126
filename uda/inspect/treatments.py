"""Advice against imbalance: which one treatment to try first, and what to leave alone.

Pure functions on numbers. The prior is corrected once: what is named first here is
one correction, the rest are alternatives to it or go beside it (docs/imbalance.md).
"""

from __future__ import annotations

from uda.inspect.facts import Advice, Facts
from uda.inspect.numbers import imbalance_ratio
from uda.training.config import SupervisedConfig
from uda.training.prior import MIN_VALIDATION

BALANCED = 1.5
SKEWED = 10.0
# So often an image of the rarest class comes back, for each one of the commonest.
_REPEATS = 10.0
_FEW = 20
_POOL_RATIO = 3
_POWER = SupervisedConfig().sampling_power
_METHODS_AGAINST_IMBALANCE = "flexmatch or freematch"


def correction(facts: Facts) -> Advice | None:
    """Name the one correction of the class prior to try first."""
    ratio = imbalance_ratio(facts.training)
    present = {name: count for name, count in facts.training.items() if count}
    if len(present) < 2 or ratio <= BALANCED:
        return None
    rarest = min(present, key=lambda name: present[name])
    if ratio <= SKEWED:
        return Advice(
            "Keep class-balanced sampling (the default)",
            f"imbalance {ratio:.1f} : 1, moderate; labelled batches draw every class "
            f"alike (--sampling-power {_POWER:g}, the default), and one correction of "
            "the prior is enough: neither weights nor adjusted logits beside it",
            "uda train DATA   (nothing to add)",
            "Cui et al., CVPR 2019: weights matter as classes get rarer",
        )
    return Advice(
        "Balance by half, and adjust the logits by what is left",
        f"imbalance {ratio:.0f} : 1; the default (--sampling-power {_POWER:g}) would "
        f"show each of the {facts.training[rarest]} images of {rarest} {ratio:.0f} "
        "times as often as one of the largest class. Square-root sampling repeats it "
        f"{ratio**0.5:.0f} times, and the loss takes the sampler's own prior out of "
        "the logits: one correction in two parts. Class weights and LDAM are "
        "alternatives to both, never additions",
        "uda train DATA --sampling-power 0.5 --logit-adjustment loss   (or "
        "--sampling-power 1 --class-weights effective)",
        "Menon et al., ICLR 2021; Cui et al., CVPR 2019; Kang et al., ICLR 2020",
    )


def several_labels(facts: Facts) -> Advice | None:
    """Name what weighs rare classes where each is a question of its own."""
    ratio = imbalance_ratio(facts.training)
    if not facts.multi_label or ratio <= BALANCED:
        return None
    return Advice(
        "Keep balanced batches, then try weights or the asymmetric loss",
        f"imbalance {ratio:.1f} : 1 between classes; batches are drawn evenly by each "
        "image's rarest class (the default). Weights of the positives are the "
        "alternative to that, never an addition; the asymmetric loss lets the many "
        "easy negatives count for little",
        "uda train DATA --loss asymmetric   (or --class-weights inverse "
        "--sampling-power 1)",
        "Ridnik et al., ICCV 2021",
    )


def balanced_head(facts: Facts) -> Advice | None:
    """Name the auxiliary head where the pool is large and the classes uneven."""
    ratio = imbalance_ratio(facts.training)
    if ratio <= SKEWED or not _has_pool(facts):
        return None
    return Advice(
        "With the unlabelled images, compare an auxiliary balanced head",
        f"imbalance {ratio:.0f} : 1 and nobody has said how the {facts.unlabeled} "
        "unlabelled images are mixed; of the methods against imbalance this one "
        "suffers least when they are mixed otherwise than the labels. On this "
        "project's own sets it was not shown to pay",
        "uda train DATA --unlabeled DIR --balanced-head abc --sampling-power 1",
        "Lee, Shin and Kim, NeurIPS 2021; USB's table with reversed unlabelled "
        "classes: ABC 80.1, FixMatch 62.1 (CIFAR-10-LT)",
    )


def discouraged(facts: Facts) -> Advice | None:
    """Warn of methods that turn against rare classes."""
    ratio = imbalance_ratio(facts.training)
    if ratio <= SKEWED or not _has_pool(facts):
        return None
    return Advice(
        f"Take --method {_METHODS_AGAINST_IMBALANCE} after a comparison alone",
        "they lower the threshold of a class that gets few pseudo-labels, and a class "
        f"that is rare gets few: at a tenth of the commonest class FlexMatch asks for "
        f"a confidence of {0.95 * 0.1 / 1.9:.2f}, so everything that looks a little "
        "like a defect becomes one. On this project's set of 13 : 1 both were level "
        "with the default, so it depends on the data",
        "uda train DATA --unlabeled DIR --class-floor 0.6   (thresholds per class "
        "with a floor, if one class starves)",
        "follows from the formula of Zhang et al., NeurIPS 2021; even on mildly uneven "
        "SVHN worse than FixMatch in USB",
    )


def annealing(facts: Facts) -> Advice | None:
    """Name class-wise annealing where the images of a rare class come back often."""
    ratio = imbalance_ratio(facts.training)
    least = min(facts.training.values(), default=0)
    if ratio <= _REPEATS or not 0 < least < _FEW:
        return None
    return Advice(
        "If rare images are known by heart, anneal class by class",
        f"with balanced sampling the {least} images of the rarest class come back "
        f"{ratio:.0f} times as often as others and are memorised first; a quota per "
        "class holds back the best-known share of every class, so that the classes "
        "stay in proportion",
        "uda train DATA --tsa-form quota --tsa-share 0.15   (or --tsa-exempt-below "
        f"{least + 1}: never hold back the rarest)",
        "this project's own form of TSA (Xie et al., NeurIPS 2020); no study of TSA "
        "under imbalance is known",
    )


def mix(facts: Facts) -> Advice | None:
    """Ask for the prior of the unlabelled images."""
    ratio = imbalance_ratio(facts.training)
    if ratio <= BALANCED or not _has_pool(facts):
        return None
    return Advice(
        "Say how the unlabelled images are mixed, if the line knows",
        "labelled defects are often collected on purpose, so the labels' own mix says "
        "little about the pool; a stated mix bends the targets to it, a wrong one "
        f"harms. An estimate needs {MIN_VALIDATION} validation images of each class",
        "uda train DATA --unlabeled DIR --prior CLASS=SHARE,...   (or --prior "
        "estimate)",
        "Berthelot et al., ICLR 2020; Lipton et al., ICML 2018",
    )


def foreign_images(facts: Facts) -> Advice | None:
    """Name the filter where the unlabelled images look different."""
    if facts.shift is None or facts.shift <= 0.2 or not facts.unlabeled:
        return None
    return Advice(
        "Check where the unlabelled images come from",
        "their brightness or contrast differs from the labelled ones' (distance "
        f"{facts.shift:.2f} of 1); another camera or another kind of part can harm",
        "label a few dozen of them; or train without them first, then: uda filter "
        "runs/train --unlabeled DIR --out kept.csv, and --unlabeled kept.csv",
        "Oliver et al., NeurIPS 2018: unlabelled images of other classes can hurt; "
        "Xie et al., NeurIPS 2020, section 2.4: filter them",
    )


def _has_pool(facts: Facts) -> bool:
    labeled = sum(facts.training.values())
    return labeled > 0 and facts.unlabeled >= _POOL_RATIO * labeled
