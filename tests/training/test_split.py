"""What a training starts from, and what it goes on with."""

from __future__ import annotations

import shutil

import pytest

from uda.data.splits import Split
from uda.errors import DataError
from uda.training.configure import build_config
from uda.training.split import find_split, scan_split


@pytest.fixture
def planned(surfaces, tmp_path):
    """Return (configuration, split) of a split file whose hashes nobody wrote."""
    root = tmp_path / "data"
    shutil.copytree(surfaces / "data", root)
    _, split, _ = find_split(build_config({"data.root": str(root)}))
    split.save(tmp_path / "whole.csv")
    text = (tmp_path / "whole.csv").read_text()
    for row in split.rows:
        text = text.replace(row.sha256, "")
    (tmp_path / "bare.csv").write_text(text)
    keys = {"data.root": str(root), "data.split": str(tmp_path / "bare.csv")}
    return build_config(keys), split


def test_a_new_training_knows_the_content_of_every_file(planned):
    config, split = planned
    assert all(not row.sha256 for row in Split.load(config.data.split).rows)
    assert find_split(config)[1] == split


def test_only_a_new_training_refuses_changed_images_at_once(planned, tmp_path):
    """One that goes on looks by itself, and says since when."""
    config, split = planned
    data = config.data.model_copy(update={"split": str(tmp_path / "whole.csv")})
    config = config.model_copy(update={"data": data})
    path = tmp_path / "data" / split.part("labeled")[0].path
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(DataError, match="have changed since the split was written"):
        find_split(config)
    assert scan_split(config)[1] == split
