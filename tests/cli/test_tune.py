"""`uda tune`: fits, writes, refuses; evaluate and predict decide by it."""

from __future__ import annotations

import csv
import json
import signal
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import beta

from tests.evaluation.fakes import CLASSES, make_run, write_image
from tests.support.surfaces import write_surfaces
from uda.cli import main
from uda.evaluation import evaluate as evaluation
from uda.run import bundle as bundles

COSTS = "true,Dark,Good,Rust\nDark,0,9,1\nGood,1,0,1\nRust,1,9,0\n"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    run = make_run(tmp_path, per_part=24)
    monkeypatch.setattr(bundles, "load_bundle", run.load_bundle)
    monkeypatch.setattr(evaluation, "load_bundle", run.load_bundle)
    return run


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def decision(fake):
    return json.loads((fake.folder / "decision.json").read_text(encoding="utf-8"))


def table(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def new_images(folder, per_class=12):
    for label in CLASSES:
        for number in range(per_class):
            seed = 7000 + 100 * CLASSES.index(label) + number
            write_image(folder / label / f"{number}.png", label, seed)
    return folder


def test_the_plain_call(fake):
    result = call("tune", fake.folder)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "validation: 72 images of 36 groups, ema weights"
    assert lines[1].startswith("Rule: ")
    assert "Cross-fitted over 5 folds of groups" in result.stdout
    assert "log loss [nats]" in result.stdout
    stored = decision(fake)
    assert stored["weights"] == "ema"
    assert stored["fitted_on"]["part"] == "validation"
    assert stored["fitted_on"]["never_seen_by_the_model"] is False
    assert not (fake.folder / "evaluation").exists()  # no look at the test part


def test_everything_then_evaluate_and_predict(fake, tmp_path):
    result = call(
        "tune", fake.folder, "--bias", "--good-class", "Good", "--max-escape", "0.2",
        "--confidence", "0.9", "--unsure-coverage", "0.9", "--seed", "5",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "NOT certified" in result.stdout
    assert "Dark alone: 12 groups, which could prove an escape" in result.stdout
    assert "Unsure lane: expect" in result.stdout
    asked = decision(fake)["fitted_on"]["asked"]
    assert (asked["confidence"], asked["seed"]) == (0.9, 5)

    evaluated = call("evaluate", fake.folder, "--good-class", "Good")
    assert evaluated.exit_code == 0, evaluated.output
    assert "decision.json decides for the ema weights" in evaluated.stderr
    assert "raw weights: the likeliest class" in evaluated.stderr
    assert "Decision: " in evaluated.stdout
    assert "unsure: parts for a person / all parts" in evaluated.stdout
    rows = table(fake.folder / "evaluation" / "test" / "predictions.csv")
    assert set(rows[0]) >= {"decision", "class", "target"}
    told = {row["decision"] for row in rows}
    assert "unsure" in told
    assert told <= {"unsure", *CLASSES}
    metrics = json.loads(
        (fake.folder / "evaluation" / "test" / "metrics.json").read_text()
    )
    lane = metrics["weights"]["ema"]["decision"]["unsure"]
    assert lane["part"] == sum(row["decision"] == "unsure" for row in rows)
    assert metrics["weights"]["raw"]["decision"] is None

    out = tmp_path / "p.csv"
    (fake.data / "broken.png").write_bytes(b"")
    predicted = call(
        "predict", fake.folder, *sorted((fake.data).glob("*/test*.png")),
        fake.data / "broken.png", "--out", out,
    )  # fmt: skip
    assert predicted.exit_code == 0, predicted.output
    assert "decision.json decides" in predicted.stderr
    assert f"{lane['part']} of them unsure" in predicted.stderr
    found = table(out)
    assert list(found[0])[:4] == ["path", "decision", "class", "confidence"]
    assert found[-1]["error"]
    by_name = {
        row["path"].rsplit("/", 2)[-2:][0] + row["path"][-9:]: row for row in rows
    }
    for row in found[:-1]:
        same = by_name[row["path"].rsplit("/", 2)[-2:][0] + row["path"][-9:]]
        assert (row["decision"], row["class"]) == (same["decision"], same["class"])


def test_a_recall_target(fake):
    result = call("tune", fake.folder, "--recall", "Rust=0.9")
    assert result.exit_code == 0, result.output
    assert "Recall of Rust: 0.9 asked for, " in result.stdout
    assert "This is no promise" in result.stdout
    assert "Bias: no gain is shown" not in result.stdout  # nobody asked for one
    stored = decision(fake)
    assert stored["fitted_on"]["asked"]["recalls"] == {"Rust": 0.9}
    assert set(stored["rule"]["bias"]) == set(CLASSES)
    assert call("evaluate", fake.folder).exit_code == 0
    flattered = call("evaluate", fake.folder, "--part", "validation")
    assert "the rule was fitted on these very images" in flattered.stderr
    assert "fitted on these" not in call("evaluate", fake.folder).stderr
    for words, told in (
        (["--recall", "Rust=1.5"], "write Rust=0.95"),
        (["--recall", "Rust"], "write Rust=0.95"),
        (["--recall", "Rust=0.9", "--recall", "Rust=0.8"], "is given twice"),
        (["--recall", "Rost=0.9"], "did you mean 'Rust'"),
    ):
        refused = call("tune", fake.folder, *words)
        assert refused.exit_code == 2
        assert told in refused.stderr


def test_views_that_harm_leave_the_earlier_rule(fake, tmp_path):
    policy = tmp_path / "dark.yaml"
    policy.write_text(
        "name: dark\ncount: 1\nops:\n  - {op: Brightness, low: 0.05, high: 0.1}\n"
    )
    assert call("tune", fake.folder, "--good-class", "Good").exit_code == 0
    before = decision(fake)
    result = call("tune", fake.folder, "--tta", f"{policy}:2")
    assert result.exit_code == 2
    assert "Note: the run has a rule (" in result.stderr
    assert "loses more than chance can explain" in result.stderr
    assert "balanced accuracy" in result.stderr
    assert decision(fake) == before


def test_evaluate_knows_the_good_class_of_the_rule(fake):
    assert call("tune", fake.folder, "--good-class", "Good").exit_code == 0
    result = call("evaluate", fake.folder)
    assert "Note: --good-class Good, as in `uda tune`" in result.stderr
    assert "escape: defective parts passed" in result.stdout
    plain = call("evaluate", fake.folder, "--no-decision")
    assert "--good-class Good, as the time before" in plain.stderr


def test_no_decision(fake, tmp_path):
    words = ("--no-decision",)
    without = call("evaluate", fake.folder, *words)
    assert without.exit_code == 2
    assert "--no-decision has no effect" in without.stderr
    plain = call("evaluate", fake.folder)
    call("tune", fake.folder, "--unsure-coverage", "0.9", "--bias")
    aside = call("evaluate", fake.folder, *words)
    assert aside.stdout == plain.stdout
    rows = table(fake.folder / "evaluation" / "test" / "predictions.csv")
    assert "decision" not in rows[0]
    out = tmp_path / "p.csv"
    image = next(fake.data.glob("*/test*.png"))
    call("predict", fake.folder, image, "--out", out, *words)
    assert "decision" not in table(out)[0]
    other = call("predict", fake.folder, image, "--out", "-", "--weights", "raw")
    assert "about other weights" in other.stderr
    assert "decision" not in other.stdout.splitlines()[0]


def test_costs(fake, tmp_path):
    path = tmp_path / "costs.csv"
    path.write_text(COSTS)
    result = call("tune", fake.folder, "--cost", path)
    assert result.exit_code == 0, result.output
    assert "least expected cost" in result.stdout
    assert "mean cost per part" in result.stdout
    assert decision(fake)["rule"]["costs"]["Rust"] == {"Dark": 1, "Good": 9, "Rust": 0}
    evaluated = call("evaluate", fake.folder)
    assert "mean cost per part" in evaluated.stdout
    path.write_text(COSTS.replace("9,1", "nine,1"))
    wrong = call("tune", fake.folder, "--cost", path)
    assert wrong.exit_code == 3
    assert "costs.csv, line 2, column Good: 'nine'" in wrong.stderr


def test_a_promise_that_the_data_cannot_carry(fake):
    call("tune", fake.folder)
    before = (fake.folder / "decision.json").read_bytes()
    result = call("tune", fake.folder, "--good-class", "Good", "--max-escape", "0.01")
    assert result.exit_code == 3
    assert "takes 299 images of defective parts" in result.stderr
    assert "here are 24. Label 275 more and give them as DATA" in result.stderr
    assert (fake.folder / "decision.json").read_bytes() == before
    lane = call("tune", fake.folder, "--unsure-coverage", "0.99")
    assert lane.exit_code == 3
    assert "takes 99 images" in lane.stderr


def test_new_images_certify(fake, tmp_path):
    words = (
        "tune", fake.folder, new_images(tmp_path / "new", 40),
        "--good-class", "Good", "--max-escape", "0.05",
    )  # fmt: skip
    # The run's images are two of a part; nothing says how many these are of.
    refused = call(*words)
    assert refused.exit_code == 2
    assert "--group none where no two show one part" in refused.stderr
    result = call(*words, "--group", "none")
    assert result.exit_code == 0, result.output
    assert "Certified, as the model never saw" in result.stdout
    assert decision(fake)["fitted_on"]["never_seen_by_the_model"] is True
    assert decision(fake)["rule"]["escape"]["certified"] is True


def test_groups_are_said_of_other_images_alone(fake):
    for words in ((), (fake.data,)):
        result = call("tune", fake.folder, *words, "--group", "none")
        assert result.exit_code == 2
        assert "--group has no effect" in result.stderr
    result = call("evaluate", fake.folder, "--group", "none")
    assert result.exit_code == 2
    assert "which says the groups" in result.stderr


def test_images_that_the_run_knows_certify_nothing(fake, tmp_path):
    folder = new_images(tmp_path / "new")
    trained = next(fake.data.glob("Rust/labeled*.png")).read_bytes()
    (folder / "Rust" / "old.png").write_bytes(trained)
    seen = call("tune", fake.folder, folder)
    assert seen.exit_code == 2
    assert "1 of its images were in training (1 labeled)" in seen.stderr
    assert "--allow-seen" not in seen.stderr
    tested = next(fake.data.glob("Rust/test*.png")).read_bytes()
    (folder / "Rust" / "old.png").write_bytes(tested)
    test = call("tune", fake.folder, folder)
    assert test.exit_code == 2
    assert "test part are among them" in test.stderr
    assert not (fake.folder / "decision.json").exists()


def test_groups_that_training_had_are_left_out(fake, tmp_path):
    folder = new_images(tmp_path / "new")
    lines = ["path,label,group"]
    for path in sorted(folder.glob("*/*.png")):
        name = path.relative_to(folder).as_posix()
        group = "Rustlabeled0" if name == "Rust/0.png" else name
        lines.append(f"{name},{path.parent.name},{group}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    result = call("tune", fake.folder, folder)
    assert result.exit_code == 0, result.output
    assert "1 images are of groups that were in training" in result.stderr
    assert "35 images of 35 groups" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--confidence", "0.9"], "--confidence has no effect without --max-escape"),
        (["--guarantee", "average"], "--guarantee has no effect"),
        (["--max-escape", "0.2"], "--max-escape needs --good-class"),
        (["--good-class", "good"], "its classes: Dark, Good, Rust"),
        (
            ["--max-escape", "0.2", "--good-class", "Good", "--guarantee", "average",
             "--confidence", "0.9"],
            "--confidence has no effect with --guarantee average",
        ),
        (["--max-escape", "1"], "0<x<1"),
    ],
)  # fmt: skip
def test_options_without_effect_are_refused(fake, words, message):
    result = call("tune", fake.folder, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (fake.folder / "decision.json").exists()


def test_a_multi_label_run_is_refused(fake, monkeypatch):
    def several(folder, *, weights="ema"):
        return replace(fake.load_bundle(folder, weights=weights), link="sigmoid")

    monkeypatch.setattr(bundles, "load_bundle", several)
    result = call("tune", fake.folder)
    assert result.exit_code == 2
    assert "thresholds.json" in result.stderr


def test_data_that_moved(fake, tmp_path):
    fake.data.rename(tmp_path / "moved")
    result = call("tune", fake.folder)
    assert result.exit_code == 3
    assert "data folder is not there" in result.stderr
    found = call("tune", fake.folder, tmp_path / "moved")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("validation: 72 images")
    assert decision(fake)["fitted_on"]["never_seen_by_the_model"] is False


@pytest.fixture
def restored_signals():
    """`uda train` takes over SIGINT and SIGTERM; give them back to pytest."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.usefixtures("restored_signals")
def test_on_a_real_run(tmp_path):
    """From images to decisions, through training and back."""
    folder = write_surfaces(tmp_path, per_class=40)
    runs = tmp_path / "runs"
    trained = call(
        "train", folder / "data", "--method", "supervised", "--project", runs,
        "--imgsz", "24", "--batch", "8", "--threads", "1", "--steps", "12",
        "--eval-every", "12", "--save-every", "12",
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    result = call(
        "tune", runs, "--good-class", "Good", "--max-escape", "0.4", "--bias",
        "--unsure-coverage", "0.8",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    stored = json.loads((runs / "latest" / "decision.json").read_text())
    weights = runs / "latest" / "weights" / "ema.safetensors.sha256"
    assert stored["sha256"] == weights.read_text().strip()
    evaluated = call("evaluate", runs, "--good-class", "Good")
    assert evaluated.exit_code == 0, evaluated.output
    assert "Decision: " in evaluated.stdout
    out = tmp_path / "p.csv"
    predicted = call("predict", runs, folder / "more", "--out", out)
    assert predicted.exit_code == 0, predicted.output
    assert {row["decision"] for row in table(out)} <= {
        "unsure", "Good", "Rust", "Scratch",
    }  # fmt: skip
    weights.write_text("0" * 64 + "\n")
    # Damaged weights are told first; a rule of other weights is refused as well.
    assert call("evaluate", runs).exit_code == 3


def with_folds(fake, *, kinds=("network",), repeats=1):
    """Give the fake run out-of-fold answers of its labelled and validation rows."""
    from uda.data.splits import Split
    from uda.evaluation.out_of_fold import HeldOut, OutOfFold
    from uda.evaluation.predict import Predictions

    split = Split.load(fake.folder / "split.csv")
    rows = [*split.part("labeled"), *split.part("validation")]
    rng = np.random.default_rng(3)
    parts = []
    for repeat in range(repeats):
        for fold in range(3):
            mine = rows[fold::3]
            targets = np.array([CLASSES.index(row.label) for row in mine])
            logits = rng.normal(0, 1, (len(mine), 3)) + 1.5 * np.eye(3)[targets]
            logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            found = Predictions(
                [row.path for row in mine], targets, logs.astype(np.float32), CLASSES
            )
            groups = tuple(row.group or f"\0{row.path}" for row in mine)
            kind = kinds[fold % len(kinds)]
            parts.append(HeldOut(found, groups, repeat, fold, kind))
    OutOfFold.pooled(parts).save(fake.folder / "out_of_fold.npz")
    return len(rows)


def test_out_of_fold_answers_come_before_the_validation_part(fake):
    images = with_folds(fake)
    result = call("tune", fake.folder, "--bias", "--unsure-coverage", "0.9")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"out of fold: {images} images of ")
    assert "macro-F1" in result.stdout
    assert "is that of the fold trainings" in result.stdout
    stored = decision(fake)["fitted_on"]
    assert (stored["part"], stored["out_of_fold"]) == ("out of fold", True)
    assert stored["escape_on_validation"] is None
    # Raw weights have no such answers, nor have means over views.
    for words in (["--weights", "raw"], ["--tta", "flips"]):
        other = call("tune", fake.folder, *words)
        assert "the validation part is asked instead" in other.stderr
        assert other.stdout.startswith("validation: 72 images")


def test_an_escape_limit_out_of_fold_is_tried_on_the_validation_part(fake):
    images = with_folds(fake, repeats=2)
    result = call(
        "tune", fake.folder, "--good-class", "Good", "--max-escape", "0.3",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert f"out of fold: {images - 72} images" in result.stdout
    assert ", 2 answers each, ema weights" in result.stdout
    assert "NOT certified: these are answers of the fold trainings" in result.stdout
    stored = decision(fake)
    assert stored["fitted_on"]["images"] == images - 72  # each counts once
    classes = stored["fitted_on"]["cross_fitted"]["classes"]
    assert sum(row["images"] for row in classes) == images - 72
    assert stored["rule"]["escape"]["certified"] is False
    check = stored["fitted_on"]["escape_on_validation"]
    assert check["groups"] == 24
    # By hand: the share of which so few misses would be a surprise at 5 %.
    bound = beta.ppf(0.95, check["missed"] + 1, check["groups"] - check["missed"])
    assert check["bound"] == pytest.approx(bound)
    shown = f"{check['missed']} of 24 defective groups missed"
    assert shown in result.stdout


@pytest.mark.parametrize(("label", "groups"), [("Rust", 1), ("Good", 0)])
def test_one_group_of_validation_is_enough_to_try_a_limit(fake, label, groups):
    """The limit is fitted on all the rest, whatever is left to try it on."""
    from uda.data.splits import Split

    path = fake.folder / "split.csv"
    rows = Split.load(path).rows
    only = {f"{label}/validation0.png", f"{label}/validation1.png"}
    path.unlink()
    Split(tuple(r for r in rows if r.part != "validation" or r.path in only)).save(path)
    with_folds(fake)
    result = call(
        "tune", fake.folder, "--good-class", "Good", "--max-escape", "0.3",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    check = decision(fake)["fitted_on"]["escape_on_validation"]
    assert check["groups"] == groups
    if groups:  # not missed, it bounds the share by 1 - 0.05 and no more
        assert check["missed"] == 0
        assert check["bound"] == pytest.approx(0.95)
        assert "0 of 1 defective groups missed" in result.stdout
    else:
        assert "its validation part has no defective group" in result.stdout


def test_a_limit_is_fitted_where_more_defective_groups_are(fake):
    from uda.data.splits import Split

    # All but two defective images of training lose their labels.
    path = fake.folder / "split.csv"
    rows = Split.load(path).rows
    gone = [r for r in rows if r.part == "labeled" and r.label != "Good"][2:]
    path.unlink()
    Split(tuple(row for row in rows if row not in gone)).save(path)
    with_folds(fake)
    words = ["tune", fake.folder, "--good-class", "Good"]
    result = call(*words, "--max-escape", "0.3")
    assert result.exit_code == 0, result.output
    assert "validation part has 24 defective groups" in result.stderr
    assert "without it 1;" in result.stderr
    assert result.stdout.startswith("validation: 72 images")
    assert decision(fake)["fitted_on"]["out_of_fold"] is False
    # Without a limit the folds have more to tell.
    assert call(*words, "--bias").stdout.startswith("out of fold: ")


def test_answers_of_another_kind_are_left_out_and_told(fake):
    images = with_folds(fake, kinds=("network", "texture", "network"))
    result = call("tune", fake.folder)
    assert "out-of-fold answers are left out" in result.stderr
    assert f"out of fold: {images * 2 // 3} images" in result.stdout
    with_folds(fake, kinds=("texture",))
    result = call("tune", fake.folder)
    assert "did not hand over a network" in result.stderr
    assert result.stdout.startswith("validation: 72 images")
