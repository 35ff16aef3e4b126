"""Old libraries see a numpy of their own; everything else stays as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np

from uda.augment.adapters.oldnumpy import importable, old_numpy

SCRIPT = """
import json, os, sys, warnings
import numpy
warnings.simplefilter("error")
before = set(dir(numpy))
from uda.augment.adapters.oldnumpy import importable
with importable():
    quiet = os.environ["NO_ALBUMENTATIONS_UPDATE"]
    import imgaug.augmenters as iaa
    import randaugment
    from randaugment import ImageNetPolicy, RandAugment
ImageNetPolicy(), RandAugment()
import random
import PIL.Image
made = RandAugment()(PIL.Image.new("RGB", (8, 8)))
print(json.dumps({
    "quiet": quiet,
    "still": "NO_ALBUMENTATIONS_UPDATE" in os.environ,
    "numpy grew": sorted((set(dir(numpy)) - before) & {"int", "sctypes", "complex"}),
    "finders": [type(f).__name__ for f in sys.meta_path if "_Finder" in repr(f)],
    "size": made.size,
}))
"""


def test_broken_releases_are_imported_and_run_without_touching_numpy():
    clean = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=clean, capture_output=True, text=True
    )
    if "No module named 'imgaug'" in done.stderr:
        import pytest

        pytest.skip("imgaug is missing: pip install imgaug")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "quiet": "1",
        "still": False,
        "numpy grew": [],
        "finders": [],
        "size": [8, 8],
    }


def test_the_copy_has_old_names_and_all_new_ones():
    copy = old_numpy()
    assert copy.int is int
    assert np.float32 in copy.sctypes["float"]
    assert copy.bool is getattr(np, "bool", bool)
    assert copy.testing is np.testing
    assert copy.zeros is np.zeros


def test_a_module_that_was_loaded_before_is_mended():
    import randaugment.randaugment as module

    module.np = np
    with importable():
        assert module.np is old_numpy()


def test_a_users_own_setting_is_kept(monkeypatch):
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "true")
    with importable():
        assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "true"
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "true"
