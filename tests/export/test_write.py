"""Whole exports: every head and format answers like the run, or is not there."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.export.runs import CLASSES, HEADS, LIMITS, make_run
from uda.errors import CheckpointError, DataError, UsageError
from uda.export import formats, write
from uda.export.description import beside
from uda.export.opening import open_export
from uda.export.write import export_run
from uda.files import sha256_file
from uda.run.bundle import load_bundle
from uda.run.layout import RunFolder


def same_answers(run, path, *, weights="ema"):
    """Compare with what the run's network says, by softmax or sigmoid of its own."""
    bundle, exported = load_bundle(run, weights=weights), open_export(path)
    height, width = bundle.preprocessing.size
    rng = np.random.default_rng(0)
    seen = []
    for batch in (1, 2, 7):
        shape = (batch, bundle.preprocessing.channels, height, width)
        # From flat to noisy, from dark to bright: plain noise looks all the same.
        noise = rng.integers(0, 256, shape) - 128
        contrast, light = rng.uniform(0, 1, (2, batch, 1, 1, 1))
        images = np.clip(255 * light + contrast * noise, 0, 255).astype(np.uint8)
        with torch.no_grad():
            logits = bundle.model(torch.from_numpy(images)).served.double().numpy()
        raised = np.exp(logits - logits.max(1, keepdims=True))
        expected = raised / raised.sum(1, keepdims=True)
        if bundle.link == "sigmoid":
            expected = 1 / (1 + np.exp(-logits))
        found = exported.answer(images)
        assert found.dtype == np.float32
        assert found == pytest.approx(expected, abs=1e-5)
        seen.append(found)
    spread = np.concatenate(seen)
    assert np.ptp(spread, axis=0).max() > 1e-3, "a test of constant answers"
    return exported


# A variant of a head that is there already waits for the slow tests.
LATER = ("independent", "tiles-max")


@pytest.mark.parametrize(
    "head",
    [pytest.param(h, marks=[pytest.mark.slow] * (h in LATER)) for h in HEADS],
)
def test_every_head_as_onnx(head, data, tmp_path):
    run = make_run(tmp_path / "train", data, **HEADS[head])
    path, described = export_run(run)
    assert path == run / "export" / "onnx" / "model.onnx"
    exported = same_answers(run, path)
    assert exported.description == described
    value = json.loads((path.parent / "model.json").read_text())
    assert value["classes"] == list(CLASSES)
    assert value["sha256"] == sha256_file(path)
    assert value["link"] == ("sigmoid" if head == "multi-label" else "softmax")
    assert value["thresholds"] == (list(LIMITS) if head == "multi-label" else None)
    assert (value["tree"] is not None) == (head in ("tree", "independent"))
    assert value["input"]["shape"] == ["batch", 1, 32, 32]
    assert value["check"]["part"] == "validation"
    assert max(value["check"]["largest_difference"].values()) < 1e-4


@pytest.mark.parametrize("kind", ["pt2", "safetensors"])
@pytest.mark.parametrize("head", ["balanced", "multi-label"])
def test_the_other_formats(kind, head, data, tmp_path):
    run = make_run(tmp_path / "train", data, **HEADS[head])
    path, _ = export_run(run, kind=kind)
    assert path.name == f"model.{kind}"
    same_answers(run, path)


def test_raw_weights_and_floating_pixels(data, tmp_path):
    run = make_run(tmp_path / "train", data)
    for kind in ("onnx", "pt2"):
        path, described = export_run(
            run, kind=kind, weights="raw", pixels="float32", out=tmp_path / f"a.{kind}",
            overwrite=True,
        )  # fmt: skip
        assert described.made["weights"] == "raw"
        assert described.pixels == "float32"
        same_answers(run, path, weights="raw")
    with pytest.raises(UsageError, match="--pixels float32 has no effect"):
        export_run(run, kind="safetensors", pixels="float32")


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_views_are_in_the_check_and_in_the_file(kind, data, tmp_path, monkeypatch):
    run = make_run(tmp_path / "train", data)
    path, described = export_run(run, kind=kind, tta="flips")
    assert described.tta == "flips"
    assert max(described.check["largest_difference"].values()) < 1e-4
    value = json.loads(beside(path).read_text())
    for wrong in (
        {**value, "tta": "d4"},
        {k: v for k, v in value.items() if k != "tta"},
    ):
        beside(path).write_text(json.dumps(wrong))
        with pytest.raises(CheckpointError, match="its 'tta' are"):
            open_export(path)
    monkeypatch.setattr(write, "averaged", lambda answer, views: answer)
    with pytest.raises(CheckpointError, match="does not answer like the run"):
        export_run(run, kind=kind, tta="flips", overwrite=True)


