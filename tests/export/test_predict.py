"""Answers of an export: the run's own, file by file, broken files with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.export.runs import CLASSES, LIMITS
from tests.export.test_description import described
from uda.data.preprocessing import Preprocessing
from uda.errors import DataError, UsageError
from uda.evaluation import files as of_runs
from uda.evaluation.decision import DecisionRule
from uda.export.opening import Exported, open_export
from uda.export.predict import answering, predict_files, predictions
from uda.run.bundle import load_bundle

PREPARED = Preprocessing((8, 8), 1, "squash", None, (0.5,), (0.2,))


def fake(answer, **changes):
    changes = {"preprocessing": PREPARED, **changes}
    return Exported(Path("model.onnx"), described(**changes), answer)


def test_the_same_answers_as_the_run(made, data, tmp_path):
    bundle = load_bundle(made)
    files = [(path.name, path) for path in sorted(data.rglob("*.png"))]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n")
    files.insert(3, ("broken", broken))
    calls = []
    exported = open_export(made / "export" / "onnx" / "model.onnx")
    found = list(
        predict_files(exported, files, batch=2, progress=lambda *a: calls.append(a))
    )
    expected = list(
        of_runs.predict_files(
            {"model": bundle.model},
            files,
            classes=bundle.classes,
            preprocessing=bundle.preprocessing,
            batch=2,
        )
    )
    assert [block.start for block in found] == [0, 8, 16]
    assert calls[-1] == ("predict", len(files), len(files))
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.errors == theirs.errors
        one, other = mine.predictions["model"], theirs.predictions["model"]
        assert one.ids == other.ids
        assert one.probs == pytest.approx(other.probs, abs=1e-5)
        assert one.predicted.tolist() == other.predicted.tolist()


def test_batches_and_their_order():
    sizes = []

    def answer(images):
        sizes.append(len(images))
        first = images[:, 0, 0, 0] / 10
        return np.stack([first, 1 - first, 0 * first], 1).astype(np.float32)

    images = np.zeros((5, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = range(5)
    ids = list("abcde")
    found = predictions(fake(answer), ids, images, batch=2)
    assert sizes == [2, 2, 1]
    assert found.ids == ids
    assert found.probs[:, 0] == pytest.approx(np.arange(5) / 10)
    assert np.isfinite(found.log_probs).all()
    assert found.classes == CLASSES
    assert not found.known.any()


def test_several_labels_have_thresholds():
    probs = np.array([[0.31, 0.49, 0.71]], np.float32)
    exported = fake(lambda images: probs, link="sigmoid", thresholds=LIMITS)
    found = predictions(exported, ["a"], np.zeros((1, 8, 8, 1), np.uint8))
    assert found.predicted.tolist() == [[1, 0, 1]]
    assert found.names_of(found.predicted) == ["Good|Scratch"]


# Sees corners, so that each view says something else.
def corners(images):
    found = images[:, 0, [0, 0, -1], [0, -1, 0]].astype(np.float64) + 1
    return (found / found.sum(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
def test_views_are_averaged(tta):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    exported = fake(corners, tta=tta)
    turns = {"none": [0], "flips": [0, 2], "d4": [0, 1, 2, 3]}[tta]
    sides = (False,) if tta == "none" else (False, True)
    total = np.zeros((5, 3))
    for turn in turns:
        for mirrored in sides:
            for row, image in enumerate(images[..., 0]):
                view = np.rot90(np.fliplr(image) if mirrored else image, turn)
                total[row] += corners(view[None, None])[0]
    found = predictions(exported, list("abcde"), images, batch=2)
    assert found.probs == pytest.approx(total / len(turns) / len(sides), abs=1e-6)
    assert found.tta == tta


def test_who_asks_may_choose_other_views_where_no_rule_decides():
    ruled = fake(corners, tta="flips", rule=DecisionRule(CLASSES, tta="flips"))
    as_told = answering(ruled, decision=True, tta=None)
    assert as_told.description == ruled.description
    with pytest.raises(UsageError, match="fitted under --tta flips, and this is --tt"):
        answering(ruled, decision=True, tta="d4")
    found = answering(ruled, decision=False, tta="d4").description
    assert (found.rule, found.tta) == (None, "d4")
    # As `uda predict RUN --no-decision`: the views went with the rule.
    found = answering(ruled, decision=False, tta=None).description
    assert (found.rule, found.tta) == (None, "none")
    unruled = answering(fake(corners, tta="flips"), decision=True, tta=None)
    assert unruled.description.tta == "flips"
    with pytest.raises(UsageError, match="predict with the run"):
        answering(fake(corners), decision=True, tta="scales")
    with pytest.raises(UsageError, match="holds no decision rule"):
        answering(fake(corners), decision=False, tta=None)


def test_no_file_could_be_read(tmp_path):
    def answer(images):
        raise AssertionError("asked without images")

    for link in ("softmax", "sigmoid"):
        blocks = list(predict_files(fake(answer, link=link), [("a", tmp_path / "a")]))
        assert blocks[0].errors[0]
        assert blocks[0].predictions["model"].ids == []


def test_answers_that_are_none():
    images = np.zeros((1, 8, 8, 1), np.uint8)
    with pytest.raises(DataError, match="not a number"):
        predictions(fake(lambda _: np.full((1, 3), np.nan)), ["a"], images)
    narrow = replace(fake(lambda _: np.full((1, 2), 0.5)))
    with pytest.raises(DataError, match="do not fit"):
        predictions(narrow, ["a"], images)
