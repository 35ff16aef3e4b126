"""Checkpoints: bit for bit, hashed, pruned, newest valid first."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from uda.data.streams import Batch
from uda.errors import CheckpointError
from uda.files import hash_path, sha256_file
from uda.models.classifier import ModelSpec, build_classifier
from uda.models.ema import Ema
from uda.training.state import (
    TrainState,
    checkpoint_paths,
    clear_remains,
    is_valid,
    load_newest,
    remove_newer,
    save_checkpoint,
    to_device,
)


@pytest.fixture
def state():
    spec = ModelSpec("small", ("a", "b"), 1, (0.5,), (0.2,))
    model = build_classifier(spec, seed=1).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    state = TrainState(model, Ema(model, 0.9), optimizer)
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    for _ in range(2):
        model(images).leaf.sum().backward()
        optimizer.step()
        state.ema.update(model, state.step)
        state.step += 1
    return state


def test_round_trip_is_exact(state, tmp_path):
    save_checkpoint(tmp_path, state, keep=2)
    saved, warnings = load_newest(tmp_path)
    assert not warnings
    assert saved["step"] == 2
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(tensor, saved["model"][name])
    momentum = saved["optimizer"]["state"][0]["momentum_buffer"]
    assert torch.equal(
        momentum, state.optimizer.state_dict()["state"][0]["momentum_buffer"]
    )


def test_a_state_is_taken_over_whole(state, tmp_path):
    strikes = {"guard/strikes": torch.tensor(2)}
    state.objective_state = {"method/x": torch.arange(3), **strikes}
    save_checkpoint(tmp_path, state, keep=2)
    saved, _ = load_newest(tmp_path)
    model = build_classifier(ModelSpec("small", ("a", "b"), 1, (0.5,), (0.2,)), seed=9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    other = TrainState(model, Ema(model, 0.9), optimizer)
    other.load_dict(saved)
    assert other.step == 2
    for one, two in ((state.model, other.model), (state.ema.model, other.ema.model)):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, two.state_dict()[name]), name
    moved = [o.state_dict()["state"] for o in (state.optimizer, other.optimizer)]
    assert moved[0]
    for key, entry in moved[0].items():
        assert torch.equal(entry["momentum_buffer"], moved[1][key]["momentum_buffer"])
    assert set(other.objective_state) == set(state.objective_state)
    for name, tensor in state.objective_state.items():
        assert torch.equal(tensor, other.objective_state[name])


def test_a_checkpoint_of_another_format_is_refused(state, tmp_path):
    path = save_checkpoint(tmp_path, state, keep=2)
    torch.save({**state.to_dict(), "format": 2}, path)
    hash_path(path).write_text(sha256_file(path) + "\n")
    with pytest.raises(CheckpointError, match="format 2"):
        load_newest(tmp_path)


def test_a_batch_is_moved_whole():
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    index = torch.tensor([0, 1])
    batch = Batch(images, index, images, images, index, index)
    moved = to_device(batch, torch.device("meta"))
    for name in ("labeled", "targets", "weak", "strong", "unlabeled_index"):
        assert getattr(moved, name).device.type == "meta", name
    bare = replace(batch, weak=None, strong=None, unlabeled_index=None)
    assert to_device(bare, torch.device("meta")).strong is None


def test_keeps_the_last_ones(state, tmp_path):
    for step in (1, 2, 3, 4):
        state.step = step
        save_checkpoint(tmp_path, state, keep=2)
    names = [path.name for path in checkpoint_paths(tmp_path)]
    assert names == ["step-00000004.pt", "step-00000003.pt"]
    assert len(list(tmp_path.iterdir())) == 4  # and their side files


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "no side file"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(state, tmp_path, damage):
    for step in (1, 2):
        state.step = step
        newest = save_checkpoint(tmp_path, state, keep=2)
    raw = bytearray(newest.read_bytes())
    if damage == "flip":
        raw[len(raw) // 2] ^= 1
        newest.write_bytes(raw)
    elif damage == "truncate":
        newest.write_bytes(raw[:-10])
    elif damage == "empty":
        newest.write_bytes(b"")
    else:
        hash_path(newest).unlink()
    assert not is_valid(newest)
    saved, warnings = load_newest(tmp_path)
    assert saved["step"] == 1
    assert newest.name in warnings[0]


def test_none_valid_lists_all(state, tmp_path):
    path = save_checkpoint(tmp_path, state, keep=2)
    path.write_bytes(b"x")
    with pytest.raises(CheckpointError, match=path.name):
        load_newest(tmp_path)


def test_code_in_a_checkpoint_is_refused(tmp_path, state):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    path = save_checkpoint(tmp_path, state, keep=2)
    torch.save({"format": 1, "model": Bomb()}, path)
    from uda.files import hash_path, sha256_file

    hash_path(path).write_text(sha256_file(path))
    with pytest.raises(CheckpointError, match="refused"):
        load_newest(tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_remains_of_a_kill_and_damaged_newer_ones_do_not_count(state, tmp_path):
    for step in (10, 20, 30):
        state.step = step
        save_checkpoint(tmp_path, state, keep=3)
    newest = tmp_path / "step-00000030.pt"
    newest.write_bytes(newest.read_bytes()[:-1])
    (tmp_path / ".step-00000030.pt.7-ab.tmp").write_bytes(b"half")
    saved, _ = load_newest(tmp_path)
    state.load_dict(saved)
    clear_remains(tmp_path)
    remove_newer(tmp_path, state.step)
    state.step = 25
    save_checkpoint(tmp_path, state, keep=2)
    left = {path.name for path in tmp_path.iterdir()}
    names = {f"step-{step:08d}.pt" for step in (20, 25)}
    assert left == names | {f"{name}.sha256" for name in names}
    assert all(is_valid(tmp_path / name) for name in names)
