"""Weight files: what is taken, what is reported, what is refused."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from uda.errors import CheckpointError
from uda.models.backbones import build_backbone
from uda.models.classifier import ModelSpec, build_classifier
from uda.models.seeding import seeded
from uda.models.weights import load_backbone_weights, read_tensors, widen_or_narrow


def network(seed, channels=1):
    with seeded(seed, "init"):
        return build_backbone("small", channels=channels)


def equal(a, b):
    return all(
        torch.equal(value, b.state_dict()[name])
        for name, value in a.state_dict().items()
        if not name.endswith("num_batches_tracked")
    )


def as_module(state):
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": state, "arch": "small"},
        lambda state: {"state_dict": as_module(state)},
        lambda state: {"model": {"state_dict": as_module(as_module(state))}},
        as_module,
    ],
)
def test_torch_checkpoints_of_all_shapes_are_read(tmp_path, wrap):
    source, target = network(1), network(2)
    torch.save(wrap(source.state_dict()), tmp_path / "w.pth")
    report = load_backbone_weights(target, tmp_path / "w.pth")
    assert equal(source, target)
    assert not report.missing
    assert not report.unexpected
    assert target.weight_report == report


def test_the_old_file_format_is_read(tmp_path):
    source, target = network(1), network(2)
    torch.save(
        source.state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=False
    )
    load_backbone_weights(target, tmp_path / "w.pt")
    assert equal(source, target)


def test_the_weights_of_a_run_are_read_without_its_head(tmp_path):
    spec = ModelSpec("small", ("a", "b", "c"), 1, (0.5,), (0.2,))
    source, target = build_classifier(spec, seed=1), network(2)
    # Any name will do: the content says what the file is.
    save_file(source.state_dict(), tmp_path / "model.bin")
    report = load_backbone_weights(target, tmp_path / "model.bin")
    assert equal(source.backbone, target)
    assert set(report.ignored) == {
        "head.linear.weight",
        "head.linear.bias",
        "mean",
        "std",
        "logit_offset",
    }
    assert not report.unexpected


def test_another_number_of_classes_does_not_matter(tmp_path):
    spec = ModelSpec("small", ("a", "b", "c"), 1, (0.5,), (0.2,))
    source = build_classifier(spec, seed=1)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    new = ModelSpec("small", tuple("abcdefg"), 1, (0.4,), (0.1,))
    model = build_classifier(new, seed=2, weights=tmp_path / "w.safetensors")
    assert equal(source.backbone, model.backbone)
    assert model.head.linear.weight.shape == (7, 96)
    assert model.mean.tolist() == pytest.approx([0.4])


def test_a_torchvision_file_with_its_classifier(tmp_path):
    from torchvision import models

    whole = models.get_model("resnet18", num_classes=10)
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    net = build_backbone("resnet18", channels=3, weights=tmp_path / "resnet18.pth")
    assert equal(net, whole)
    assert net.weight_report.ignored == ("fc.weight", "fc.bias")
    assert "2 of the file's head ignored" in str(net.weight_report)


@pytest.mark.parametrize(("in_file", "wanted"), [(3, 1), (1, 3)])
def test_the_first_convolution_is_adapted_to_the_channels(tmp_path, in_file, wanted):
    source, target = network(1, in_file).eval(), network(2, wanted).eval()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    assert not load_backbone_weights(target, tmp_path / "w.pth").missing
    grey = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            target(grey.expand(-1, wanted, -1, -1)),
            source(grey.expand(-1, in_file, -1, -1)),
            rtol=1e-4,
            atol=1e-5,
        )


def test_first_convolutions_by_hand():
    weight = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1)
    assert widen_or_narrow(weight, 1).flatten().tolist() == [7]
    assert widen_or_narrow(weight[:, :1] * 6, 3).flatten().tolist() == [2, 2, 2]
    assert widen_or_narrow(weight, 3) is weight


def test_missing_and_unexpected_names_are_reported(tmp_path):
    source, target = network(1), network(2)
    state = dict(source.state_dict())
    del state["stages.3.1.weight"]
    state["stages.3.0.weight"] = torch.zeros(1, 2, 3, 3)
    state["stages.9.0.weight"] = torch.zeros(4)
    kept = target.state_dict()["stages.3.0.weight"].clone()
    torch.save(state, tmp_path / "w.pth")
    report = load_backbone_weights(target, tmp_path / "w.pth")
    assert report.missing == ("stages.3.0.weight", "stages.3.1.weight")
    assert report.unexpected == ("stages.9.0.weight",)
    assert len(report.matched) == 23
    assert torch.equal(target.state_dict()["stages.3.0.weight"], kept)


def test_another_networks_weights_are_refused_with_examples(tmp_path):
    before = network(2)
    target = network(2)
    torch.save(build_backbone("wrn-10-1", channels=1).state_dict(), tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as caught:
        load_backbone_weights(target, tmp_path / "w.pth")
    message = str(caught.value)
    assert str(tmp_path / "w.pth") in message
    assert "0 of 25" in message
    assert "stages.0.0.weight (24, 1, 5, 5)" in message
    assert "stem.weight (16, 1, 3, 3)" in message
    assert equal(before, target)


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("how", ["pickle", "zip", "legacy", "nested"])
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, how):
    marker, path = tmp_path / "executed", tmp_path / "w.pth"
    evil = Malicious(marker)
    state = network(1).state_dict()
    if how == "pickle":
        path.write_bytes(pickle.dumps(evil))
    elif how == "zip":
        torch.save(evil, path)
    elif how == "legacy":
        torch.save(evil, path, _use_new_zipfile_serialization=False)
    else:
        torch.save({"model": state, "args": evil}, path)
    with pytest.raises(CheckpointError, match=r"w\.pth: refused.*safetensors"):
        build_backbone("small", channels=1, weights=path)
    assert not marker.exists()
    # The trap works where nobody is careful.
    if how == "pickle":
        pickle.loads(path.read_bytes())
        assert marker.exists()


def damaged_files():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (500,), generator=generator).tolist()
    yield "empty", b""
    yield "one byte", b"\x80"
    yield "noise", bytes(noise)
    yield "noise as a pickle", b"\x80\x02" + bytes(noise)
    yield "noise as a zip", b"PK\x03\x04" + bytes(noise)
    yield "text", b"these are not weights\n" * 20
    yield "picture", b"\x89PNG\r\n\x1a\n" + bytes(noise)
    yield "json after a length", b"\x10\0\0\0\0\0\0\0{" + bytes(noise)
    yield "huge header", b"\xff" * 8 + b'{"a": 1}'


@pytest.mark.parametrize("content", [pytest.param(c, id=n) for n, c in damaged_files()])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        read_tensors(path)


@pytest.mark.parametrize("writer", ["safetensors", "torch", "legacy"])
def test_files_cut_short_anywhere_are_named(tmp_path, writer):
    path = tmp_path / "w.bin"
    state = {"a.weight": torch.ones(300), "b.weight": torch.ones(7)}
    if writer == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=writer == "torch")
    whole = path.read_bytes()
    for length in range(0, len(whole) - 8, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"w\.bin"):
            read_tensors(path)


def test_no_file_a_folder_and_a_file_without_tensors(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_tensors(tmp_path / "missing.pth")
    with pytest.raises(CheckpointError, match=r"folder.*weights/ema\.safetensors"):
        read_tensors(tmp_path)
    endless = {"epoch": 3}
    endless["model"] = endless
    for content in ({"epoch": 3}, {1: torch.ones(2)}, [torch.ones(2)], endless):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(CheckpointError, match="no tensors by name"):
            read_tensors(tmp_path / "w.pth")
