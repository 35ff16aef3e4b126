"""`uda policy`: every command it names exists and describes itself, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from uda.cli import main
from uda.cli.policy import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_named_command_has_help(name):
    result = CliRunner().invoke(main, ["policy", name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"uda policy {name}" in result.output.replace("main", "uda")


def test_a_misspelt_command_is_told_its_name():
    result = CliRunner().invoke(main, ["policy", "chek"])
    assert result.exit_code == 2
    assert "Did you mean 'check'?" in result.stderr


def test_help_of_the_group_and_its_commands_imports_nothing_heavy():
    code = (
        "import sys, importlib\n"
        "from uda.cli.policy import COMMANDS\n"
        "for name in ('list', 'show', 'check', 'preview', 'bench'):\n"
        "    importlib.import_module(f'uda.cli.policy_{name}')\n"
        "print({'torch', 'numpy', 'PIL', 'numba', 'yaml'} & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "set()"
