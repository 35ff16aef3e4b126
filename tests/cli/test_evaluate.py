"""`uda evaluate`: what is printed, written, remembered and refused."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from click.testing import CliRunner

from tests.evaluation.fakes import make_run, write_deep, write_image
from uda.cli import main
from uda.evaluation import evaluate as module


@pytest.fixture
def fake(tmp_path, monkeypatch):
    run = make_run(tmp_path)
    monkeypatch.setattr(module, "load_bundle", run.load_bundle)
    return run


def call(*words):
    return CliRunner().invoke(main, ["evaluate", *(str(word) for word in words)])


def test_the_own_test_part(fake):
    result = call(fake.folder, "--good-class", "Good")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "test: 24 images, ema weights"
    assert lines[2].startswith("true \\ predicted")  # the confusion matrix first
    text = result.stdout
    order = ["true \\", "average precision", "raw weights", "balanced accuracy"]
    assert [text.index(word) for word in order] == sorted(text.index(w) for w in order)
    assert "escape: defective parts passed / defective parts" in text
    assert "overkill" in text
    folder = fake.folder / "evaluation" / "test"
    assert (folder / "metrics.json").is_file()
    assert (folder / "confusion_matrix.png").read_bytes()[:4] == b"\x89PNG"
    with (folder / "predictions.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 24


def test_a_second_look_at_the_test_part_is_told(fake):
    first, second, third = (call(fake.folder) for _ in range(3))
    assert "last read" not in first.stderr
    assert "test part last read 20" in second.stderr
    assert "reads so far: 2" in third.stderr
    reads = json.loads((fake.folder / "evaluation" / "reads.json").read_text())
    assert len(reads) == 3
    assert set(reads[0]["balanced_accuracy"]) == {"ema", "raw"}


def test_looks_of_other_runs_at_the_same_test_part_count(fake):
    """Who chooses among runs by it has used it up, whichever run was asked."""
    other = fake.folder.with_name("other")
    shutil.copytree(fake.folder, other)
    call(fake.folder)
    second = call(other)
    assert "reads so far: 0 by this run, and 1 by runs beside it" in second.stderr
    text = (other / "split.csv").read_text().splitlines()
    less = [line for line in text if ",test,Rust," not in line]
    (other / "split.csv").write_text("\n".join(less) + "\n")
    (other / "evaluation" / "reads.json").unlink()
    assert "reads so far" not in call(other).stderr


@pytest.mark.parametrize("text", ["{", "[]", "[1, 2]", '{"a": 1}'])
def test_what_lies_beside_a_run_is_no_matter_of_its(fake, text):
    """A damaged run, another program's folder, a file."""
    other = fake.folder.with_name("other")
    (other / "evaluation").mkdir(parents=True)
    (other / "evaluation" / "reads.json").write_text(text)
    (fake.folder.parent / "notes.txt").write_text("x")
    assert call(fake.folder).exit_code == 0


def test_damaged_numbers_are_no_reason_to_stop(fake):
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"weights": 3}')):
        folder = fake.folder / "evaluation" / name
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(text)
    assert call(fake.folder).exit_code == 0


def test_the_class_of_good_parts_is_remembered(fake):
    """Or a second look would take escape and overkill out of the report."""
    call(fake.folder, "--good-class", "Good")
    second = call(fake.folder)
    assert "--good-class Good, as the time before" in second.stderr
    assert "escape: defective parts passed" in second.stdout


def test_loose_photos_are_none_to_evaluate_on(fake, tmp_path):
    write_image(tmp_path / "loose" / "a.png", "Rust", 1)
    result = call(fake.folder, tmp_path / "loose")
    assert result.exit_code == 3
    assert "classify them with `uda predict`" in result.stderr
    assert "--unlabeled" not in result.stderr


def test_the_validation_part_is_no_look_at_the_test(fake):
    result = call(fake.folder, "--part", "validation")
    assert result.exit_code == 0, result.output
    assert (fake.folder / "evaluation" / "validation" / "metrics.json").is_file()
    assert not (fake.folder / "evaluation" / "reads.json").exists()


def test_the_runs_own_data_mean_its_own_part(fake, tmp_path):
    assert "test: 24 images" in call(fake.folder, fake.data).stdout
    moved = tmp_path / "moved"
    fake.data.rename(moved)
    assert call(fake.folder).exit_code == 3
    result = call(fake.folder, moved, "--split", fake.folder / "split.csv")
    assert "test: 24 images" in result.stdout, result.output


def test_a_folder_of_classes_is_read_whole(fake, tmp_path):
    for number in range(5):
        write_image(tmp_path / "new" / "Rust" / f"{number}.png", "Rust", 9000 + number)
    result = call(fake.folder, tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "data-new: 5 images" in result.stdout
    assert "n/a" in result.stdout  # two classes have no images
    assert (fake.folder / "evaluation" / "data-new" / "metrics.json").is_file()
    assert call(fake.folder, tmp_path / "new", "--part", "test").exit_code == 2


def test_training_images_are_refused_unless_allowed(fake, tmp_path):
    (tmp_path / "copy").mkdir()
    (fake.data / "Rust").rename(tmp_path / "copy" / "Rust")
    refused = call(fake.folder, tmp_path / "copy")
    assert refused.exit_code == 2
    assert "16 of its images were in training" in refused.stderr
    allowed = call(fake.folder, tmp_path / "copy", "--allow-seen")
    assert allowed.exit_code == 0, allowed.output
    assert "Note: 16 of its images were in training" in allowed.stderr


def test_gates(fake):
    passed = call(
        fake.folder, "--require", "recall:Rust>=0.1", "--require", "accuracy>0"
    )
    assert passed.exit_code == 0, passed.output
    assert "recall:Rust>=0.1 met" in passed.stdout
    failed = call(fake.folder, "--require", "macro_f1>=0.5", "--require", "accuracy>1")
    assert failed.exit_code == 4
    assert "accuracy>1 not met" in failed.stderr
    assert "95 % interval" in failed.stderr
    assert "true \\ predicted" in failed.stdout  # the numbers are shown all the same
    raw = call(fake.folder, "--weights", "raw", "--require", "accuracy>0.9")
    assert raw.exit_code == 4
    assert raw.stdout.startswith("test: 24 images, raw weights")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--require", "recall:Rust"], "write a metric"),
        (["--require", "recall:rust>0.5"], "known: balanced_accuracy"),
        (["--require", "escape<0.5"], "--good-class"),
        (["--good-class", "good"], "its classes: Dark, Good, Rust"),
    ],
)
def test_wrong_options_are_refused_before_the_test_part_is_read(fake, words, message):
    result = call(fake.folder, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (fake.folder / "evaluation").exists()


def test_no_run(tmp_path):
    result = call(tmp_path)
    assert result.exit_code == 3
    assert "no run here" in result.stderr


def test_unreadable_images_are_named(fake):
    split = fake.folder / "split.csv"
    path = fake.data / "Rust" / "test0.png"
    path.write_bytes(b"broken")
    changed = call(fake.folder)
    assert changed.exit_code == 3
    assert "Rust/test0.png" in changed.stderr
    assert split.is_file()


def test_a_texture_run_has_no_weights_to_speak_of(fake):
    fake.kind = "texture"
    result = call(fake.folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("test: 24 images, texture\n")
    assert "ema" not in result.stdout + result.stderr


def test_files_deeper_than_those_of_the_training_are_told(fake, tmp_path):
    for number in range(3):
        write_deep(tmp_path / "new" / "Rust" / f"{number}.png")
    result = call(fake.folder, tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "3 of 3 files looked at have more than 8 bits" in result.stderr
