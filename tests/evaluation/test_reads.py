"""Results find their folder, and looks at the test part are remembered."""

from __future__ import annotations

import json

import pytest

from tests.evaluation.fakes import CLASSES, make_run, write_image
from uda.evaluation.parts import class_folder, split_part
from uda.evaluation.reads import past_reads, record_read, result_folder
from uda.run.layout import RunFolder


@pytest.fixture
def fake(tmp_path):
    return make_run(tmp_path)


def test_reads_are_remembered(tmp_path):
    run = RunFolder(tmp_path)
    assert past_reads(run) == []
    record_read(run, {"balanced_accuracy": 0.5})
    record_read(run, {"balanced_accuracy": 0.6})
    reads = past_reads(run)
    assert [entry["balanced_accuracy"] for entry in reads] == [0.5, 0.6]
    assert all("time" in entry for entry in reads)


def test_two_folders_of_one_name_are_two_results(fake, tmp_path):
    run = RunFolder(fake.folder)
    folders = [tmp_path / day / "2024.05" for day in ("monday", "tuesday")]
    names = []
    for folder in folders:
        write_image(folder / "Rust" / "0.png", "Rust", 9000)
        images = class_folder(run, CLASSES, folder)
        target = result_folder(run, images)
        target.mkdir(parents=True)
        (target / "metrics.json").write_text(json.dumps({"source": images.source}))
        names.append(target.name)
        assert result_folder(run, images) == target  # the same one again
    assert names == ["data-2024.05", "data-2024.05-2"]


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_damaged_results_are_written_again(fake, text):
    run = RunFolder(fake.folder)
    images = split_part(run, CLASSES, "test")
    target = result_folder(run, images)
    target.mkdir(parents=True)
    (target / "metrics.json").write_text(text)
    assert result_folder(run, images) == target
