"""The arms, draws and suites of docs/results.md: names, flags, and why.

An arm is a name and the flags of `uda train` that make it. Suites share arms, so
that an arm of two suites is trained once.
"""

from __future__ import annotations

from dataclasses import dataclass

# Supervised, classes as the draw has them, nothing annealed: corrections start here.
PLAIN = ["--method", "supervised", "--sampling-power", "1", "--tsa", "none"]
STRONG = ["--labeled-view", "defect-safe"]
ADJUSTED = ["--logit-adjustment", "loss"]
# The unlabelled branch without balanced sampling and TSA.
NATURAL = ["--sampling-power", "1", "--tsa", "none"]
ABC = ["--balanced-head", "abc"]
QUOTA = ["--sampling-power", "1", "--tsa", "log", "--tsa-form", "quota"]

# The warm start, for arms that do not have it by themselves.
WARM = ["--pretrain-steps", "600"]

TEXTURE = "texture"
DEFAULT = "uda, default"
SUPERVISED = "supervised, default"
BALANCED = "class-balanced sampling"

# Placeholders: {prior} is the class shares of the unlabelled pool.
ARMS: dict[str, list[str]] = {
    TEXTURE: ["--method", "texture"],
    "texture, 192 px": ["--method", "texture", "--imgsz", "192"],
    DEFAULT: [],
    SUPERVISED: ["--method", "supervised"],
    # What the default is made of, one at a time.
    "supervised, warm start": ["--method", "supervised", *WARM],
    "uda, no warm start": ["--pretrain-steps", "0"],
    "uda, no texture teacher": ["--set", "consistency.texture_weight=0"],
    "uda, 96 px": ["--imgsz", "96"],
    "uda, neither": [
        "--pretrain-steps", "0", "--set", "consistency.texture_weight=0",
    ],
    # The ladder: each rung keeps the one before, unless it says "for".
    "supervised": PLAIN,
    "+ strong views of labelled images": [*PLAIN, *STRONG],
    "+ logit adjustment": [*PLAIN, *STRONG, *ADJUSTED],
    "+ warm start on texture": [*PLAIN, *STRONG, *ADJUSTED, *WARM],
    "+ UDA": [*NATURAL, *STRONG, *ADJUSTED],
    "+ ABC, for logit adjustment": [*NATURAL, *STRONG, *ABC],
    "+ class-wise TSA (quota)": [*QUOTA, *STRONG, *ABC],
    # The family, with the default's supervised branch.
    "fixmatch": ["--method", "fixmatch"],
    "flexmatch": ["--method", "flexmatch"],
    "freematch": ["--method", "freematch"],
    "softmatch": ["--method", "softmatch"],
    "pseudo-label": ["--method", "pseudo-label"],
    "pi-model": ["--method", "pi-model"],
    "mean-teacher": ["--method", "mean-teacher"],
    "uda, thresholds per class": ["--class-floor", "0.5"],
    "uda, aligned to the stated prior": ["--prior", "{prior}"],
    "uda, aligned to an estimated prior": ["--prior", "estimate"],
    "uda, DARP with the stated prior": ["--prior", "{prior}", "--refinery", "darp"],
    "uda, ABC": ["--sampling-power", "1", *ABC],
    "uda, ACR": ["--sampling-power", "1", "--balanced-head", "acr"],
    "uda, CDMAD": ["--debias"],
    "uda, CReST, 3 generations": ["--generations", "3"],
    # The claim, on supervised training alone: one correction at a time.
    BALANCED: ["--method", "supervised", "--sampling-power", "0", "--tsa", "none"],
    "square-root sampling": [
        "--method", "supervised", "--sampling-power", "0.5", "--tsa", "none",
    ],
    "neither": PLAIN,
    "square-root sampling, logit adjustment": [
        "--method", "supervised", "--sampling-power", "0.5", "--tsa", "none", *ADJUSTED,
    ],
    "class weights, inverse": [*PLAIN, "--class-weights", "inverse"],
    "class weights, square root": [*PLAIN, "--class-weights", "sqrt"],
    "class weights, effective number": [*PLAIN, "--class-weights", "effective"],
    "logit adjustment": [*PLAIN, *ADJUSTED],
    "class-balanced sampling, strong views": [
        "--method", "supervised", "--sampling-power", "0", "--tsa", "none", *STRONG,
    ],
    "class weights, inverse, strong views": [
        *PLAIN, "--class-weights", "inverse", *STRONG,
    ],
}  # fmt: skip

# One name for one run: the same flags under two names are trained once.
SAME = {"neither": "supervised"}


