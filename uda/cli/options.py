"""Flags shared by commands, and how each maps to a key of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from uda.errors import UsageError

if TYPE_CHECKING:
    from uda.evaluation.decision import DecisionRule
    from uda.evaluation.tta import Tta
    from uda.run.bundle import Bundle
    from uda.run.layout import RunFolder

    TupleParam = click.ParamType[tuple[int, int]]
    FloatParam = click.ParamType[float]
    PriorParam = click.ParamType[dict[str, float] | str]
    LabelsParam = click.ParamType[int | dict[str, int]]
    SizesParam = click.ParamType[tuple[tuple[int, int, float], ...]]
    SharesParam = click.ParamType[tuple[float, ...]]
    RecallParam = click.ParamType[tuple[str, float]]
else:  # generic for type checkers alone
    TupleParam = FloatParam = PriorParam = click.ParamType
    LabelsParam = SizesParam = SharesParam = RecallParam = click.ParamType

Command = TypeVar("Command", bound=Callable[..., Any])


class SizeType(TupleParam):
    """``64`` or ``64x96`` (height x width), in pixels."""

    name = "SIZE"
    wanted = "a size: write 64 or 64x96"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (height, width)."""
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().split("x")
        if len(parts) > 2 or not all(part.isdigit() and int(part) for part in parts):
            self.fail(f"{value!r} is not {self.wanted}", param, ctx)
        height = int(parts[0])
        return height, int(parts[-1])


class TilesType(SizeType):
    """``2x2`` (rows x columns) tiles of an image."""

    name = "ROWSxCOLUMNS"
    wanted = "tiles: write 2x2 or 2x3 (rows x columns)"


class SizesType(SizesParam):
    """``64:0.4,96:0.3,128:0.3``: sizes and the share of the steps of each."""

    name = "SIZE:SHARE,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[int, int, float], ...]:
        """Return (height, width, share) of each."""
        if isinstance(value, tuple):
            return value
        found = []
        for part in str(value).split(","):
            size, _, share = part.partition(":")
            height, width = SizeType().convert(size.strip(), param, ctx)
            try:
                found.append((height, width, float(share)))
            except ValueError:
                self.fail(f"{part!r} is no share of a size: write 64:0.4", param, ctx)
        return tuple(found)


class PriorType(PriorParam):
    """``Good=0.97,Rust=0.03``: shares of classes; or ``estimate``."""

    name = "CLASS=SHARE,...|estimate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float] | str:
        """Return class name -> share, or the word ``estimate``."""
        if isinstance(value, dict):
            known: dict[str, float] = value
            return known
        if value == "estimate":
            return "estimate"
        shares: dict[str, float] = {}
        for part in str(value).split(","):
            name, separator, number = part.rpartition("=")
            try:
                shares[name.strip()] = float(number)
            except ValueError:
                separator = ""
            if not separator or not shares[name.strip()] >= 0:
                self.fail(f"{part!r} is not a share: write Good=0.97", param, ctx)
        return shares


class RecallType(RecallParam):
    """``Rust=0.95``: a share of a class's parts."""

    name = "CLASS=SHARE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return the class and the share, over 0 and below 1."""
        if isinstance(value, tuple):
            name, share = value
            return str(name), float(share)
        name, _, number = str(value).rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = 0.0
        if not name.strip() or not 0 < share < 1:
            self.fail(f"{value!r}: write Rust=0.95, a share below 1", param, ctx)
        return name.strip(), share


class LabelsType(LabelsParam):
    """``5``, or ``Good=40,Rust=12``: labels per class."""

    name = "N|CLASS=N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | dict[str, int]:
        """Return one number, or class name -> number."""
        if isinstance(value, (int, dict)):
            return value
        text = str(value).strip()
        if "=" not in text:
            return self._number(text, text, param, ctx)
        counts: dict[str, int] = {}
        for part in text.split(","):
            name, separator, number = part.rpartition("=")
            if not separator:
                self.fail(f"{part!r} names no class: write Good=40", param, ctx)
            if name.strip() in counts:
                self.fail(f"{name.strip()!r} is given twice", param, ctx)
            counts[name.strip()] = self._number(number.strip(), part, param, ctx)
        return counts

    def _number(
        self, text: str, said: str, param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:  # fmt: skip
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"{said!r} is not a number of labels, 1 or more", param, ctx)
        return int(text)


class SharesType(SharesParam):
    """``0.25,0.5,1``: numbers over 0 to 1."""

    name = "SHARE,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the shares as given."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} are no shares: write 0.25,0.5,1", param, ctx)


