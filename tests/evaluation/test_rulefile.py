"""decision.json: there and back, and refused where it would mean nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.evaluation.fakes import CLASSES, make_run
from uda.errors import CheckpointError, UdaError, UsageError
from uda.evaluation.decision import DecisionRule
from uda.evaluation.rulefile import own_rule, require_tta, save_rule, weights_digest
from uda.run.layout import RunFolder

RULE = DecisionRule(CLASSES, 1.5, (0.1, -0.1, 0.0))


@pytest.fixture
def fake(tmp_path):
    run = make_run(tmp_path, per_part=1)
    weights = run.folder / "weights"
    weights.mkdir()
    (weights / "ema.safetensors.sha256").write_text("abc\n")
    return run


def test_there_and_back(fake):
    run, bundle = RunFolder(fake.folder), fake.load_bundle(fake.folder)
    assert own_rule(bundle, "ema") is None
    save_rule(run, RULE, "ema", {"fitted_on": {"images": 3}})
    assert own_rule(bundle, "ema") == RULE
    assert own_rule(bundle, "raw") is None  # fitted on others
    stored = json.loads(run.decision.read_text())
    assert stored["sha256"] == weights_digest(run, "ema") == "abc"
    assert stored["fitted_on"] == {"images": 3}
    assert [path.name for path in fake.folder.glob("*decision*")] == ["decision.json"]


def test_other_weights_are_refused(fake):
    run, bundle = RunFolder(fake.folder), fake.load_bundle(fake.folder)
    save_rule(run, RULE, "ema", {})
    (run.weights / "ema.safetensors.sha256").write_text("other\n")
    with pytest.raises(CheckpointError, match=r"other ema weights.*--no-decision"):
        own_rule(bundle, "ema")


def test_other_classes_are_refused(fake):
    run, bundle = RunFolder(fake.folder), fake.load_bundle(fake.folder)
    save_rule(run, DecisionRule(("Dark", "Good")), "ema", {})
    with pytest.raises(CheckpointError, match="about the classes Dark, Good"):
        own_rule(bundle, "ema")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "damaged"),
        ("{}", "damaged"),
        ('{"format": 2}', "another version"),
        ('{"format": 1, "rule": {"classes": 3}}', "damaged"),
    ],
)
def test_damage_is_named_with_a_way_out(fake, text, message):
    RunFolder(fake.folder).decision.write_text(text)
    with pytest.raises(UdaError, match=message) as error:
        own_rule(fake.load_bundle(fake.folder), "ema")
    assert error.value.exit_code == 3
    assert "decision.json" in str(error.value)
    assert "uda tune" in str(error.value)


def test_a_texture_run_has_one_set_of_weights(fake):
    weights = fake.folder / "weights"
    (weights / "ema.safetensors.sha256").unlink()
    (weights / "texture.npz.sha256").write_text("tex\n")
    assert weights_digest(RunFolder(fake.folder), "ema") == "tex"


def test_a_rule_of_other_views_is_refused(fake):
    run, bundle = RunFolder(fake.folder), fake.load_bundle(fake.folder)
    save_rule(run, replace(RULE, tta="flips"), "ema", {})
    rule = own_rule(bundle, "ema")
    assert rule.tta == "flips"
    require_tta(rule, "flips", run.decision, "RUN")
    with pytest.raises(UsageError) as error:
        require_tta(rule, "d4", run.decision, "RUN")
    for words in (
        "decision.json", "--tta flips, and", "`uda tune RUN --tta d4`", "--no-decision",
    ):  # fmt: skip
        assert words in str(error.value)
    with pytest.raises(UsageError, match="fitted under --tta none"):
        require_tta(RULE, "flips", run.decision, "RUN")