@dataclass(frozen=True)
class Draw:
    """A data set and how its labels are drawn, inside each fold.

    Attributes:
        data: folder below $UDA_DATA.
        counts: labels of the classes, the commonest first; the seed turns the order.
        share: instead, the share of each class's groups.
        overrule: whether semi-supervised arms other than the default overrule the
            guard, which would make all of them one and the same supervised run.
        merged: new class -> classes of the data that it stands for; empty for the
            data's own.
        words: for the table's heading.
    """

    data: str
    counts: tuple[int, ...] = ()
    share: float | None = None
    overrule: bool = False
    merged: tuple[tuple[str, tuple[str, ...]], ...] = ()
    words: str = ""

    def labels(self, classes: tuple[str, ...], seed: int) -> dict[str, int]:
        """Return labels per class: seed 1 gives the second class the most."""
        size = len(classes)
        return {classes[(i + seed) % size]: n for i, n in enumerate(self.counts)}


_TWO_LEVELS = (
    ("functional", ("p0.00_functional", "p0.33_possibly_defective")),
    ("defective", ("p0.67_likely_defective", "p1.00_defective")),
)

DRAWS = {
    "neu": Draw(
        "neu", (40, 20, 10, 6, 4, 3),
        words="imbalanced draw, 40, 20, 10, 6, 4, 3 labels; the seed turns which class "
        "has how many",
    ),
    "magnetic_tile": Draw(
        "magnetic_tile", share=0.1, overrule=True,
        words="natural imbalance, a tenth of each class's tiles labelled",
    ),
    # About as many labels per class as a factory begins with.
    "magnetic_tile, a quarter": Draw(
        "magnetic_tile", share=0.25, overrule=True,
        words="natural imbalance, a quarter of each class's tiles labelled",
    ),
    # What as many steps reach with every label, where nothing is left unlabelled.
    "magnetic_tile, every label": Draw(
        "magnetic_tile", share=1.0,
        words="natural imbalance, every label of the other folds",
    ),
    "elpv, two classes": Draw(
        "elpv", (20, 20),
        merged=_TWO_LEVELS,
        words="functional (probability of a defect up to 0.33) against the rest, 20 "
        "labels of each",
    ),
    "elpv, two classes, every label": Draw(
        "elpv", share=1.0, merged=_TWO_LEVELS,
        words="functional against the rest, every label of the other folds",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Suite:
    """Arms side by side; the differences are against ``reference``."""

    reference: str
    arms: tuple[str, ...]


SUITES = {
    "default": Suite(
        DEFAULT,
        (
            TEXTURE, "texture, 192 px", SUPERVISED, DEFAULT, "supervised, warm start",
            "uda, no warm start", "uda, no texture teacher", "uda, neither",
            "uda, 96 px",
        ),
    ),
    "claim": Suite(
        BALANCED,
        (
            TEXTURE, BALANCED, "neither", "class weights, inverse",
            "class weights, effective number", "class weights, square root",
            "square-root sampling", "square-root sampling, logit adjustment",
            "logit adjustment",
            "class-balanced sampling, strong views",
            "class weights, inverse, strong views",
        ),
    ),
    "ladder": Suite(
        "supervised",
        (
            TEXTURE, "supervised", "+ strong views of labelled images",
            "+ logit adjustment", "+ warm start on texture", "+ UDA",
            "+ ABC, for logit adjustment", "+ class-wise TSA (quota)",
            SUPERVISED, DEFAULT,
        ),
    ),
    "family": Suite(
        DEFAULT,
        (
            TEXTURE, SUPERVISED, DEFAULT, "fixmatch", "uda, ABC",
            "uda, ACR", "uda, CDMAD", "freematch", "flexmatch", "softmatch",
            "uda, aligned to the stated prior", "uda, aligned to an estimated prior",
            "uda, thresholds per class", "uda, DARP with the stated prior",
            "uda, CReST, 3 generations", "mean-teacher", "pseudo-label", "pi-model",
        ),
    ),
}  # fmt: skip


def is_semi_supervised(flags: list[str]) -> bool:
    """Tell whether an arm has an unlabelled branch."""
    return not {"supervised", "texture"} & set(flags)


def possible(draw: str, arms: list[str]) -> list[str]:
    """Return the arms that a draw has the images for."""
    if draw in DRAWS and DRAWS[draw].share == 1:  # nothing is left unlabelled
        return [arm for arm in arms if not is_semi_supervised(ARMS[arm])]
    return arms


def has_guard(flags: list[str]) -> bool:
    """Tell whether the guard asks texture: targets come from the table."""
    return is_semi_supervised(flags) and not {"pi-model", "mean-teacher"} & set(flags)


def flags_of(name: str, draw: Draw, prior: dict[str, float]) -> list[str]:
    """Return an arm's flags for one draw.

    Args:
        name: of the arm.
        draw: says whether the guard is overruled.
        prior: share of each class among the unlabelled images.
    """
    stated = ",".join(f"{label}={share:.4f}" for label, share in prior.items())
    flags = [flag.replace("{prior}", stated) for flag in ARMS[name]]
    own = "consistency.texture_weight=0" in flags
    if draw.overrule and name != DEFAULT and has_guard(flags) and not own:
        flags += ["--set", "consistency.texture_weight=0"]
    return flags
