"""A lack of memory is told with the way out, and nothing else is taken for one."""

from __future__ import annotations

import pytest
import torch

from uda.errors import TrainingError
from uda.models.forward import at_once
from uda.training.configure import build_config
from uda.training.memory import memory_told


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to …"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you …"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_it_names_what_to_make_smaller(error):
    config = build_config({"loop.batch": 8, "data.size": (96, 128)})
    words = r"--batch 8 at 96x128 .* --batch 4 .*accumulation=2, or a smaller --imgsz"
    with pytest.raises(TrainingError, match=words), memory_told(config, in_step=True):
        raise error
    words = r"for images of 96x128 pixels; try a smaller --imgsz, or fewer --threads"
    with pytest.raises(TrainingError, match=words), memory_told(config):
        raise error


@pytest.mark.parametrize(
    "said",
    [
        "shapes differ",
        "CUDA error: an illegal memory access was encountered",
        "required rank 4 tensor to use channels_last memory format",
        "unsupported operation: more than one element refers to a single memory place",
    ],
)
def test_another_fault_stays_what_it_is(said):
    with pytest.raises(RuntimeError, match=said), memory_told(build_config({})):
        raise RuntimeError(said)


def test_larger_images_are_asked_fewer_at_once():
    assert at_once((9, 64, 64, 1), 256) == 256
    assert at_once((9, 256, 256, 3), 256) == 64
    assert at_once((9, 2000, 2000, 3), 256) == 1
    assert at_once((9, 2000, 2000, 3), 256, least=16) == 16
    assert at_once((9, 2000, 2000, 3), 4, least=16) == 4


@pytest.mark.parametrize(
    ("where", "words"),
    [("training_step", "try --batch"), ("evaluate_state", "try a smaller --imgsz")],
)
def test_a_run_that_ends_so_says_it_in_its_status(
    quick, monkeypatch, tmp_path, where, words
):
    """With what helps: a smaller batch helps no evaluation."""

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(f"uda.training.loop.{where}", full)
    with pytest.raises(TrainingError, match=words):
        quick({"method": "supervised"})
    text = (tmp_path / "runs" / "t" / "status.json").read_text()
    assert '"failed"' in text
