"""The last line of a training: how good, on how many images, and what answers."""

from __future__ import annotations

import pytest

from uda.data.splits import Split, SplitRow
from uda.files import write_json
from uda.run.layout import RunFolder
from uda.training.summary import Summary, done_words, next_words


@pytest.fixture
def run(tmp_path):
    labels = {"labeled": "GGGRRD", "validation": "GGGGR", "test": "GRD"}
    rows = [
        SplitRow(f"{part}{i}.png", part, label, None, "")
        for part, names in labels.items()
        for i, label in enumerate(names)
    ]
    Split(tuple(rows)).save(tmp_path / "split.csv")
    write_json(
        tmp_path / "model.json",
        {"spec": {"classes": ["D", "G", "R"], "link": "softmax"}},
    )
    return RunFolder(tmp_path)


def test_a_number_comes_with_what_it_rests_on(run):
    done = Summary("done", 9, {"val_ema/balanced_accuracy": 1.0})
    assert done_words(done, run) == (
        " Validation balanced accuracy 1.000 (5 images, 1 of them R, none of D)."
    )
    run.write_status("done", handed_over="texture")
    assert done_words(done, run).endswith(" The run answers by texture descriptors.")


def test_without_validation_nothing_is_claimed(run):
    assert done_words(Summary("done", 9, {}), run) == ""


def test_the_test_part_is_for_the_end(run, tmp_path):
    assert next_words(run).startswith(f"uda evaluate {tmp_path} --part validation (")
    text = (tmp_path / "split.csv").read_text().replace(",validation,", ",labeled,")
    (tmp_path / "split.csv").write_text(text)
    assert next_words(run) == f"uda evaluate {tmp_path}"
