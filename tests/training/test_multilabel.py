"""Runs with several labels per image: through the commands, stopped, resumed."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn import metrics as sk

from tests.support.several import CLASSES, write_several
from tests.training.test_loop import StopAt, same, weights
from uda.cli.evaluate import command as evaluate
from uda.cli.filter import command as filter_command
from uda.cli.policy_audit import command as audit
from uda.cli.predict import command as predict
from uda.cli.split import command as split
from uda.cli.train import command as train
from uda.data.multilabel import members
from uda.data.records import scan
from uda.errors import DataError, UsageError
from uda.evaluation.predict import Predictions
from uda.evaluation.thresholds import Thresholds
from uda.rng import generator
from uda.run.bundle import load_bundle
from uda.training.configfile import read_config_file
from uda.training.configure import build_config
from uda.training.generations import launch_generations
from uda.training.launch import launch, resume
from uda.training.length import Length
from uda.training.monitor.progress import Progress
from uda.training.multilabel import (
    drawn_shares,
    label_accuracy,
    label_health,
    quick_metrics,
)
from uda.training.prepare import Policies, build_parts, build_stream
from uda.training.split import find_split
from uda.training.stop import StopRequest

QUICK = {
    "data.multi_label": True,
    "data.size": (16, 16),
    "loop.batch": 6,
    "loop.steps": 8,
    "loop.threads": 1,
    "loop.eval_every": 4,
    "loop.save_every": 2,
    "loop.log_every": 1,
    "consistency.start_share": 0.3,
    "consistency.ramp_share": 0.2,
    "consistency.threshold": 0.55,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_several(tmp_path_factory.mktemp("several") / "data")


@pytest.fixture
def quick(data, tmp_path, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(data.parent / "cache"))

    def run(changes=None, *, stop=None):
        keys = {**QUICK, "data.root": str(data), **(changes or {})}
        if keys.get("method") == "supervised":
            keys = {k: v for k, v in keys.items() if not k.startswith("consistency.")}
        summary = launch(
            build_config(keys),
            Length(),
            project=tmp_path / "runs",
            name="t",
            console=Progress(),
            stop=StopRequest() if stop is None else stop,
        )
        return (tmp_path / "runs" / "latest").resolve(), summary

    return run


def ok(command, *words):
    done = CliRunner().invoke(command, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_whole_way_by_commands_equals_scikit_learn(data, tmp_path, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "split.csv"
    ok(split, data, "--multi-label", "--labels-per-class", 8, "--out", file)
    shared = (
        "--imgsz",
        16,
        "--batch",
        8,
        "--steps",
        30,
        "--project",
        tmp_path / "runs",
    )
    said = ok(
        train, data, "--multi-label", "--split", file, *shared, "--threads", 1,
        "--set", "loop.log_every=5",
    )  # fmt: skip
    assert "uda evaluate" in said
    run = (tmp_path / "runs" / "latest").resolve()
    output = ok(evaluate, run)
    for word in ("threshold", "mean average precision", "exact match", "macro-F1"):
        assert word in output
    assert "predicted" not in output.splitlines()[1]

    folder = run / "evaluation" / "test"
    assert not (folder / "confusion_matrix.png").exists()
    found = Predictions.load(folder / "predictions.npz")
    limits = Thresholds.load(run / "thresholds.json", CLASSES).values
    assert found.thresholds == limits
    truth = {r.path: r.label for r in scan(data, multi_label=True).records}
    true = members([truth[i] for i in found.ids], CLASSES)
    np.testing.assert_array_equal(found.targets, true)
    named = (np.exp(found.log_probs.astype(float)) >= np.array(limits)).astype(int)
    written = json.loads((folder / "metrics.json").read_text())["weights"]["ema"]
    macro = sk.f1_score(true, named, average="macro", zero_division=0)
    micro = sk.f1_score(true, named, average="micro", zero_division=0)
    assert written["macro_f1"]["value"] == pytest.approx(macro)
    assert written["micro_f1"]["value"] == pytest.approx(micro)
    assert written["exact_match"]["value"] == pytest.approx(
        (true == named).all(1).mean()
    )
    for c, entry in enumerate(written["per_class"]):
        ap = sk.average_precision_score(true[:, c], found.log_probs[:, c])
        assert entry["ap"]["value"] == pytest.approx(ap, abs=1e-6)

    out = tmp_path / "answers.csv"
    ok(predict, run, data, "--out", out)
    with out.open(newline="") as stream:
        rows = {row["path"].rpartition("/")[2]: row for row in csv.DictReader(stream)}
    assert len(rows) == 130
    row = rows[found.ids[0]]
    probs = np.array([float(row[f"prob:{name}"]) for name in CLASSES])
    np.testing.assert_allclose(probs, found.probs[0], atol=2e-6)
    expected = [n for n, p, t in zip(CLASSES, probs, limits, strict=True) if p >= t]
    assert row["class"] == ("|".join(expected) or "none")


def test_columns_and_joined_labels_train_the_same_weights(quick, tmp_path):
    joined, _ = quick()
    other = write_several(tmp_path / "columns", columns=True)
    columns, _ = quick({"data.root": str(other)})
    assert same(weights(joined), weights(columns))


@pytest.mark.parametrize("step", [2, 5])
def test_stopped_and_resumed_equals_uninterrupted(quick, step):
    whole, _ = quick()
    folder, summary = quick(stop=StopAt(step))
    assert summary.state == "interrupted"
    ended = resume(folder, workers=None, console=Progress(), stop=StopRequest())
    assert ended.state == "done"
    for name in ("raw", "ema"):
        assert same(weights(whole, name), weights(folder, name))
    assert (folder / "thresholds.json").read_bytes() == (
        whole / "thresholds.json"
    ).read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "supervised"},
        {"method": "supervised", "supervised.loss": "asymmetric"},
        {"method": "fixmatch"},
        {"consistency.weak_pass": "ema"},
        {"consistency.weak_pass": "joint", "consistency.teacher_flips": "none"},
        {"supervised.sampling_power": 1.0, "supervised.class_weights": "inverse"},
    ],
)
def test_forms_of_the_run(quick, changes):
    plain = quick()[0] if changes == {"method": "fixmatch"} else None
    if changes.get("consistency.weak_pass") == "joint":
        changes = {"consistency.weak_pass": "joint"}
    folder, summary = quick(changes)
    assert summary.state == "done"
    assert load_bundle(folder).link == "sigmoid"
    assert 0 <= summary.metrics["val_ema/macro_ap"] <= 1
    assert plain is None or not same(weights(plain), weights(folder))


def test_commands_that_need_one_class_per_image_say_so(quick, data, tmp_path):
    folder, _ = quick({"method": "supervised", "loop.steps": 1})
    for command, words in (
        (filter_command, (folder, "--unlabeled", data, "--out", tmp_path / "kept.csv")),
        (audit, (folder,)),
        (evaluate, (folder, "--good-class", "Rust")),
        (evaluate, (folder, "--require", "balanced_accuracy>=0.5")),
    ):
        done = CliRunner().invoke(command, [str(word) for word in words])
        assert isinstance(done.exception, UsageError), done.output
        assert "multi-label" in str(done.exception) or "macro_ap" in str(done.exception)
    assert "macro_ap" in ok(evaluate, folder, "--require", "macro_ap>=0")


def test_the_log_tells_each_class(quick):
    folder, _ = quick()
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    seen = {tag: value for line in lines for tag, value in line.items()}
    for name in CLASSES:
        assert 0 <= seen[f"unlabeled/mask_rate/{name}"] <= 1
        assert seen[f"labeled/kept_share/{name}"] == 1
        assert f"val_ema/recall/{name}" in seen
    assert {"val_ema/macro_ap", "val_ema/exact_match", "unlabeled/mask_rate"} <= set(
        seen
    )
    again = build_config({}, read_config_file(folder / "config.yaml"))
    assert again.data.multi_label


def test_the_sampler_is_even_over_the_rarest_label(data, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(data.parent / "cache"))
    for power in (0.0, 1.0):
        keys = {**QUICK, "data.root": str(data), "supervised.sampling_power": power}
        config = build_config(keys)
        catalog, drawn, _ = find_split(config)
        parts = build_parts(config, catalog, drawn)
        assert parts.targets.shape == (len(parts.labeled), 3)
        assert (parts.hidden.min(), parts.hidden.max()) == (-1, 1)
        stream = build_stream(config, parts, Policies.load(config))
        again = build_stream(config, parts, Policies.load(config))
        assert torch.equal(stream(5).targets, again(5).targets)
        epochs = 40 * stream.labeled_sampler.epoch_length // config.loop.batch
        picked = [stream.labeled_sampler.indices(step) for step in range(epochs)]
        found = parts.targets[np.concatenate(picked)].mean(0)
        np.testing.assert_allclose(found, drawn_shares(config, parts), atol=0.03)
        if power == 1.0:
            np.testing.assert_allclose(
                drawn_shares(config, parts), parts.targets.mean(0), atol=1e-12
            )


def test_the_health_of_a_table_is_told_by_class():
    before = torch.tensor([[2.0, -2.0], [-2.0, -2.0]])
    now = torch.tensor([[2.0, 2.0], [-2.0, -2.0]])
    first, start = label_health(before, None, None)
    values, shares = label_health(now, before, start)
    assert start.tolist() == [1, 0]
    assert shares.tolist() == [0.5, 0.5]
    p = torch.tensor(2.0, dtype=torch.float64).sigmoid()
    entropy = float(-p * p.log() - (1 - p) * (1 - p).log())
    assert first == {"unlabeled/target_entropy[nats]": pytest.approx(entropy)}
    assert values["unlabeled/target_flips"] == 0.25
    assert values["unlabeled/mix_drift"] == 0.5


def test_a_dry_run_keeps_nothing(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = ok(
        train, data, "--multi-label", "--imgsz", 16, "--batch", 6, "--threads", 1,
        "--dry-run",
    )  # fmt: skip
    assert "Dry run passed" in output
    assert list(tmp_path.iterdir()) == []


def test_quick_numbers_are_scikit_learns():
    rng = generator(0, "t")
    true = (rng.random((50, 3)) < [0.5, 0.2, 0.0]).astype(np.int64)
    log_probs = -np.logaddexp(0, rng.normal(0, 2, (50, 3)) - 2 * true)
    found = Predictions(
        [str(i) for i in range(50)], true, log_probs.astype(np.float32), CLASSES,
        "sigmoid",
    )  # fmt: skip
    metrics, recall = quick_metrics(found)
    named = found.predicted
    balanced = [sk.balanced_accuracy_score(true[:, c], named[:, c]) for c in (0, 1)]
    specificity = float((named[:, 2] == 0).mean())  # no image shows the third class
    expected = np.mean([*balanced, specificity])
    assert metrics["balanced_accuracy"] == pytest.approx(expected)
    assert metrics["macro_f1"] == pytest.approx(
        sk.f1_score(true[:, :2], named[:, :2], average="macro")
    )
    assert metrics["macro_ap"] == pytest.approx(
        sk.average_precision_score(true[:, :2], log_probs[:, :2]), abs=1e-6
    )
    assert np.isnan(recall[2])
    value, error = label_accuracy(found)
    assert value == pytest.approx(expected)
    assert 0.01 < error < 0.1


def test_folders_and_generations_are_refused(quick, data, tmp_path):
    config = build_config({**QUICK, "data.root": str(data)})
    with pytest.raises(UsageError, match="--generations: pseudo-labels name one class"):
        launch_generations(
            config, Length(), num=2, project=tmp_path, name="t", console=Progress(),
            stop=StopRequest(),
        )  # fmt: skip
    (tmp_path / "plain" / "Rust").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"--multi-label needs a manifest\.csv"):
        quick({"data.root": str(tmp_path / "plain")})
    with pytest.raises(DataError, match="--multi-label"):
        quick({"data.multi_label": False, "consistency.texture_weight": 0.0})
