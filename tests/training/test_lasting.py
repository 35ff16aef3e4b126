from __future__ import annotations

from pathlib import Path

from uda.training.configure import build_config
from uda.training.lasting import lasting


def test_files_and_folders_hold_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("x")
    config = build_config(
        {
            "data.root": "photos",
            "data.unlabeled": ("more", "/else"),
            "data.split": "split.csv",
            "model.weights": "trunk.safetensors",
            "model.pretrain_steps": 0,
            "views.strong": "own.yaml",
            "views.labeled": "flip-crop",
        }
    )
    found = lasting(config)
    assert found.data.root == str(tmp_path / "photos")
    assert found.data.unlabeled == (str(tmp_path / "more"), "/else")
    assert found.data.split == str(tmp_path / "split.csv")
    assert found.model.weights == str(tmp_path / "trunk.safetensors")
    assert found.model.tree is None
    # Names stay names: what has an effect is judged by them.
    views = (found.views.strong, found.views.labeled)
    assert views == (str(tmp_path / "own.yaml"), "flip-crop")
    assert lasting(found) == found
