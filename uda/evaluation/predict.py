"""From a model and images to Predictions: ids, targets and log-probabilities.

Evaluation never crops and never trains: the model's modes are put back.
"""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from uda.data.multilabel import texts_of
from uda.errors import DataError
from uda.evaluation.decision import DecisionRule
from uda.evaluation.tta import NO_TTA, NONE, Tta, same_tta
from uda.files import atomic_path

if TYPE_CHECKING:
    import torch

    from uda.models.links import Link

Progress = Callable[[str, int, int], None]
_VERSION = 1
# What a damaged npz file raises, depending on where the damage is.
BROKEN = (
    *(OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


@dataclass(frozen=True)
class Predictions:
    """What a model says about N images, and what is true where it is known.

    Attributes:
        ids: (N,) path or name of each image.
        targets: (N,) int64 index of the true class, -1 where it is unknown; with
            several labels per image (N, C) of 0 and 1, unknown rows all -1.
        log_probs: (N, C) float32 natural logarithms of probabilities.
        classes: (C,) class names, in the order of the columns.
        link: "softmax": one label per image; "sigmoid": any number.
        thresholds: (C,) probabilities from which on a class is named, with sigmoid;
            empty for 0.5.
        rule: what is done with one label per image; None takes the likeliest class.
            One that was fitted on other views than ``tta`` is refused.
        tta: label of the views that the answers are means over.
    """

    ids: list[str]
    targets: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.float32]
    classes: tuple[str, ...]
    link: Link = "softmax"
    thresholds: tuple[float, ...] = ()
    rule: DecisionRule | None = None
    tta: str = NONE

    def __post_init__(self) -> None:
        """Refuse shapes and values that no model should produce."""
        shape = (len(self.ids), len(self.classes))
        wanted = shape if self.several else shape[:1]
        if self.log_probs.shape != shape or self.targets.shape != wanted:
            raise DataError(
                f"predictions do not fit: {shape[0]} ids and {shape[1]} classes, but "
                f"log-probabilities {self.log_probs.shape}, "
                f"targets {self.targets.shape}"
            )
        if np.isnan(self.log_probs).any():
            row = int(np.isnan(self.log_probs).any(axis=1).argmax())
            raise DataError(
                f"the model's answer for {self.ids[row]!r} is not a number; training "
                "has diverged: evaluate an earlier checkpoint or train again with a "
                "lower learning rate"
            )
        if self.thresholds and len(self.thresholds) != shape[1]:
            raise DataError(f"{len(self.thresholds)} thresholds, {shape[1]} classes")
        if self.rule is not None and (
            self.several or self.rule.classes != self.classes
        ):
            raise DataError(
                f"a decision rule about {', '.join(self.rule.classes)} cannot answer "
                f"for {', '.join(self.classes)}"
            )
        if self.rule is not None and not same_tta(self.rule.tta, self.tta):
            raise DataError(
                f"a decision rule fitted under --tta {self.rule.tta} cannot decide "
                f"about answers under --tta {self.tta}; let the model answer under "
                "the rule's, or leave the rule aside (--no-decision)"
            )
        limit = 2 if self.several else shape[1]
        outside = (self.targets < -1) | (self.targets >= limit)
        if outside.any():
            raise DataError(
                f"target {int(self.targets[outside][0])} is not one of the "
                f"{shape[1]} classes"
            )

    @property
    def several(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.link == "sigmoid"

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Return (N,) whether the truth is known."""
        told = self.targets >= 0
        return np.asarray(told.all(axis=1) if self.several else told)

    @cached_property
    def probs(self) -> npt.NDArray[np.float64]:
        """Return (N, C) probabilities; with one label per image rows sum to 1.

        Under a rule they are the calibrated ones.
        """
        if self.rule is not None:
            return np.asarray(np.exp(self.rule.log_probs(self.log_probs)))
        probs = np.exp(self.log_probs.astype(np.float64))
        if self.several:
            return np.asarray(probs)
        return np.asarray(probs / probs.sum(axis=1, keepdims=True))

    @cached_property
    def predicted(self) -> npt.NDArray[np.int64]:
        """Return (N,) index of the answer; of several labels (N, C) of 0 and 1.

        That of the rule, as if nothing were unsure; without one the likeliest class.
        """
        if self.rule is not None:
            return self.rule.answers(self.log_probs)
        return self.likeliest

    @cached_property
    def likeliest(self) -> npt.NDArray[np.int64]:
        """Return (N,) index of the most probable class; of several (N, C) of 0, 1."""
        if self.several:
            limits = np.array(self.thresholds or (0.5,))
            return (self.probs >= limits).astype(np.int64)
        return np.asarray(self.log_probs.argmax(axis=1), dtype=np.int64)

    @cached_property
    def unsure(self) -> npt.NDArray[np.bool_]:
        """Return (N,) which images the rule leaves to a person; without one none."""
        if self.rule is None:
            return np.zeros(len(self.ids), dtype=np.bool_)
        return self.rule.unsure(self.log_probs)

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Return (N,) whether the truth is known and the answer is another."""
        other = self.predicted != self.targets
        return np.asarray(self.known & (other.any(axis=1) if self.several else other))

    def names_of(self, answers: npt.NDArray[np.int64]) -> list[str]:
        """Return names of ``predicted`` or ``targets``; of what is unknown nothing.

        Several classes are joined by ``|``; an image without any is ``none``.
        """
        if self.several:
            return texts_of(answers, self.classes)
        names = (*self.classes, "")  # -1, unknown, is the last
        return [names[int(answer)] for answer in answers]

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """Return (N,) probability of the most probable class.

        With several labels: of the answer, yes or no, on the least sure class.
        """
        if self.several:
            sure = np.where(self.predicted > 0, self.probs, 1 - self.probs)
            return np.asarray(sure.min(axis=1, initial=1.0))
        return np.asarray(self.probs.max(axis=1, initial=0.0))

    def save(self, path: Path) -> None:
        """Write an npz file without pickled objects, atomically."""
        write_arrays(path, self.arrays())

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what `save` writes, by name."""
        return {
            "version": np.array(_VERSION, dtype=np.int64),
            "targets": self.targets,
            "log_probs": self.log_probs,
            "ids": pack(self.ids),
            "classes": pack(self.classes),
            "link": pack([self.link]),
            "thresholds": np.array(self.thresholds, dtype=np.float64),
            "rule": pack([json.dumps(self.rule.to_json())] if self.rule else []),
            "tta": pack([self.tta]),
        }

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read a file written by `save`; a broken one is a DataError."""
        try:
            # Opened here, since numpy leaves a broken archive open.
            with (
                Path(path).open("rb") as stream,
                np.load(stream, allow_pickle=False) as stored,
            ):
                # Files of before there were several labels say nothing of it.
                new = "link" in stored
                return cls(
                    ids=unpack(stored["ids"]),
                    targets=stored["targets"].astype(np.int64),
                    log_probs=stored["log_probs"].astype(np.float32),
                    classes=tuple(unpack(stored["classes"])),
                    link="sigmoid" if new and _is_sigmoid(stored) else "softmax",
                    thresholds=tuple(stored["thresholds"].tolist()) if new else (),
                    rule=_rule(stored),
                    tta=unpack(stored["tta"])[0] if "tta" in stored else NONE,
                )
        except BROKEN as error:
            raise DataError(
                f"{path}: cannot be read as predictions ({error}); write it again "
                "with `uda evaluate`"
            ) from error


def _is_sigmoid(stored: Any) -> bool:
    return unpack(stored["link"]) == ["sigmoid"]


def _rule(stored: Any) -> DecisionRule | None:
    found = unpack(stored["rule"]) if "rule" in stored else []
    return DecisionRule.from_json(json.loads(found[0])) if found else None


def write_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write an npz file without pickled objects, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        named: dict[str, Any] = {**arrays}
        np.savez_compressed(stream, **named)


def pack(names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return names without NUL as bytes: those that are not UTF-8 survive in them."""
    raw = b"\0".join(name.encode("utf-8", "surrogateescape") for name in names)
    return np.frombuffer(raw + b"\0" * bool(names), dtype=np.uint8)


def unpack(packed: npt.NDArray[np.uint8]) -> list[str]:
    """Return what `pack` was given."""
    raw = packed.astype(np.uint8).tobytes()
    return [name.decode("utf-8", "surrogateescape") for name in raw.split(b"\0")[:-1]]


def predict_pool(
    model: Any,
    images: npt.NDArray[np.uint8],
    rows: npt.ArrayLike,
    *,
    ids: Sequence[str],
    targets: npt.ArrayLike | None = None,
    classes: Sequence[str],
    batch: int = 64,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    tta: Tta = NO_TTA,
) -> Predictions:
    """Classify some rows of a pool, in evaluation mode, without cropping.

    Args:
        model: called with uint8 (B, K, H, W), answers with Outputs. Its
            modules' train and eval modes are put back afterwards.
        images: (N, H, W, K) uint8, for example a pool's memory map.
        rows: (n,) which of the N images, in the order of the answer.
        ids: (n,) names of the chosen images.
        targets: (n,) true class indices, -1 for unknown; None for all unknown. For
            a model with the link "sigmoid" (n, C) of 0 and 1.
        classes: (C,) class names.
        batch: images per forward pass.
        device: where the model is.
        progress: called with ("predict", done, total).
        tta: the views of each image whose probabilities are averaged.
    """
    import torch

    from uda.models import links

    link = links.link_of(model)
    chosen = np.asarray(rows, dtype=np.int64).reshape(-1)
    shape = (chosen.size, len(classes)) if link == "sigmoid" else (chosen.size,)
    known = np.full(shape, -1) if targets is None else np.asarray(targets)
    log_probs = np.zeros((chosen.size, len(classes)), dtype=np.float32)
    modes = _modes(model)
    try:
        for module in modes:
            module.training = False
        with torch.no_grad():
            for start in range(0, chosen.size, batch):
                stop = min(start + batch, chosen.size)
                # Fancy indexing copies, so the map itself is never handed out.
                block = np.ascontiguousarray(images[chosen[start:stop]])
                leaf = _mean_leaf(model, [view(block) for view in tta.views], device)
                log_probs[start:stop] = links.log_probs(leaf, link).cpu().numpy()
                if progress is not None:
                    progress("predict", stop, chosen.size)
    finally:
        for module, training in modes.items():
            module.training = training
    return Predictions(
        list(ids),
        known.astype(np.int64),
        log_probs,
        tuple(classes),
        link,
        tta=tta.label,
    )


def _mean_leaf(
    model: Any, views: list[npt.NDArray[np.uint8]], device: str | torch.device
) -> torch.Tensor:
    """Return (B, C) logits whose probabilities are the mean over the views'."""
    import torch

    from uda.models import links

    leaves: list[torch.Tensor] = [
        model(torch.from_numpy(view).permute(0, 3, 1, 2).to(device)).served.float()
        for view in views
    ]
    if len(leaves) == 1:  # to the bit what the model says
        return leaves[0]
    return links.mean_logits(leaves, links.link_of(model))


def _modes(model: Any) -> dict[Any, bool]:
    """Return each module's train mode; a model that is no module has none."""
    import torch

    if not isinstance(model, torch.nn.Module):
        return {}
    return {module: module.training for module in model.modules()}
