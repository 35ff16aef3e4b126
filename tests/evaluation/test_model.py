"""A model in memory answers as `uda predict` does for the same files."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.evaluation.fakes import CLASSES, make_run, write_deep, write_image
from uda.cli import main
from uda.data.images import BadImage
from uda.errors import DataError, UsageError
from uda.evaluation.decision import DecisionRule
from uda.evaluation.model import as_channels, load
from uda.evaluation.rulefile import save_rule
from uda.run.layout import RunFolder


@pytest.fixture
def run(tmp_path, monkeypatch):
    made = make_run(tmp_path, per_part=2)
    monkeypatch.setattr("uda.evaluation.model.load_bundle", made.load_bundle)
    monkeypatch.setattr("uda.run.bundle.load_bundle", made.load_bundle)
    return made


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "pile" / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        write_image(path, CLASSES[number % 3], number)
    return paths


def test_it_answers_as_the_command_does(run, files, tmp_path):
    folder = RunFolder(run.folder)
    bias = tuple(3.0 * (place == 1) for place in range(len(CLASSES)))
    save_rule(folder, DecisionRule(CLASSES, 2.0, bias, tta="flips"), "ema", {})
    out = tmp_path / "answers.csv"
    words = ["predict", str(run.folder), *map(str, files), "--out", str(out)]
    assert CliRunner().invoke(main, words).exit_code == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    found = load(run.folder).predict(files)
    assert [row["class"] for row in rows] == found.names_of(found.predicted)
    for place, name in enumerate(CLASSES):
        written = [float(row[f"prob:{name}"]) for row in rows]
        np.testing.assert_allclose(written, found.probs[:, place], atol=1e-6)


def test_an_array_is_answered_as_its_file_in_any_batch(run, files):
    model = load(run.folder, decision=False)
    arrays = [np.asarray(Image.open(path)) for path in files]
    mixed = model.predict([arrays[0], files[1], *arrays[2:]], batch=2)
    whole = model.predict(files)
    np.testing.assert_allclose(mixed.log_probs, whole.log_probs, atol=1e-5)
    assert mixed.ids == ["0", str(files[1]), "2", "3", "4"]


def test_a_rule_of_other_views_is_refused(run):
    rule = DecisionRule(CLASSES, 2.0, tta="flips")
    save_rule(RunFolder(run.folder), rule, "ema", {})
    with pytest.raises(UsageError, match="flips"):
        load(run.folder, tta="none")
    assert load(run.folder, tta="none", decision=False).rule is None


def test_what_is_no_picture_is_told(run, files, tmp_path):
    model = load(run.folder)
    with pytest.raises(DataError, match="float32 of shape"):
        model.predict([np.zeros((4, 4, 3), np.float32)])
    grey = np.full((4, 4), 128, np.uint8)
    for shape in ((0, 4), (4, 0, 3), (0, 0, 1)):
        with pytest.raises(DataError, match=r"picture 1: shape \(.*holds no pixel"):
            model.predict([grey, np.zeros(shape, np.uint8)])
    with pytest.raises(DataError, match="into brackets"):
        model.predict(files[0])
    with pytest.raises(DataError, match="no pictures"):
        model.predict([])
    (tmp_path / "broken.png").write_bytes(b"no")
    with pytest.raises(BadImage, match="broken"):
        model.predict([tmp_path / "broken.png"])


def test_channels_are_those_of_reading_a_file():
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(colour).convert("L"))
    np.testing.assert_array_equal(as_channels(colour, 1, "x")[:, :, 0], grey)
    np.testing.assert_array_equal(as_channels(grey, 3, "x")[:, :, 2], grey)
    assert as_channels(colour, 3, "x") is colour


def test_a_run_that_has_not_ended_is_told(run):
    (run.folder / "status.json").write_text(
        '{"state": "interrupted", "step": 3, "steps": 9}'
    )
    with pytest.warns(UserWarning, match="interrupted, at step 3 of 9; these are not"):
        load(run.folder)


def test_files_deeper_than_those_of_the_training_are_told(run, files, tmp_path):
    write_deep(tmp_path / "deep.png")
    model = load(run.folder)
    with pytest.warns(UserWarning, match="1 of 6 files looked at have more than 8"):
        model.predict([*files, tmp_path / "deep.png"])
