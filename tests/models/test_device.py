"""What ``--device`` may name."""

from __future__ import annotations

import pytest
import torch

from uda.errors import UsageError
from uda.models.device import choose_device


def test_auto_is_an_accelerator_where_there_is_one(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    for there, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto") == torch.device(device)


@pytest.mark.parametrize("name", ["nonsense", "cuda:99", "99"])
def test_what_is_not_here_is_named_with_a_way_out(name):
    with pytest.raises(UsageError, match=f"--device .*{name}: .*try --device cpu"):
        choose_device(name)
