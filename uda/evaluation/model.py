"""A run's model as a Python object: pictures or files in, answers out.

For programs that hold images in memory, such as a line with a camera. It decides as
``uda predict`` does: the same preprocessing, decision rule, views and thresholds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from uda.data.images import fit
from uda.data.preprocessing import Preprocessing, depth_note
from uda.errors import DataError
from uda.evaluation.decision import DecisionRule
from uda.evaluation.evaluate import place
from uda.evaluation.predict import Predictions, predict_pool
from uda.evaluation.rulefile import own_rule, require_tta
from uda.evaluation.thresholds import own_thresholds
from uda.evaluation.tta import NONE, Tta, tta_of
from uda.models.device import choose_device
from uda.run.bundle import load_bundle
from uda.run.layout import RunFolder, open_run

Picture = npt.NDArray[np.uint8] | str | Path


@dataclass(frozen=True)
class Model:
    """What `load` opens.

    Attributes:
        classes: (C,) names, in the order of the probabilities.
        preprocessing: how a picture becomes what the network sees.
        rule: what decides, or None for the likeliest class.
        tta: the views whose probabilities are averaged.
        device: where the network is.
        network: called with uint8 (B, K, H, W), answers with Outputs.
        thresholds: (C,) of a multi-label run that has some.
    """

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    rule: DecisionRule | None
    tta: Tta
    device: str
    network: Any
    thresholds: tuple[float, ...] = ()

    def predict(self, pictures: Sequence[Picture], *, batch: int = 64) -> Predictions:
        """Classify pictures.

        Args:
            pictures: files, or uint8 arrays (H, W), (H, W, 1) or (H, W, 3) in RGB, of
                any size.
            batch: pictures per forward pass.

        Returns:
            Predictions in the order of ``pictures``; of arrays the id is the place.

        Raises:
            BadImage: a file that cannot be read.
            DataError: an array of another kind, or no pictures.
        """
        if isinstance(pictures, (str, Path, np.ndarray)):
            raise DataError(
                "predict takes a list of pictures; put a single one into brackets"
            )
        if not len(pictures):
            raise DataError("no pictures to classify")
        files = [Path(item) for item in pictures if isinstance(item, (str, Path))]
        if (words := depth_note(files, self.preprocessing)) is not None:
            warnings.warn(words, stacklevel=2)
        images = np.stack([self._read(i, item) for i, item in enumerate(pictures)])
        names = [
            str(item) if isinstance(item, (str, Path)) else str(place)
            for place, item in enumerate(pictures)
        ]
        found = predict_pool(
            self.network,
            images,
            np.arange(len(images)),
            ids=names,
            classes=self.classes,
            batch=batch,
            device=self.device,
            tta=self.tta,
        )
        return replace(found, rule=self.rule, thresholds=self.thresholds)

    def _read(self, place: int, item: Picture) -> npt.NDArray[np.uint8]:
        if isinstance(item, (str, Path)):
            return self.preprocessing.read(Path(item))
        picture = as_channels(item, self.preprocessing.channels, f"picture {place}")
        plan = self.preprocessing
        return fit(picture, plan.size, mode=plan.mode, fill=plan.fill)


def as_channels(
    image: npt.NDArray[Any], channels: int, name: str
) -> npt.NDArray[np.uint8]:
    """Return (H, W, channels) uint8 of an array, as reading its file would.

    Raises:
        DataError: another dtype or shape, or no pixel.
    """
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3):
        raise DataError(
            f"{name}: {array.dtype} of shape {np.shape(image)}; give uint8 of shape "
            "(H, W), (H, W, 1) or (H, W, 3), or the path of a file"
        )
    if not array.size:
        raise DataError(
            f"{name}: shape {np.shape(image)} holds no pixel; a side is 0, as of a cut "
            "outside the picture: leave it out, or cut it anew"
        )
    if array.shape[2] == channels:
        return array
    if channels == 3:
        return np.repeat(array, 3, axis=2)
    return np.asarray(Image.fromarray(array).convert("L"), dtype=np.uint8)[:, :, None]


def load(
    run: str | Path,
    *,
    weights: str = "ema",
    device: str = "auto",
    decision: bool = True,
    tta: str | None = None,
) -> Model:
    """Open a run's model.

    Args:
        run: the run folder.
        weights: ``ema``, ``raw``, ``warm`` or ``network`` (`load_bundle`).
        device: ``auto``, ``cpu``, ``cuda``.
        decision: whether the run's decision.json decides, where it has one.
        tta: views to average over; None for the rule's, or none.

    Warns:
        UserWarning: the run has not ended, and its weights are not the final ones.

    Raises:
        UdaError: no such run or weights; a rule that was fitted under other views.
    """
    folder: RunFolder = open_run(Path(run))
    bundle = load_bundle(folder.path, weights=weights)
    if (words := folder.unfinished()) is not None:
        warnings.warn(words, stacklevel=2)
    rule = own_rule(bundle, weights) if decision else None
    own = NONE if rule is None else rule.tta
    views = tta_of(own if tta is None else tta, bundle)
    if rule is not None:
        require_tta(rule, views.label, folder.decision, str(folder.path))
    where = str(choose_device(device))
    return Model(
        classes=bundle.classes,
        preprocessing=bundle.preprocessing,
        rule=rule,
        tta=views,
        device=where,
        network=place(bundle, where),
        thresholds=own_thresholds(folder.thresholds, bundle.classes, bundle.link),
    )
