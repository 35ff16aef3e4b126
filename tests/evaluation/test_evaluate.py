"""One evaluation: both weights, groups, unreadable images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.fakes import CLASSES, make_run
from uda.errors import DataError
from uda.evaluation import evaluate as module
from uda.evaluation.decision import DecisionRule
from uda.evaluation.evaluate import answer, evaluate, load_bundles
from uda.evaluation.parts import EvaluationSet, split_part
from uda.run.layout import RunFolder


@pytest.fixture
def fake(tmp_path, monkeypatch):
    run = make_run(tmp_path)
    monkeypatch.setattr(module, "load_bundle", run.load_bundle)
    return run


def test_both_weights_on_the_same_images(fake):
    images = split_part(RunFolder(fake.folder), CLASSES, "test")
    found = evaluate(load_bundles(fake.folder), images, good_class="Good", batch=5)
    assert list(found.metrics) == ["ema", "raw"]
    assert found.metrics["ema"].counts.sum() == 24
    better, worse = (m.balanced_accuracy.value for m in found.metrics.values())
    assert better > 0.8 > worse
    assert found.metrics["ema"].per_class[0].groups == 4
    assert found.predictions["raw"].ids == [name for name, _ in images.files]


def test_the_first_weights_are_the_wanted_ones(fake):
    assert list(load_bundles(fake.folder, "raw")) == ["raw", "ema"]
    fake.kind = "texture"
    assert list(load_bundles(fake.folder)) == ["ema"]


def many(fake, tmp_path, bad):
    files = [(p.name, p) for p in sorted(fake.data.rglob("*.png"))]
    for number in range(bad):
        path = tmp_path / f"bad{number}.png"
        path.write_bytes(b"")
        files.insert(3, (path.name, path))
    count = len(files)
    return EvaluationSet("x", files, np.zeros(count, np.int64), [n for n, _ in files])


def test_few_unreadable_images_are_skipped_with_their_reason(fake, tmp_path):
    found = evaluate(load_bundles(fake.folder), many(fake, tmp_path, 2))
    assert [name for name, _ in found.skipped] == ["bad1.png", "bad0.png"]
    assert all("empty" in reason for _, reason in found.skipped)
    assert len(found.predictions["ema"].ids) == 72


def test_many_unreadable_images_stop(fake, tmp_path):
    with pytest.raises(DataError, match=r"4 of 76 images cannot be decoded.*bad3"):
        evaluate(load_bundles(fake.folder), many(fake, tmp_path, 4))


def test_one_unreadable_image_of_a_small_part_does_not_stop(fake, tmp_path):
    images = many(fake, tmp_path, 1)
    few = slice(3, 12)  # one of nine
    small = EvaluationSet("x", images.files[few], images.targets[few], ["a"] * 9)
    assert len(evaluate(load_bundles(fake.folder), small).skipped) == 1
    alone = EvaluationSet("x", images.files[3:4], images.targets[3:4], ["a"])
    with pytest.raises(DataError, match="1 of 1 images cannot be decoded"):
        evaluate(load_bundles(fake.folder), alone)


def test_a_rule_decides_for_its_own_weights(fake):
    images = split_part(RunFolder(fake.folder), CLASSES, "test")
    always = DecisionRule(CLASSES, bias=(0.0, 1e9, 0.0))
    found = evaluate(load_bundles(fake.folder), images, rules={"ema": always})
    assert found.metrics["ema"].counts[:, 1].sum() == 24
    assert found.metrics["ema"].decision.words == "bias per class"
    assert found.metrics["raw"].counts[:, 1].sum() < 24
    assert found.metrics["raw"].decision is None
    # Confidence is about the likeliest class, whatever the rule says.
    plain = evaluate(load_bundles(fake.folder), images)
    for name in ("ema", "raw"):
        errors = [e.metrics[name].calibration_error.value for e in (found, plain)]
        assert errors[0] == pytest.approx(errors[1])


def test_answers_alone(fake, tmp_path):
    found = answer(load_bundles(fake.folder), many(fake, tmp_path, 1))
    assert list(found.predictions) == ["ema", "raw"]
    assert len(found.groups) == len(found.predictions["ema"].ids) == 72
    assert [name for name, _ in found.skipped] == ["bad0.png"]


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_answers_stay_beside_their_truth_when_images_are_left_out(
    fake, tmp_path, batch
):
    images = many(fake, tmp_path, 2)
    num = len(images.files)
    truth = np.arange(num) % 3
    images = replace(images, targets=truth, groups=[f"g{i}" for i in range(num)])
    good = [i for i, (name, _) in enumerate(images.files) if "bad" not in name]
    assert len(good) == num - 2
    found = answer(load_bundles(fake.folder), images, batch=batch)
    assert found.groups == [f"g{i}" for i in good]
    whole = replace(
        images,
        files=[images.files[i] for i in good],
        targets=truth[good],
        groups=[f"g{i}" for i in good],
    )
    alone = answer(load_bundles(fake.folder), whole, batch=batch)
    for name, told in found.predictions.items():
        assert told.ids == [images.files[i][0] for i in good]
        assert told.targets.tolist() == [i % 3 for i in good]
        expected = alone.predictions[name].log_probs
        np.testing.assert_array_equal(told.log_probs, expected)