class DurationType(FloatParam):
    """``90s``, ``20m`` or ``1.5h``; returned in seconds."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        units = {"s": 1.0, "m": 60.0, "h": 3600.0}
        text = str(value).strip().lower()
        try:
            seconds = float(text[:-1]) * units[text[-1]]
        except (ValueError, KeyError, IndexError):
            self.fail(f"{value!r} is not a time: write 90s, 20m or 1.5h", param, ctx)
        if seconds <= 0:
            self.fail(f"{value!r} must be more than nothing", param, ctx)
        return seconds


def parameter_name(flags: str) -> str:
    """Return the Python name of ``"--flag/--no-flag --alias"``."""
    return flags.split()[0].split("/")[0].lstrip("-").replace("-", "_")


def parse_assignments(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Read ``--set section.key=value`` words; the value is YAML."""
    import yaml

    given: dict[str, Any] = {}
    for text in assignments:
        key, separator, raw = text.partition("=")
        if not separator:
            raise UsageError(f"--set {text!r}: write section.key=value")
        try:
            given[key.strip()] = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {text!r}: bad value ({error})") from error
    return given


def data_group_flag(command: Command) -> Command:
    """Add ``--group`` of a command that reads labelled images beside a run's own."""
    return click.option(
        "--group",
        metavar="COLUMN|auto|none",
        help="Which images of DATA show one part: a column of its manifest, 'auto' to "
        "look for twins among them, 'none'. If left: the column 'group', or what "
        "--group of `uda train` was.",
    )(command)


def no_decision_flag(command: Command) -> Command:
    """Add ``--no-decision`` of a command that applies a run's decision.json."""
    return click.option(
        "--no-decision",
        is_flag=True,
        help="Take the likeliest class, whatever `uda tune` wrote into the run.",
    )(command)


def rule_of(bundle: Bundle, weights: str, *, no_decision: bool) -> DecisionRule | None:
    """Return the rule to apply to some weights of a run, if any.

    Raises:
        UsageError: ``--no-decision`` where there is nothing to leave aside.
        CheckpointError: the rule is damaged, or of other weights.
    """
    from uda.evaluation.rulefile import own_rule
    from uda.run.layout import RunFolder

    if not no_decision:
        return own_rule(bundle, weights)
    require_decision(RunFolder(bundle.folder))
    return None


def require_decision(run: RunFolder) -> None:
    """Refuse ``--no-decision`` where there is nothing to leave aside.

    Raises:
        UsageError: the run has no decision.json.
    """
    if not run.decision.is_file():
        raise UsageError(
            f"--no-decision has no effect: {run.decision} is not there; leave the "
            "option out"
        )


def tta_flag(command: Command) -> Command:
    """Add ``--tta`` of a command that lets a model answer."""
    return click.option(
        "--tta",
        metavar="none|flips|d4|scales|POLICY[:K]",
        help="Answer by the mean over these views of each image. By default those that "
        "the decision rule was fitted under, else none; where a rule is fitted, none.",
    )(command)


def views_of(text: str | None, rule: DecisionRule | None, bundle: Bundle) -> Tta:
    """Return the views that a run answers for: those asked for, else the rule's.

    Args:
        text: of ``--tta``; None where it is not given.
        rule: that decides, if any.
        bundle: the run's model.

    Raises:
        UsageError: not those of the rule, or views that the model cannot take.
    """
    from uda.evaluation.rulefile import require_tta
    from uda.evaluation.tta import NONE, tta_of
    from uda.run.layout import RunFolder

    run = RunFolder(bundle.folder)
    own = NONE if rule is None else rule.tta
    tta = tta_of(own if text is None else text, bundle)
    if rule is not None:
        require_tta(rule, tta.label, run.decision, str(run.path))
    if run.thresholds.is_file():
        note_thresholds(tta.label)
    return tta


def note_thresholds(label: str) -> None:
    """Say on standard error that thresholds per class were fitted without views."""
    if label != "none":
        click.echo(
            f"Note: the thresholds per class were fitted without --tta {label}; "
            "probabilities under it are less extreme",
            err=True,
        )


WEIGHTS = ("ema", "raw", "network")
WEIGHTS_HELP = (
    "Averaged (EMA) or raw weights; network: the averaged one of a run that hands over "
    "its texture teacher."
)


def model_flags(command: Command) -> Command:
    """Add ``--weights``, ``--batch`` and ``--device`` of a command that asks a run."""
    options = (
        click.option(
            "--weights",
            type=click.Choice(WEIGHTS),
            default="ema",
            show_default=True,
            help=WEIGHTS_HELP,
        ),
        click.option(
            "--batch",
            type=click.IntRange(1),
            default=64,
            show_default=True,
            help="Images per forward pass.",
        ),
        click.option(
            "--device", default="auto", show_default=True, help="auto, cpu, cuda …"
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
