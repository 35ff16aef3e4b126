"""Policies of other installed packages: found, loaded, blamed, copied, sent away."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

from tests.augment.helpers import make_images
from uda.augment.installed import installed_policies, source_of
from uda.augment.kernels import render
from uda.augment.plugins import PythonPolicy
from uda.augment.policy import Policy, load_policy
from uda.errors import DataError, UsageError

MODULE = """
from pathlib import Path
from uda.augment.policy import Policy

YAML = "line.yaml"
CODE = Path(__file__).parent / "code.py"
MISSING = "nowhere.yaml"
NATIVE = Policy("whatever", hflip=0.25)
NUMBER = 3

def invert(image, rng):
    return 255 - image

class Shop:
    invert = staticmethod(invert)
"""
ENTRIES = """[uda.policies]
line = lineviews.policies:YAML
code = lineviews.policies:CODE
missing = lineviews.policies:MISSING
native = lineviews.policies:NATIVE
number = lineviews.policies:NUMBER
invert = lineviews.policies:invert
nested = lineviews.policies:Shop.invert
gone = lineviews.nothing:augment
weak = lineviews.policies:invert
built-in = sys:intern
folder = lineviews.folder:__path__._name
"""


def offer(folder, name, entries):
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n"
    )
    (info / "entry_points.txt").write_text(entries)


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    site = tmp_path / "site"
    folder = site / "lineviews"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "folder").mkdir()
    (folder / "policies.py").write_text(MODULE)
    (folder / "line.yaml").write_text("hflip: 0.5\n")
    (folder / "code.py").write_text("def augment(image, rng):\n    return image\n")
    offer(site, "lineviews", ENTRIES)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield site
    for name in [n for n in sys.modules if n.partition(".")[0] == "lineviews"]:
        del sys.modules[name]


def views(policy):
    images = make_images("noise", 2, 4, 4, 1)
    made = render(policy, images, seed=0, stream="s", counters=[0, 1], fill=[0])
    return images, made


def test_listing_imports_nothing():
    assert {"line", "invert", "gone"} <= set(installed_policies())
    assert "lineviews" not in sys.modules


def test_files_of_a_package(package):
    line = load_policy("line")
    assert isinstance(line, Policy)
    assert (line.hflip, line.path) == (0.5, package / "lineviews" / "line.yaml")
    code = load_policy("code")
    assert isinstance(code, PythonPolicy)
    assert source_of(code) == (package / "lineviews" / "code.py").read_bytes()
    assert source_of(line) == b"hflip: 0.5\n"


@pytest.mark.parametrize("name", ["invert", "nested"])
def test_objects_of_a_package_travel_and_are_copied(name, tmp_path):
    policy = load_policy(name)
    copy = tmp_path / "copy.py"
    copy.write_bytes(source_of(policy))
    for same in (policy, pickle.loads(pickle.dumps(policy)), load_policy(str(copy))):
        images, made = views(same)
        np.testing.assert_array_equal(made, 255 - images)
    assert policy.name == name
    assert policy.fingerprint()


def test_a_native_object_is_copied_as_an_import(tmp_path):
    policy = load_policy("native")
    assert (policy.name, policy.hflip) == ("native", 0.25)
    copy = tmp_path / "copy.py"
    copy.write_bytes(source_of(policy))
    assert load_policy(str(copy)) == load_policy("native").__class__(
        "whatever", hflip=0.25
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", r"lineviews 1\.2: entry point gone = lineviews\.nothing:augment: Mod"),
        ("number", r"lineviews 1\.2: entry point number = .* of type builtins\.int"),
        ("built-in", r"entry point built-in = sys:intern: sys has no file"),
        ("folder", r"point folder = lineviews.* lineviews\.folder has no file"),
        ("missing", r"lineviews 1\.2: .*nowhere\.yaml: there is no such policy file"),
    ],
)
def test_faults_name_the_distribution(name, message):
    with pytest.raises(DataError, match=message):
        load_policy(name)


def test_a_local_file_wins_and_the_package_comes_last(tmp_path):
    assert isinstance(load_policy("weak"), PythonPolicy)
    folder = tmp_path / "work" / "policies"
    folder.mkdir()
    (folder / "weak.yaml").write_text("vflip: 0.5\n")
    assert load_policy("weak").vflip == 0.5


def test_two_distributions_with_one_name_are_told_apart(package):
    offer(package, "other", "[uda.policies]\ninvert = lineviews.policies:NUMBER\n")
    with pytest.raises(DataError, match=r"lineviews 1\.2 .* and other 1\.2"):
        load_policy("invert")


def test_an_unknown_name_lists_them():
    with pytest.raises(UsageError, match=r"did you mean 'invert'.*nested.*weak"):
        load_policy("inwert")
