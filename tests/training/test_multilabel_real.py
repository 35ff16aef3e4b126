"""Several labels per image on real photos of circuit boards, shortly."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from uda.cli.evaluate import command as evaluate
from uda.cli.split import command as split
from uda.cli.train import command as train


@pytest.mark.slow
def test_boards_with_several_defects(real_data, tmp_path, monkeypatch):
    data = real_data / "deeppcb"
    if not (data / "manifest.csv").is_file():
        pytest.skip("deeppcb is missing: set UDA_DATA to the folder that holds it")
    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    file, runs = tmp_path / "split.csv", tmp_path / "runs"
    for command, words in (
        (split, (data, "--multi-label", "--labels-per-class", 20, "--out", file)),
        (train, (data, "--multi-label", "--split", file, "--imgsz", 64, "--batch", 8,
                 "--steps", 12, "--method", "supervised", "--project", runs)),
        (evaluate, (runs / "latest",)),
    ):  # fmt: skip
        done = CliRunner().invoke(command, [str(word) for word in words])
        assert done.exit_code == 0, (done.output, done.exception)
    metrics = (runs / "latest").resolve() / "evaluation" / "test" / "metrics.json"
    found = json.loads(metrics.read_text())["weights"]["ema"]
    assert found["images"] == 469
    assert [entry["name"] for entry in found["per_class"]] == [
        "copper", "mousebite", "open", "pin-hole", "short", "spur",
    ]  # fmt: skip
    # Most boards show most defects: naming at random would have their share.
    assert 0.5 < found["macro_ap"]["value"] <= 1
