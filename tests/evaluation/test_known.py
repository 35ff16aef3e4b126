"""The images that a run has labels of, found again where its data are."""

from __future__ import annotations

import pytest

from tests.evaluation.fakes import make_run
from uda.errors import CheckpointError, DataError
from uda.evaluation.known import known_images
from uda.run.layout import RunFolder


def test_every_labelled_image_is_known_by_part_and_content(tmp_path):
    run = make_run(tmp_path, per_part=3)
    known = known_images(RunFolder(run.folder))
    assert len(known.records) == 27
    assert known.parts.count("test") == 9
    assert len(known.taught) == 18
    assert all(known.parts[place] != "test" for place in known.taught)
    assert known.counts == {"Dark": 3, "Good": 3, "Rust": 3}
    assert len(known.hashes) == 27


def test_a_test_image_that_is_gone_is_known_by_its_content_alone(tmp_path):
    run = make_run(tmp_path, per_part=2)
    (run.data / "Good" / "test0.png").unlink()
    known = known_images(RunFolder(run.folder))
    assert len(known.records) == 17
    assert len(known.hashes) == 18


def test_training_images_that_are_gone_are_an_error(tmp_path):
    run = make_run(tmp_path, per_part=2)
    (run.data / "Good" / "labeled0.png").unlink()
    with pytest.raises(DataError, match=r"1 images .* Good/labeled0\.png; put them"):
        known_images(RunFolder(run.folder))


def test_a_run_without_its_data_is_an_error(tmp_path):
    run = make_run(tmp_path, per_part=2)
    (run.folder / "config.yaml").write_text("nothing: 1\n")
    with pytest.raises(CheckpointError, match="does not say where the data are"):
        known_images(RunFolder(run.folder))
