from __future__ import annotations

import getpass
from pathlib import Path

import torch
from click.testing import CliRunner

from uda import __version__
from uda.cli import main
from uda.cli.env import report_lines


def test_a_fenced_block_to_paste() -> None:
    done = CliRunner().invoke(main, ["env"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert (lines[0], lines[-1]) == ("```text", "```")
    values = dict(line.split(maxsplit=1) for line in lines[1:-1])
    assert values["uda"] == __version__
    assert values["torch"] == torch.__version__.split("+")[0]
    wanted = "python torchvision numpy Pillow tensorboard numba scikit-learn"
    assert set(wanted.split()) <= set(values)
    assert {"os", "cpu", "memory", "threads", "gpu", "git"} <= set(values)
    home = str(Path.home())
    assert home not in done.output
    assert f"/{getpass.getuser()}/" not in done.output


def test_what_is_missing_is_said() -> None:
    lines = report_lines(
        {
            "uda": "1",
            "python": "3",
            "packages": {"numba": None},
            "system": {
                "os": "Linux",
                "machine": "x",
                "cpu": "c",
                "cpus": 4,
                "cpus_usable": 2,
                "memory_gib": None,
            },
            "compute": {
                "threads": 2,
                "OMP_NUM_THREADS": None,
                "cuda": None,
                "gpus": ["A", "B"],
            },
            "git": {"commit": "0123456789abcdef", "changed": True},
        }
    )
    text = "\n".join(lines)
    assert "numba        not installed" in text
    assert "unknown GiB" in text
    assert "A; B" in text
    assert "0123456789ab with local changes" in text
