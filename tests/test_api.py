"""`uda.api`: the command line's names and errors, values back, and its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from uda import api
from uda.cli import COMMANDS
from uda.data.synthetic import write_demo
from uda.errors import DataError, UsageError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "python.md"


def test_every_function_is_a_command():
    own = {
        name for name, value in vars(api).items()
        if callable(value) and getattr(value, "__module__", "") == "uda.api"
        and not name.startswith("_")
    } - {"load"}  # fmt: skip
    assert own <= set(COMMANDS)


def test_errors_are_raised_as_the_command_line_would_print_them(tmp_path):
    with pytest.raises(UsageError, match="no command 'trian'"):
        api.call("trian")
    with pytest.raises(UsageError, match="no command 'split policy'"):
        api.call("split policy")
    with pytest.raises(UsageError, match=r"No such option.*--step"):
        api.train(tmp_path, step=3)
    with pytest.raises(UsageError, match="not in the range"):
        api.train(tmp_path, steps=0)
    with pytest.raises(DataError):
        api.evaluate(tmp_path / "nothing")


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch):
    """docs/python.md, block after block, in one namespace."""
    write_demo(tmp_path / "data", unlabeled=16, size=32)
    for folder in (tmp_path / "data").glob("t*/*"):
        for spare in sorted(folder.glob("*"))[7:]:  # the search for twins takes time
            spare.unlink()
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 7
    space: dict[str, object] = {}
    for block in blocks:
        quick = block.replace("steps=600", "steps=2, imgsz='16', method='supervised'")
        exec(compile(quick, str(PAGE), "exec"), space)
    assert Path(str(space["run"]), "weights").is_dir()
    assert len(space["names"]) == 2
    assert space["probabilities"].shape == (2, 4)
    for name in ("page", "model_file", "answers_file"):
        assert Path(str(space[name])).is_file()
    assert len(space["found"].chosen) == 10
