"""`uda export` and `uda predict` of its files: the same answers, or a clear refusal."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.evaluation.fakes import write_deep
from tests.export.runs import HEADS, make_run, write_data
from uda.cli import main
from uda.evaluation.conformal import UnsureLane
from uda.evaluation.decision import DecisionRule
from uda.evaluation.rulefile import save_rule
from uda.run.layout import RunFolder
from uda.training.configure import build_config
from uda.training.launch import launch
from uda.training.length import Length
from uda.training.monitor.progress import Progress
from uda.training.stop import StopRequest


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(data, tmp_path):
    return make_run(tmp_path / "runs" / "train", data)


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def predicted(model, data, out, *words):
    done = call("predict", model, data, "--out", out, *words)
    assert done.exit_code == 0, done.output
    with out.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def same_rows(found, expected):
    words = {"path", "class", "decision", "error"}
    assert [row["path"] for row in found] == [row["path"] for row in expected]
    assert list(found[0]) == list(expected[0])
    for one, other in zip(found, expected, strict=True):
        assert one["class"] == other["class"]
        assert one.get("decision") == other.get("decision")
        for key in set(one) - words:
            assert float(one[key]) == pytest.approx(float(other[key]), abs=1e-5)


@pytest.mark.parametrize("head", ["flat", "multi-label"])
def test_an_exported_file_predicts_what_the_run_predicts(head, data, tmp_path):
    run = make_run(tmp_path / "train", data, **HEADS[head])
    done = call("export", run)
    assert done.exit_code == 0, done.output
    path = run / "export" / "onnx" / "model.onnx"
    assert done.stderr == ""
    assert f"Wrote {path}" in done.stdout
    assert "model.json" in done.stdout
    assert "on 9 images of the validation part" in done.stdout
    expected = predicted(run, data, tmp_path / "run.csv")
    assert len({row["class"] for row in expected}) > 1
    found = predicted(path, data, tmp_path / "onnx.csv", "--batch", "5")
    same_rows(found, expected)
    write_deep(tmp_path / "deep.png")
    for model in (run, path):
        told = call("predict", model, tmp_path / "deep.png", "--out", "-").stderr
        assert "1 of 1 files looked at have more than 8 bits" in told


@pytest.mark.parametrize("kind", ["pt2", "safetensors"])
def test_the_other_formats(kind, run, data, tmp_path):
    out = tmp_path / "out" / f"net.{kind}"
    done = call("export", run, "--format", kind, "--out", out, "--weights", "raw")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "net.json", out.name,
    ]  # fmt: skip
    assert json.loads((out.parent / "net.json").read_text())["made"]["weights"] == "raw"
    expected = predicted(run, data, tmp_path / "run.csv", "--weights", "raw")
    same_rows(predicted(out, data, tmp_path / "export.csv"), expected)


RULE = DecisionRule(
    ("Good", "Rust", "Scratch"),
    temperature=0.5,
    bias=(0.0, 0.3, 0.0),
    lane=UnsureLane(0.9, (1.0, 1.0, 1.0), (True,) * 3, None),
)


def test_the_export_decides_as_the_run_does(run, data, tmp_path):
    save_rule(RunFolder(run), RULE, "ema", {})
    done = call("export", run)
    assert done.exit_code == 0, done.output
    assert f"decides as decision.json does: {RULE.words()}" in done.stdout
    path = run / "export" / "onnx" / "model.onnx"
    expected = predicted(run, data, tmp_path / "run.csv")
    found = predicted(path, data, tmp_path / "onnx.csv")
    same_rows(found, expected)
    assert len({row["decision"] for row in found}) > 1
    told = call("predict", path, data, "--out", "-")
    assert "model.json decides" in told.stderr
    plain = predicted(path, data, tmp_path / "plain.csv", "--no-decision")
    assert "decision" not in plain[0]
    same_rows(plain, predicted(run, data, tmp_path / "p.csv", "--no-decision"))


def test_a_rule_of_other_weights_is_left_aside(run, data, tmp_path):
    save_rule(RunFolder(run), RULE, "raw", {})
    done = call("export", run, "--format", "safetensors")
    assert done.exit_code == 0
    assert "about other weights" in done.stderr
    path = run / "export" / "safetensors" / "model.safetensors"
    refused = call("predict", path, data, "--no-decision", "--out", "-")
    assert refused.exit_code == 2
    assert "holds no decision rule" in refused.stderr


def test_a_second_export_needs_consent(run):
    words = ("export", run, "--format", "safetensors")
    assert call(*words).exit_code == 0
    refused = call(*words)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert call(*words, "--overwrite").exit_code == 0


def test_a_run_that_is_not_done_is_told(run):
    RunFolder(run).write_status("interrupted", step=3, steps=6)
    done = call("export", run, "--format", "safetensors")
    assert done.exit_code == 0
    assert "the run is interrupted, at step 3 of 6" in done.stderr


def test_data_elsewhere(run, data):
    (run / "config.yaml").write_text("data:\n  root: gone\n")
    words = ("export", run, "--format", "safetensors")
    lost = call(*words)
    assert lost.exit_code == 3
    assert "uda export RUN DATA" in lost.stderr
    assert call(*words, data).exit_code == 0


def test_options_without_effect_are_refused(run, data, tmp_path):
    done = call("export", run, "--format", "safetensors", "--pixels", "float32")
    assert done.exit_code == 2
    assert "--pixels float32 has no effect" in done.stderr
    path = tmp_path / "m.safetensors"
    assert call("export", run, "--format", "safetensors", "--out", path).exit_code == 0
    for words in (("--weights", "ema"), ("--device", "cuda")):
        done = call("predict", path, data, "--out", tmp_path / "p.csv", *words)
        assert done.exit_code == 2, words
        assert words[0] in done.stderr


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "damaged"),
        (lambda path: path.with_suffix(".json").unlink(), "model.json: missing"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_damage_is_named_and_nothing_is_written(harm, reason, run, data, tmp_path):
    assert call("export", run, "--format", "safetensors").exit_code == 0
    path = run / "export" / "safetensors" / "model.safetensors"
    harm(path)
    done = call("predict", path, data, "--out", tmp_path / "p.csv")
    assert done.exit_code == 3
    assert reason in done.stderr
    assert str(path.parent) in done.stderr
    assert not (tmp_path / "p.csv").exists()


def test_a_folder_that_is_called_like_a_file_is_a_run(run, data, tmp_path):
    folder = run.rename(run.parent / "night.onnx")
    assert predicted(folder, data, tmp_path / "p.csv")


def test_a_texture_run_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    config = build_config({
        "data.root": str(data), "data.size": (16, 16), "data.group": "none",
        "method": "texture",
    })  # fmt: skip
    launch(
        config, Length(), project=tmp_path, name="t", console=Progress(),
        stop=StopRequest(),
    )  # fmt: skip
    done = call("export", tmp_path / "t")
    assert done.exit_code == 2
    assert "texture descriptors" in done.stderr
    assert "uda train --method supervised" in done.stderr


def test_no_run_there(tmp_path):
    done = call("export", tmp_path)
    assert done.exit_code == 3
    assert "no run here" in done.stderr


def test_help_needs_no_torch():
    code = (
        "import sys; from uda.cli import main;"
        "main(['export', '--help'], standalone_mode=False);"
        "assert not {'torch', 'numpy', 'onnx', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