def test_the_files_name_no_folder_of_this_machine(exports, data):
    home = str(write.__file__).removesuffix("uda/export/write.py").encode()
    files = [file for file in exports.rglob("*") if file.is_file()]
    assert len(files) == 6
    for file in files:
        content = file.read_bytes()
        assert home not in content, file.name
        assert str(data).encode() not in content, file.name
        assert b"site-packages" not in content, file.name


def test_nothing_is_replaced_unasked(made, tmp_path):
    out = tmp_path / "model.pt2"
    out.write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        export_run(made, kind="pt2", out=out)
    assert out.read_text() == "mine"
    export_run(made, kind="pt2", out=out, overwrite=True)
    assert open_export(out).description.file == "model.pt2"
    out.unlink()
    with pytest.raises(UsageError, match=r"model\.json: there already"):
        export_run(made, kind="pt2", out=out)


def test_a_foreign_json_is_never_replaced(made):
    """``--out RUN/model.onnx`` would replace the run's own model.json."""
    before = (made / "model.json").read_bytes()
    with pytest.raises(UsageError, match="no description of an export"):
        export_run(made, out=made / "model.onnx", overwrite=True)
    assert (made / "model.json").read_bytes() == before
    assert not (made / "model.onnx").exists()


def test_the_suffix_tells_the_format(made, tmp_path):
    with pytest.raises(UsageError, match=r"end in \.pt2"):
        export_run(made, kind="pt2", out=tmp_path / "model.onnx")


def test_a_wrong_export_is_not_left_behind(made, tmp_path, monkeypatch):
    class Wrong(formats.Served):
        def forward(self, images):
            return super().forward(images).roll(1, 1)

    monkeypatch.setattr(formats, "Served", Wrong)
    with pytest.raises(CheckpointError, match=r"differ by .* at batch 7") as caught:
        export_run(made, kind="pt2", out=tmp_path / "out" / "model.pt2")
    assert "allowed is less than 1e-04" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("handed_over", "way_out"),
    [("texture", "--weights network"), ("final", "--method supervised")],
)
def test_texture_is_refused(handed_over, way_out, data, tmp_path, monkeypatch):
    run = make_run(tmp_path / "train", data)
    RunFolder(run).write_status("done", handed_over=handed_over)
    shutil.copyfile(run / "model.json", run / "network.json")
    bundle = replace(load_bundle(run), kind="texture")
    monkeypatch.setattr(write, "load_bundle", lambda *_, **__: bundle)
    with pytest.raises(UsageError, match=r"no network.*uda predict") as caught:
        export_run(run)
    assert way_out in str(caught.value)
    assert not (run / "export").exists()


def test_a_run_of_before_kept_no_network(data, tmp_path, monkeypatch):
    run = make_run(tmp_path / "train", data)
    RunFolder(run).write_status("done", handed_over="texture")
    with pytest.raises(UsageError, match="by an earlier version"):
        export_run(run, weights="network")
    bundle = replace(load_bundle(run), kind="texture")
    monkeypatch.setattr(write, "load_bundle", lambda *_, **__: bundle)
    with pytest.raises(UsageError, match="no network") as caught:
        export_run(run)
    assert "--weights network" not in str(caught.value)


def test_data_that_have_moved(data, tmp_path):
    run = make_run(tmp_path / "train", data)
    (run / "config.yaml").write_text("data:\n  root: gone\n")
    with pytest.raises(DataError, match="uda export RUN DATA"):
        export_run(run, kind="safetensors")
    assert not (run / "export").exists()
    export_run(run, kind="safetensors", data=data)


def test_where_nothing_can_be_written(made, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="choose another --out"):
        export_run(made, out=tmp_path / "file" / "model.onnx")


FAMILIES = ("small", "wrn-10-1", "resnet18", "timm/resnet10t")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "pt2", "safetensors"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("backbone", FAMILIES)
def test_backbone_families(backbone, channels, kind, data, tmp_path):
    if backbone.startswith("timm/"):
        pytest.importorskip("timm")
    run = make_run(tmp_path / "train", data, backbone=backbone, channels=channels)
    path, described = export_run(run, kind=kind)
    assert set(described.check["largest_difference"]) == {"1", "2", "7"}
    assert described.check["images"] == 9  # all of the validation part
    same_answers(run, path)
