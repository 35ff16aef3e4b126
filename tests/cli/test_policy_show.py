"""`uda policy show`: numbers with units, risks, and the file itself."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from uda.augment.ops import OPS
from uda.augment.policy import load_policy, packaged_policies
from uda.cli import main


def call(*words):
    return CliRunner().invoke(main, ["policy", "show", *map(str, words)])


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def test_the_numbers_of_uda():
    text = call("uda").stdout
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "± 3° .. 27°" in rows["Rotate"]
    assert "from 231 .. from 26" in rows["Solarize"]
    assert "9" in rows["Contrast"].split()
    assert "0.067" in rows["Invert"]  # 2 / 15 * 0.5
    assert "A view passes 1 of these ops on average" in text
    assert "2 of 15 ops" in text
    assert "0.5 of the shorter side" in rows["cutout"]
    assert "ops, cutout, flips and shift" in rows["order"]
    assert load_policy("uda").fingerprint()[:16] in rows["fingerprint"]


def test_the_risk_of_every_op_is_told_whole():
    flat = " ".join(call("defect-safe").stdout.split())
    policy = load_policy("defect-safe")
    for word in OPS["Brightness"].risk.split():
        assert word in flat
    assert all(spec.name in flat for spec in policy.ops)


@pytest.mark.parametrize("name", sorted(packaged_policies()))
def test_every_packaged_file_can_be_printed(name):
    path = packaged_policies()[name]
    lines = path.read_text().splitlines()
    printed = call(name, "--yaml").stdout.splitlines()
    left_out = f"# name: that of the file; begun from {name}"
    assert printed == [left_out if f"name: {name}" == x else x for x in lines]


def test_a_copy_is_called_by_its_own_name(tmp_path):
    copy = tmp_path / "mine.yaml"
    copy.write_text(call("defect-safe", "--yaml").stdout)
    own, original = load_policy(str(copy)), load_policy("defect-safe")
    assert own.name == "mine"
    assert own.fingerprint() == original.fingerprint()


def test_equal_risks_are_told_once_and_ranges_run_upwards(tmp_path):
    assert "as ShearX" in call("uda").stdout
    assert "as TranslateX" in call("uda").stdout
    path = tmp_path / "mine.yaml"
    path.write_text("count: 1\nops:\n  - {op: Contrast, low: 1.5, high: 0.5}\n")
    assert "× 0.50 .. × 1.50" in call(path).stdout


def test_sub_policies_first_last_and_mirrored(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "first:\n  - {op: Blur, low: 1, high: 2, probability: 0.25}\n"
        "subpolicies:\n"
        "  - - {op: Contrast, low: 1.1, high: 1.5, mirrored: true}\n"
        "    - {op: Invert}\n"
        "  - - {op: Invert, probability: 0.5}\n    - {op: Rotate, low: 3, high: 9}\n"
        "last:\n  - {op: Jpeg, low: 30, high: 30}\n"
        "interpolation: bilinear\nfill: reflect\n"
    )
    result = call(path)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines() if line]
    assert ["Blur", "first"] in [line[:2] for line in lines]
    assert ["Invert", "sub-policy", "2"] in [line[:3] for line in lines]
    flat = " ".join(result.stdout.split())
    assert "× 1.10 .. × 1.50, or 2 - it" in flat
    assert "1 of 2 sub-policies" in flat
    assert "see above" in flat
    assert "fill reflect" in flat
    assert "A view passes 3 of these ops" in flat


def test_a_python_policy_tells_what_is_known():
    result = call("example_gamma")
    assert result.exit_code == 0, result.output
    assert "a Python policy" in result.stdout
    assert load_policy("example_gamma").fingerprint()[:16] in result.stdout


def test_mistakes():
    result = call("defect-saf")
    assert result.exit_code == 2
    assert "did you mean 'defect-safe'?" in result.stderr
