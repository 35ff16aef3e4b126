"""Two runs side by side, from files that a person could have written."""

from __future__ import annotations

import json

import pytest

from uda.reporting.side_by_side import comparison_lines, duel_lines


def answers(folder, right):
    folder.mkdir(parents=True)
    rows = [f"{name},A,{'A' if name in right else 'B'}" for name in "abcdefghx"]
    (folder / "predictions.csv").write_text("path,target,class\n" + "\n".join(rows))
    return folder


@pytest.mark.parametrize(
    ("uda", "supervised", "words"),
    [
        ("abcdefgh", "", "More are right with UDA"),
        ("", "abcdefgh", "Fewer are right with UDA"),
        ("abcdx", "efgx", "cannot tell them apart"),
        ("abc", "abc", "right on the same"),
    ],
)
def test_the_verdict_waits_until_chance_is_unlikely(tmp_path, uda, supervised, words):
    # 8 of 8 is p = 0.008 in a two-sided sign test; 4 of 7 is p = 1.
    folders = answers(tmp_path / "u", uda), answers(tmp_path / "s", supervised)
    assert words in " ".join(duel_lines(*folders))


def test_the_share_is_of_the_disputed_images_alone(tmp_path):
    folders = answers(tmp_path / "u", "abcx"), answers(tmp_path / "s", "dx")
    assert duel_lines(*folders)[0].startswith(
        "On 4 test photos one method alone is right: UDA on 3, or 75% ("
    )


def test_a_run_is_a_column(tmp_path):
    def estimate(value):
        return {"value": value, "interval": None if value is None else [0.1, 0.9]}

    for name, recall in (("one", 0.25), ("two", None)):
        numbers = {
            "classes": ["Good", "Rust\n"],
            "per_class": [
                {"images": 4, "recall": estimate(recall), "precision": estimate(0.5)},
                {"images": 2, "recall": estimate(1.0), "precision": estimate(0.75)},
            ],
            "balanced_accuracy": estimate(0.625),
            "macro_f1": estimate(0.4),
            "escape": estimate(0.0),
            "overkill": estimate(None),
        }
        (tmp_path / name).mkdir()
        content = {"main_weights": "raw", "weights": {"raw": numbers, "ema": {}}}
        (tmp_path / name / "metrics.json").write_text(json.dumps(content))
    folders = {name: tmp_path / name for name in ("one", "two")}
    lines = comparison_lines(folders, {"Good": 7})
    cells = [line.replace(" (", "(").split() for line in lines]
    assert ["recall", "labelled", "test", "one", "two"] in cells
    assert ["Good", "7", "4", "0.25(0.10-0.90)", "n/a"] in cells
    assert ["Rust\\n", "0", "2", "1.00(0.10-0.90)", "1.00(0.10-0.90)"] in cells
    assert ["mean", "0.62(0.10-0.90)", "0.62(0.10-0.90)"] in cells
    assert ["macro-F1", "0.40(0.10-0.90)", "0.40(0.10-0.90)"] in cells
    assert "good parts rejected" in "\n".join(lines)
