"""Opening an export: damage, swapped files and edits are found; torch stays out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.export.runs import make_run
from uda.errors import CheckpointError, UsageError
from uda.export.description import KINDS, Description
from uda.export.opening import answerer, open_export, torch_answer
from uda.export.write import export_run
from uda.files import sha256_file


@pytest.fixture
def copied(exports, tmp_path):
    """A model file of a format that a test may damage."""

    def copy(kind):
        shutil.copytree(exports / kind, tmp_path / kind)
        return tmp_path / kind / f"model.{kind}"

    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_any_batch_and_any_memory_order(exports, kind):
    exported = open_export(exports / kind / f"model.{kind}")
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (7, 32, 32, 1)).astype(np.uint8)
    whole = exported.answer(rows.transpose(0, 3, 1, 2))
    assert whole.shape == (7, 3)
    assert whole.sum(1) == pytest.approx(np.ones(7), abs=1e-6)
    parts = [exported.answer(row[None].transpose(0, 3, 1, 2)) for row in rows]
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
def test_one_flipped_bit_is_found(copied, kind, place):
    path = copied(kind)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged") as caught:
        open_export(path)
    assert str(path) in str(caught.value)
    assert "uda export" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_with_a_hash_to_match(copied, kind):
    """Where the hash was made of the damage, the format's own checks are left."""
    path = copied(kind)
    path.write_bytes(path.read_bytes()[:500])
    value = {**read(path), "sha256": sha256_file(path)}
    path.with_suffix(".json").write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match=f"cannot be opened as {kind}"):
        open_export(path)


def read(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_the_json_of_another_model(copied, data, tmp_path):
    path = copied("safetensors")
    run = make_run(tmp_path / "other", data, head="balanced")
    other, _ = export_run(run, kind="safetensors")
    shutil.copy(other.with_suffix(".json"), path.with_suffix(".json"))
    with pytest.raises(CheckpointError, match="JSON file is of another model"):
        open_export(path)


def test_a_missing_json_and_a_missing_model(copied, tmp_path):
    path = copied("onnx")
    path.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match=r"model\.json: missing"):
        open_export(path)
    with pytest.raises(CheckpointError, match="no such file"):
        open_export(tmp_path / "none.onnx")


@pytest.mark.parametrize("kind", KINDS)
def test_classes_in_another_order_are_found(copied, kind):
    """The model file has the names too, so that an edit cannot shift them."""
    path = copied(kind)
    value = read(path)
    value["classes"].reverse()
    path.with_suffix(".json").write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match=r"its 'classes' are .*edited"):
        open_export(path)


def test_a_network_that_the_weights_do_not_fit(copied):
    path = copied("safetensors")
    value = read(path)
    value["network"]["backbone"] = "wrn-10-1"
    path.with_suffix(".json").write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match="cannot be opened as safetensors"):
        open_export(path)
    value["network"] = None
    path.with_suffix(".json").write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match="model description"):
        open_export(path)


def test_a_missing_package_is_named(copied, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="pip install onnxruntime"):
        open_export(copied("onnx"))


def test_the_type_of_the_pixels_reaches_a_torch_model():
    seen = []

    def model(images):
        seen.append(images.dtype)
        return images.float().mean((2, 3))

    pixels = np.full((2, 3, 4, 4), 7, dtype=np.uint8)
    assert torch_answer(model)(pixels).tolist() == [[7.0] * 3] * 2
    torch_answer(model, "float32")(pixels)
    assert seen == [torch.uint8, torch.float32]


def test_the_format_is_that_of_the_description(exports):
    path = exports / "safetensors" / "model.safetensors"
    wrong = replace(Description.load(path), kind="onnx")
    with pytest.raises(CheckpointError, match="cannot be opened as onnx"):
        answerer(path, wrong)


def test_the_example_of_the_docs(exports, data, tmp_path, monkeypatch, capsys):
    """The page's own lines, on a wide photo that needs bars."""
    page = Path(__file__).parents[2] / "docs" / "export.md"
    code = page.read_text().split("```python\n")[1].split("```")[0]
    folder, photo = exports / "onnx", data / "Rust" / "wide1.png"
    for source, name in (
        (folder / "model.onnx", "model.onnx"),
        (folder / "model.json", "model.json"),
        (photo, "photo.png"),
    ):
        shutil.copy(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {})
    name, value = capsys.readouterr().out.split()
    exported = open_export(folder / "model.onnx")
    pixels = exported.description.preprocessing.read(photo)
    probs = exported.answer(pixels[None].transpose(0, 3, 1, 2))[0]
    assert name == exported.description.classes[probs.argmax()]
    assert float(value) == pytest.approx(probs.max(), abs=1e-6)


WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"torch", "torchvision", "timm", "safetensors"}}:
            raise ImportError(f"{{name}} is blocked")
sys.meta_path.insert(0, NoTorch())
from uda.cli import main
main(["predict", {model!r}, {images!r}, "--out", {out!r},
      "--tta", "d4"], standalone_mode=False)
assert "torch" not in sys.modules
"""


@pytest.mark.slow
def test_onnx_is_asked_where_there_is_no_torch(exports, data, tmp_path):
    """The whole command, in a process that cannot import torch."""
    words = {
        "model": str(exports / "onnx" / "model.onnx"),
        "images": str(data),
        "out": str(tmp_path / "p.csv"),
    }
    code = textwrap.dedent(WITHOUT_TORCH.format(**words))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert len(lines) == 1 + len(list(data.rglob("*.png")))
    assert "18 images classified" in done.stderr
