"""Files of settings are read strictly."""

from __future__ import annotations

import pytest

from uda.errors import UsageError
from uda.training import configfile
from uda.training.configfile import read_config_file, read_mapping


def test_nested_and_dotted_keys_are_one(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("loop: {steps: 3}\nconsistency.prior: {a: 0.9, b: 0.1}\n")
    assert read_config_file(path) == {
        "loop.steps": 3,
        "consistency.prior": {"a": 0.9, "b": 0.1},
    }
    path.write_text("")
    assert read_config_file(path) == {}


def test_what_is_no_small_file_is_named(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"--config .*none\.yaml: no such file"):
        read_config_file(tmp_path / "none.yaml")
    path = tmp_path / "long.yaml"
    path.write_text("a: 1\n" * 9)
    monkeypatch.setattr(configfile, "MAX_CONFIG_BYTES", 20)
    with pytest.raises(UsageError, match=r"--strategies .*larger than 20 bytes"):
        read_mapping(path, "--strategies")
