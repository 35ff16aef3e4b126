"""The check of an export: which images, which batches, which difference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.export.runs import make_run, write_data
from uda.data.preprocessing import Preprocessing
from uda.errors import CheckpointError, DataError
from uda.export.parity import differences, real_images, require_parity
from uda.run.layout import RunFolder

PREPARED = Preprocessing((16, 16), 1, "letterbox", None, (0.5,), (0.2,))


def mean(images):
    values = images.astype(np.float32).mean((1, 2, 3)) / 255
    return np.stack([values, 1 - values], 1)


def noise(count):
    return np.random.default_rng(0).integers(0, 256, (count, 6, 6, 1)).astype(np.uint8)


def test_batches_of_one_two_and_seven_different_images():
    seen = []

    def asked(images):
        seen.append(images[:, 0, 0, 0].tolist())
        return mean(images)

    images = noise(10)
    images[:, 0, 0, 0] = range(10)
    assert differences(mean, asked, images) == {1: 0.0, 2: 0.0, 7: 0.0}
    assert seen == [[0], [1, 2], [3, 4, 5, 6, 7, 8, 9]]


def test_few_images_are_used_again():
    seen = []

    def asked(images):
        seen.append(images[:, 0, 0, 0].tolist())
        return mean(images)

    images = noise(3)
    images[:, 0, 0, 0] = range(3)
    differences(mean, asked, images)
    assert seen == [[0], [1, 2], [0, 1, 2, 0, 1, 2, 0]]


def test_the_largest_difference_counts():
    def off(images):
        found = mean(images).copy()
        if len(found) == 7:
            found[5, 1] += 0.25
        return found

    found = differences(mean, off, noise(10))
    assert found == {1: 0.0, 2: 0.0, 7: pytest.approx(0.25, abs=1e-6)}
    with pytest.raises(CheckpointError, match=r"0\.0e\+00 at batch 1.*2\.5e-01 at"):
        require_parity(found, "m.onnx")


def test_what_is_no_answer_is_no_parity():
    for wrong in (lambda x: mean(x)[:1], lambda x: mean(x) * np.nan):
        found = differences(mean, wrong, noise(10))
        assert found[7] == float("inf")
        with pytest.raises(CheckpointError, match=r"m\.onnx: does not answer"):
            require_parity(found, "m.onnx")


def test_the_limit():
    assert require_parity({1: 0.0, 2: 9.9e-5}, "m") == 9.9e-5
    for value in (1e-4, float("nan")):
        with pytest.raises(CheckpointError):
            require_parity({1: value}, "m")


def test_validation_images_else_labelled_ones(made, data, tmp_path):
    found = real_images(RunFolder(made), PREPARED)
    assert found.part == "validation"
    assert found.pixels.shape == (9, 16, 16, 1)
    alone = make_run(tmp_path / "alone", data, parts=("labeled",))
    found = real_images(RunFolder(alone), PREPARED)
    assert (found.part, len(found.pixels)) == ("labeled", 10)


def test_broken_and_missing_images_are_passed_over(tmp_path):
    data = write_data(tmp_path / "d")
    run = RunFolder(make_run(tmp_path / "train", data))
    files = sorted(data.rglob("*.png"))
    files[1].unlink()
    files[3].write_bytes(b"no image")
    assert len(real_images(run, PREPARED).pixels) == 7
    (data / "moved").mkdir()
    with pytest.raises(DataError, match="none of the run's images"):
        real_images(run, PREPARED, data / "moved")


def test_a_manifest_stands_for_its_folder(made, data, tmp_path):
    run = RunFolder(made)
    assert real_images(run, PREPARED, data / "manifest.csv").part == "validation"
