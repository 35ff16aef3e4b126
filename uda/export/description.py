"""What an exported model file means: the one JSON file beside it.

Readable without torch. The SHA-256 of the model file is in it, so that a damaged
file, or the JSON of another model, is found before the first wrong answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import uda
from uda.data.preprocessing import Preprocessing, check_request
from uda.errors import CheckpointError, DataError, UsageError
from uda.evaluation.decision import DecisionRule
from uda.evaluation.tta import NONE
from uda.files import read_json, write_json
from uda.tree import Tree

if TYPE_CHECKING:
    from uda.models.links import Link

FORMAT = "uda-export"
VERSION = 1
Kind = Literal["onnx", "pt2", "safetensors"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Pixels = Literal["uint8", "float32"]
PIXELS: tuple[Pixels, ...] = get_args(Pixels)
# Exact permutations of the pixels: any program can make them as the run does.
VIEWS = (NONE, "flips", "d4")
INPUT, OUTPUT = "images", "probabilities"
AGAIN = "export the run again with `uda export`"


@dataclass(frozen=True)
class Description:
    """What a model file answers, for which pixels, and what the answers mean.

    Attributes:
        file: name of the model file.
        sha256: of the model file, hexadecimal.
        kind: "onnx" and "pt2" hold the network; "safetensors" its weights alone.
        pixels: type of the input values, which are 0..255 in both.
        classes: (C,) names in the order of the probabilities.
        link: "softmax": the probabilities of an image sum to 1; "sigmoid": each
            class by itself.
        preprocessing: how a file becomes (H, W, K) pixels.
        tree: of the classes, where the model decides node by node.
        thresholds: (C,) probabilities from which on a class is named, with
            sigmoid; empty for 0.5.
        rule: what is done with one label per image; None takes the likeliest class.
        tta: label of the views of an image whose probabilities are averaged; whoever
            asks the file makes them.
        network: how to build the network that the weights are for; of
            "safetensors" alone.
        made: what the file was made by and from, for people.
        check: how far its answers were from the run's, for people.
    """

    file: str
    sha256: str
    kind: Kind
    pixels: Pixels
    classes: tuple[str, ...]
    link: Link
    preprocessing: Preprocessing
    tree: Tree | None = None
    thresholds: tuple[float, ...] = ()
    rule: DecisionRule | None = None
    tta: str = NONE
    network: dict[str, Any] | None = None
    made: dict[str, Any] = field(default_factory=dict)
    check: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values that do not fit each other.

        Raises:
            DataError: naming the first of them.
        """
        _one_of("kind", self.kind, KINDS)
        _one_of("input type", self.pixels, PIXELS)
        _one_of("link", self.link, ("softmax", "sigmoid"))
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise DataError(f"class names {self.classes} are missing or doubled")
        if self.thresholds and len(self.thresholds) != len(self.classes):
            raise DataError(
                f"{len(self.thresholds)} thresholds for {len(self.classes)} classes"
            )
        if self.rule is not None and (
            self.link == "sigmoid" or self.rule.classes != self.classes
        ):
            raise DataError(
                f"a decision rule about {', '.join(self.rule.classes)} cannot answer "
                f"for {', '.join(self.classes)}"
            )
        _one_of("test-time augmentation", self.tta, VIEWS)
        if self.rule is not None and self.rule.tta != self.tta:
            raise DataError(
                f"a decision rule fitted under --tta {self.rule.tta} cannot decide "
                f"about answers under --tta {self.tta}"
            )
        prepared = self.preprocessing
        check_request(
            prepared.size, prepared.channels, prepared.mode, prepared.value_range
        )

    def metadata(self) -> dict[str, str]:
        """Return what also stands inside the model file, each value as JSON.

        Who has the model file alone still knows the classes and the pixels.
        """
        values = _meaning(self)
        return {key: json.dumps(value) for key, value in values.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the values of the JSON file."""
        height, width = self.preprocessing.size
        return {
            "format": FORMAT,
            "version": VERSION,
            "file": self.file,
            "sha256": self.sha256,
            "kind": self.kind,
            "input": {
                "name": INPUT,
                "type": self.pixels,
                "shape": ["batch", self.preprocessing.channels, height, width],
                "values": [0, 255],
            },
            "output": {
                "name": OUTPUT,
                "type": "float32",
                "shape": ["batch", len(self.classes)],
            },
            **_meaning(self),
            "network": self.network,
            "made": self.made,
            "check": self.check,
        }

    def save(self, path: Path) -> None:
        """Write the JSON file, atomically."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, model: Path) -> Description:
        """Read the description of a model file.

        Args:
            model: the model file; the description lies beside it.

        Raises:
            CheckpointError: it is missing, damaged, or of another version.
        """
        path = beside(model)
        if not path.is_file():
            raise CheckpointError(
                f"{path}: missing; it says what {model.name} means: copy it from "
                f"where the model comes from, or {AGAIN}"
            )
        try:
            return _from_json(read_json(path))
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: damaged or edited ({error!r}); {AGAIN}"
            ) from error
        except DataError as error:
            raise CheckpointError(f"{path}: {error}; {AGAIN}") from error


