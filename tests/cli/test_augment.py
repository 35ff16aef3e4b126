"""`uda augment`: every command it names exists and describes itself, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from uda.cli import main
from uda.cli.augment import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_named_command_has_help(name):
    result = CliRunner().invoke(main, ["augment", name, "--help"])
    assert result.exit_code == 0, result.output


def test_help_of_the_commands_imports_nothing_heavy():
    code = (
        "import sys, importlib\n"
        "from uda.cli.augment import COMMANDS\n"
        "for name in COMMANDS:\n"
        "    importlib.import_module(f'uda.cli.augment_{name}')\n"
        "print({'torch', 'numpy', 'PIL', 'numba', 'yaml'} & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "set()"
