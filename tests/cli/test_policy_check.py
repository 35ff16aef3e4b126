"""`uda policy check`: one line per probe, the way out, the exit code."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from tests.augment.test_plugins import HEAD
from uda.cli import main


def call(*words):
    return CliRunner().invoke(main, ["policy", "check", *map(str, words)])


def test_policies_that_conform():
    result = call("weak", "example_gamma")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "weak",
        "example_gamma",
    ]
    probes = [line for line in lines if line.startswith("  ")]
    assert len(probes) == 28
    assert all(line.startswith("  PASS  ") for line in probes)
    assert "ms per image" in lines[-1]


def test_what_fails_is_named_and_the_others_are_still_checked(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(HEAD + "def augment(image, rng):\n    return image[:, :-1]\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text("ops:\n  - {op: Rotat, low: 1, high: 2}\n")
    result = call(wrong, broken, "weak")
    assert result.exit_code == 3
    text = " ".join(result.stdout.split())
    assert "FAIL shape and dtype of grey images" in text
    assert "wrong.py: augment returned uint8 of shape (64, 63, 3)" in text
    assert "FAIL can be loaded" in text
    assert "broken.yaml:2: unknown op 'Rotat' (did you mean 'Rotate'?)" in text
    assert "PASS time" in text  # of weak
    assert "2 of 3 policies failed" in result.stderr


def test_a_slow_plug_in_is_warned_of(tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import time\ndef augment(image, rng):\n"
        "    time.sleep(0.004)\n    return 255 - image\n"
    )
    result = call(slow, "--slow", "2")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "WARN time" in text
    assert "above 2 ms" in text


def test_alike_faults_are_told_once(tmp_path):
    square = tmp_path / "square.py"
    square.write_text(
        "def augment(image, rng):\n"
        "    if image.shape[:2] != (32, 32):\n"
        "        raise ValueError(f'no {image.shape[0]}')\n"
        "    return 255 - image\n"
    )
    result = call(square, "--imgsz", "32")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("ValueError: no") == 1
    assert "WARN  images of 1 x 1 px: as non-square images" in result.stdout
    result = call(square)
    assert result.exit_code == 3
    assert "FAIL  shape and dtype of grey images: as shape and dtype" in result.stdout


def test_unknown_names_and_no_names():
    assert call("no-such-policy").exit_code == 2
    assert call().exit_code == 2


def test_help_needs_neither_torch_nor_numpy():
    code = (
        "import sys, uda.cli.policy_check; "
        "print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "set()"
