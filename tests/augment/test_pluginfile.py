"""Files of Python policies: what they may define, and what is said otherwise."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from uda.augment import pluginfile
from uda.augment.pluginfile import line_of, what
from uda.augment.policy import Policy, load_policy
from uda.errors import DataError

PROJECT = Path(__file__).resolve().parent.parent.parent


def write(folder, text):
    path = folder / "mine.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"mine\.py: a Python policy must define augment\(image, rng\)"),
        ("augment = None\n", r"mine\.py: a Python policy must define"),
        (
            "import os\n\naugment = [1]\n",
            r"mine\.py:3: augment is of type builtins\.list",
        ),
        ("augment = object()\n", r"which is no policy; .*torchvision.*albumentations"),
        (
            "def augment(image): ...\n",
            r"mine\.py:1: augment is a function of \(image\)",
        ),
        ("class augment: ...\n", r"mine\.py:1: augment is the class augment, not an"),
        (
            "from torchvision.transforms import v2\naugment = v2.RandAugment\n",
            r"mine\.py:2: .*write augment = RandAugment\(\.\.\.\)",
        ),
        (
            "def augment(image, rng): return image\npolicy = 3\n",
            r"mine\.py:2: defines both augment and policy; rename",
        ),
        ("import sys\nsys.exit(4)\n", r"mine\.py:2: SystemExit: 4"),
        ("x = [1,\n", r"mine\.py:1: SyntaxError"),
        ("import no_such_library\n", r"mine\.py:1: ModuleNotFoundError"),
    ],
)
def test_faults_are_named_with_file_and_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        load_policy(str(write(tmp_path, text)))


@pytest.mark.parametrize(
    "text",
    [
        "def augment(image, rng):\n    return image\n",
        "def policy(image, rng):\n    return image\n",
        "class View:\n    def __call__(self, image, rng):\n        return image\n"
        "augment = View()\n",
        "import ast as policy\ndef augment(image, rng):\n    return image\n",
        "def augment(image, rng):\n    return image\npolicy = augment\n",
    ],
)
def test_functions_of_all_kinds(tmp_path, text):
    policy = load_policy(str(write(tmp_path, text)))
    image = np.zeros((2, 2, 1), dtype=np.uint8)
    assert policy.function(image, np.random.default_rng(0)) is image
    assert policy.adapter is None


def test_a_native_policy_may_be_written_in_python(tmp_path):
    text = (
        "from uda.augment.policy import Policy\n"
        "policy = Policy('flip', hflip=0.5)\n"
    )  # fmt: skip
    path = write(tmp_path, text)
    policy = load_policy(str(path))
    assert isinstance(policy, Policy)
    assert policy.hflip == 0.5
    assert policy.path == path


@pytest.mark.parametrize("library", ["albumentations", "imgaug", "kornia"])
def test_a_missing_library_names_the_extra(library, tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)

    class Missing:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == library:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Missing, *sys.meta_path])
    # The finder for old libraries comes first, so theirs is hidden in its way.
    monkeypatch.setattr(
        "uda.augment.adapters.oldnumpy.PathFinder.find_spec", Missing.find_spec
    )
    path = write(tmp_path, f"import {library}\n")
    with pytest.raises(DataError, match=f"pip install '{library}>=[0-9]"):
        load_policy(str(path))


def test_a_misspelt_library_is_recognised(tmp_path):
    with pytest.raises(
        DataError, match=r"'albumentations'\?.*pip install 'albumentations>="
    ):
        load_policy(str(write(tmp_path, "import albumentation as A\n")))


def test_what_to_install_is_what_the_project_asks_for():
    """With its versions: an older kornia draws wrong signs."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    optional = project["project"]["optional-dependencies"]
    for name, wanted in pluginfile._EXTRAS.items():
        assert optional[name] == [wanted]


def test_lines_are_those_of_the_first_mention(tmp_path):
    tree = "augment = x.Compose([\n    x.Flip(),\n    x.Flip(),\n])\n"
    text = f"import x\ndef f(): ...\n{tree}"
    path = write(tmp_path, text)
    assert line_of(path, "Flip") == ":4"
    assert line_of(path, "Nothing", "augment") == ":3"
    assert line_of(path, "f") == ":2"
    assert line_of(path, "Nothing") == ""
    assert line_of(tmp_path / "missing.py", "f") == ""


def test_errors_without_text_have_a_name():
    assert what(ValueError()) == "ValueError"
    assert what(ValueError("no")) == "ValueError: no"
