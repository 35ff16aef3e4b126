"""--tta through tune, evaluate, predict and export: one label, or a clear refusal."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from tests.export.runs import HEADS, make_run, write_data
from uda.cli import main
from uda.evaluation.decision import DecisionRule
from uda.evaluation.predict import Predictions, predict_pool
from uda.evaluation.rulefile import save_rule
from uda.evaluation.tta import parse_tta
from uda.export.description import Description
from uda.run.bundle import load_bundle
from uda.run.layout import RunFolder

CLASSES = ("Good", "Rust", "Scratch")
PARTS = ("labeled", "validation", "test")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(data, tmp_path):
    return make_run(tmp_path / "runs" / "train", data, parts=PARTS)


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words):
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result


def refused(*words):
    result = call(*words)
    assert result.exit_code == 2, result.output
    return result.stderr


def table(model, data, out, *words):
    done("predict", model, data, "--out", out, *words)
    with out.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def probs(rows):
    return np.array([[float(row[f"prob:{name}"]) for name in CLASSES] for row in rows])


def by_hand(run, rows, text):
    """The mean answer to the files of some rows."""
    bundle = load_bundle(run)
    images = np.stack([bundle.preprocessing.read(row["path"]) for row in rows])
    found = predict_pool(
        bundle.model, images, range(len(rows)), ids=[""] * len(rows), classes=CLASSES,
        tta=parse_tta(text, bundle.preprocessing),
    )  # fmt: skip
    return np.exp(found.log_probs)


def rule(run, **changes):
    save_rule(RunFolder(run), DecisionRule(CLASSES, **changes), "ema", {})


def test_tune_then_all_others_follow(run, data, tmp_path):
    told = done("tune", run, "--tta", "flips")
    lines = told.stdout.splitlines()
    assert lines[0].endswith("ema weights, TTA flips")
    assert lines[1].endswith("under TTA flips")
    (line,) = [one for one in lines if one.startswith("TTA flips: balanced accuracy")]
    stored = json.loads((run / "decision.json").read_text())
    gain = stored["fitted_on"]["tta"]["gain"]["balanced_accuracy"]
    assert f"{gain['second']:.3f} -> {gain['first']:.3f} (" in line
    assert "It takes 4 forward passes per image" in told.stdout
    assert stored["rule"]["tta"] == "flips"

    evaluated = done("evaluate", run)
    assert "ema weights, TTA flips" in evaluated.stdout
    assert "under TTA flips" in evaluated.stderr
    folder = run / "evaluation" / "test"
    assert json.loads((folder / "metrics.json").read_text())["tta"] == "flips"
    assert Predictions.load(folder / "predictions.npz").tta == "flips"
    assert '"tta": "flips"' in (run / "evaluation" / "reads.json").read_text()

    rows = table(run, data, tmp_path / "a.csv")
    scale = stored["rule"]["temperature"]
    logs = np.log(by_hand(run, rows, "flips")) / scale
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    assert probs(rows) == pytest.approx(expected, abs=1e-5)
    plain = table(run, data, tmp_path / "b.csv", "--no-decision")
    assert probs(plain) == pytest.approx(by_hand(run, plain, "none"), abs=1e-5)

    exported = done("export", run)
    assert "under TTA flips" in exported.stdout
    path = run / "export" / "onnx" / "model.onnx"
    assert Description.load(path).tta == "flips"
    found = table(path, data, tmp_path / "c.csv", "--batch", "5")
    assert probs(found) == pytest.approx(expected, abs=1e-5)
    assert [row["decision"] for row in found] == [row["decision"] for row in rows]


@pytest.mark.parametrize("text", ["none", "flips", "d4", "scales", "weak:2"])
def test_views_without_a_rule(text, run, data, tmp_path):
    rows = table(run, data, tmp_path / "a.csv", "--tta", text, "--batch", "4")
    assert probs(rows) == pytest.approx(by_hand(run, rows, text), abs=1e-5)
    told = done("evaluate", run, "--tta", text)
    assert ("TTA" in told.stdout) == (text != "none")


@pytest.mark.parametrize(
    ("fitted", "asked"), [("flips", "none"), ("none", "flips"), ("d4", "flips")]
)
def test_a_rule_of_other_views_is_refused_everywhere(fitted, asked, run, data):
    rule(run, tta=fitted)
    for words in (
        ("evaluate", run),
        ("predict", run, data, "--out", "-"),
        ("export", run),
    ):
        told = refused(*words, "--tta", asked)
        assert f"fitted under --tta {fitted}, and this is --tta {asked}" in told
        for way_out in (f"take --tta {fitted}", f"--tta {asked}`)", "--no-decision"):
            assert way_out in told, words
    done("evaluate", run, "--tta", asked, "--no-decision")
    done("export", run, "--tta", asked, "--no-decision", "--format", "safetensors")


def test_an_export_without_a_rule_takes_other_views(run, data, tmp_path):
    done("export", run, "--tta", "d4", "--format", "safetensors")
    path = run / "export" / "safetensors" / "model.safetensors"
    told = call("predict", path, data, "--out", "-")
    assert "answers are means, --tta d4" in told.stderr
    rows = table(path, data, tmp_path / "a.csv")
    assert probs(rows) == pytest.approx(by_hand(run, rows, "d4"), abs=1e-5)
    rows = table(path, data, tmp_path / "b.csv", "--tta", "flips")
    assert probs(rows) == pytest.approx(by_hand(run, rows, "flips"), abs=1e-5)
    assert "images of one size" in refused(
        "predict", path, data, "--out", "-", "--tta", "scales"
    )


def test_an_exported_rule_keeps_its_views(run, data, tmp_path):
    rule(run, temperature=2.0, tta="flips")
    done("export", run, "--format", "safetensors")
    path = run / "export" / "safetensors" / "model.safetensors"
    told = refused("predict", path, data, "--out", "-", "--tta", "none")
    assert "model.json: fitted under --tta flips, and this is --tta none" in told
    words = ("--tta", "none", "--no-decision")
    rows = table(path, data, tmp_path / "a.csv", *words)
    assert probs(rows) == pytest.approx(by_hand(run, rows, "none"), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "reason"), [("scales", "one size"), ("weak:2", "draws of a policy")]
)
def test_what_other_programs_cannot_make_is_not_exported(text, reason, run):
    assert reason in refused("export", run, "--tta", text)
    bundle = load_bundle(run)
    rule(run, tta=parse_tta(text, bundle.preprocessing).label)
    told = refused("export", run)
    assert reason in told
    assert "export with --no-decision" in told
    done("export", run, "--format", "safetensors", "--no-decision")


def test_no_decision_to_leave_out_of_an_export(run):
    assert "--no-decision has no effect" in refused("export", run, "--no-decision")


def test_words_are_refused_before_anything_is_read(run, data):
    for words in (("tune", run), ("evaluate", run), ("predict", run, data)):
        assert "did you mean 'flips'" in refused(*words, "--tta", "flip")
    assert not (run / "evaluation").exists()


def test_several_labels(data, tmp_path):
    run = make_run(tmp_path / "train", data, parts=PARTS, **HEADS["multi-label"])
    told = done("predict", run, data, "--tta", "flips", "--out", tmp_path / "a.csv")
    assert "thresholds per class were fitted without --tta flips" in told.stderr
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert probs(rows) == pytest.approx(by_hand(run, rows, "flips"), abs=1e-5)
    assert "thresholds per class" in done("export", run, "--tta", "flips").stderr
    found = table(run / "export" / "onnx" / "model.onnx", data, tmp_path / "b.csv")
    assert probs(found) == pytest.approx(probs(rows), abs=1e-5)
    assert [row["class"] for row in found] == [row["class"] for row in rows]


def test_a_shape_that_is_not_square(run, data):
    path = run / "model.json"
    about = json.loads(path.read_text())
    about["preprocessing"]["size"] = [32, 24]
    path.write_text(json.dumps(about))
    told = refused("predict", run, data, "--out", "-", "--tta", "d4")
    assert "32x24 pixels are not square; take --tta flips" in told
    done("predict", run, data, "--out", "-", "--tta", "flips")


def test_a_rule_of_a_policy_that_changed(run, data, tmp_path):
    policy = tmp_path / "mine.yaml"
    policy.write_text(
        "name: mine\ncount: 1\nops:\n  - {op: Brightness, low: 0.5, high: 1.5}\n"
    )
    done("tune", run, "--tta", f"{policy}:2")
    done("evaluate", run)
    done("evaluate", run, "--tta", f"{policy}:2")
    assert "fitted under" in refused("evaluate", run, "--tta", f"{policy}:3")
    policy.write_text(policy.read_text().replace("1.5", "1.4"))
    done("evaluate", run)  # by the run's own copy
    assert "fitted under" in refused("evaluate", run, "--tta", f"{policy}:2")
    next((run / "policies").glob("tta-*")).unlink()
    told = refused("evaluate", run)
    assert "no policy" in told
    assert "mine.yaml:2" in told
    done("evaluate", run, "--no-decision")