def beside(model: Path) -> Path:
    """Return where the description of a model file lies."""
    return model.with_suffix(".json")


def is_export(path: Path) -> bool:
    """Tell whether a path is meant as a model file, not as a run, by its suffix."""
    return path.suffix.lstrip(".") in KINDS and not path.is_dir()


def is_description(path: Path) -> bool:
    """Tell whether a file describes an export; other JSON files are not ours."""
    try:
        value = read_json(path)
    except DataError:
        return False
    return isinstance(value, dict) and value.get("format") == FORMAT


def require_exportable(tta: str, way_out: str) -> None:
    """Refuse views that the users of a model file could not make alike.

    Args:
        tta: label of the views.
        way_out: what to do instead, for the message.

    Raises:
        UsageError: with the reason.
    """
    if tta in VIEWS:
        return
    reason = (
        "a model file takes images of one size"
        if tta == "scales"
        else "draws of a policy are this package's, and no other program makes them"
    )
    raise UsageError(
        f"--tta {tta}: {reason}; exports take {', '.join(VIEWS)}: {way_out}"
    )


def versions(**others: str) -> dict[str, str]:
    """Return this package's version, with those of others by name."""
    return {"uda": uda.__version__, **others}


def _meaning(described: Description) -> dict[str, Any]:
    prepared, tree = described.preprocessing, described.tree
    return {
        "classes": list(described.classes),
        "link": described.link,
        "preprocessing": {**prepared.to_json(), "fill": list(prepared.fill)},
        "tree": tree and [[name, list(below)] for name, below in tree.branches],
        "thresholds": list(described.thresholds) or None,
        "decision": described.rule and described.rule.to_json(),
        # Left out of most: files of before there was any say the same.
        **({} if described.tta == NONE else {"tta": described.tta}),
    }


def _from_json(value: Mapping[str, Any]) -> Description:
    if value["format"] != FORMAT or value["version"] != VERSION:
        raise DataError(
            f"is of the format {value['format']!r}, version {value['version']!r}; "
            f"this package reads {FORMAT!r}, version {VERSION}"
        )
    classes = tuple(str(name) for name in value["classes"])
    branches, limits, rule = value["tree"], value["thresholds"], value["decision"]
    return Description(
        file=str(value["file"]),
        sha256=str(value["sha256"]),
        kind=value["kind"],
        pixels=value["input"]["type"],
        classes=classes,
        link=value["link"],
        preprocessing=Preprocessing.from_json(value["preprocessing"]),
        tree=None if branches is None else Tree(tuple(branches), classes),
        thresholds=tuple(float(limit) for limit in limits or ()),
        rule=None if rule is None else DecisionRule.from_json(rule),
        tta=value.get("tta", NONE),
        network=value["network"],
        made=dict(value["made"]),
        check=dict(value["check"]),
    )


def _one_of(what: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise DataError(f"{what} {value!r} is none of {', '.join(known)}")
