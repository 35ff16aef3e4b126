"""Policies: limits, fingerprints, and how they are found."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from uda.augment import policy as policy_module
from uda.augment.ops import OPS
from uda.augment.policy import (
    OpSpec,
    Policy,
    PythonPolicy,
    load_policy,
    packaged_policies,
    policy_file,
)
from uda.errors import DataError, UsageError
from uda.words import did_you_mean

NATIVE = {
    "weak", "flip-crop", "uda", "fixmatch", "defect-safe", "usb", "torchvision",
    "trivialaugment", "autoaugment-cifar10", "autoaugment-svhn", "lighting", "camera",
}  # fmt: skip
FIRST_OPS = [op.name for op in OPS.values() if op.id < 16]  # RandAugment's
PAIR = (OpSpec("Rotate", 3, 27), OpSpec("Invert"))


def test_packaged_policies_are_found_and_load():
    found = packaged_policies()
    assert set(found) >= NATIVE | {"example_gamma"}
    for name in NATIVE:
        loaded = load_policy(name)
        assert isinstance(loaded, Policy)
        assert (loaded.name, loaded.path) == (name, found[name])
        assert loaded.source
    assert isinstance(load_policy("example_gamma"), PythonPolicy)


def test_uda_is_the_papers_list():
    uda = load_policy("uda")
    names = [spec.name for spec in uda.ops]
    assert sorted(names) == sorted(set(FIRST_OPS) - {"Identity"})
    assert (uda.count, uda.probability, uda.cutout) == (2, 0.5, 0.5)
    assert (uda.order, uda.fill) == ("geometry-last", "mean")
    assert (uda.hflip, uda.vflip, uda.crop_pad) == (0.5, 0.0, 0.125)


def test_fixmatch_is_the_published_list():
    fixmatch = load_policy("fixmatch")
    names = [spec.name for spec in fixmatch.ops]
    assert sorted(names) == sorted(set(FIRST_OPS) - {"Invert", "Cutout"})
    assert (fixmatch.count, fixmatch.probability, fixmatch.cutout) == (2, 0.5, 0.5)
    assert fixmatch.order == "geometry-first"


def test_defect_safe_leaves_out_what_erases_or_invents():
    safe = load_policy("defect-safe")
    left_out = {
        "Invert", "Solarize", "Posterize", "Equalize", "AutoContrast", "Cutout",
    }  # fmt: skip
    assert not left_out & {spec.name for spec in safe.ops}
    assert safe.cutout == 0
    for spec in safe.ops:
        if spec.name.startswith("Translate"):
            assert spec.high <= 0.0625


def test_weak_has_no_ops():
    weak = load_policy("weak")
    assert (weak.count, weak.ops, weak.cutout) == (0, (), 0)
    assert (weak.hflip, weak.vflip, weak.crop_pad) == (0.5, 0.5, 0.125)


def test_fingerprint_follows_content_not_names():
    uda = load_policy("uda")
    same = dataclasses.replace(uda, name="other", source="", path=None)
    assert same.fingerprint() == uda.fingerprint()
    written_otherwise = dataclasses.replace(uda, crop_pad=0.125, vflip=0)
    assert written_otherwise.fingerprint() == uda.fingerprint()
    changes = [
        {"count": 3}, {"probability": 0.4}, {"fill": "black"}, {"hflip": 0.4},
        {"vflip": 0.1}, {"crop_pad": 0.1}, {"quarter_turns": True},
        {"cutout": 0.1}, {"order": "geometry-first"}, {"ops": uda.ops[1:]},
        {"ops": (dataclasses.replace(uda.ops[1], levels=8), *uda.ops[1:])},
        {"ops": (dataclasses.replace(uda.ops[0], probability=0.5), *uda.ops[1:])},
        {"ops": (*uda.ops[:-1], dataclasses.replace(uda.ops[-1], mirrored=True))},
        {"ops": (), "count": 0, "subpolicies": (PAIR,)},
        {"ops": (), "count": 0, "subpolicies": (PAIR, PAIR[::-1])},
        {"first": PAIR}, {"last": PAIR}, {"interpolation": "bilinear"},
        {"fill": "reflect"},
    ]  # fmt: skip
    changed = {dataclasses.replace(uda, **c).fingerprint() for c in changes}
    assert len(changed) == len(changes)
    assert uda.fingerprint() not in changed


def test_fingerprints_of_the_first_policies_stay():
    # Runs made before policies had sub-policies and fixed ops go on.
    assert load_policy("uda").fingerprint().startswith("da5a21a18bf04d48")
    assert load_policy("defect-safe").fingerprint().startswith("6315a7a76c0d5dee")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Rotat", 1, 2), "did you mean 'Rotate'"),
        (("Rotate",), "needs low and high, in degrees"),
        (("Rotate", 1, 900), "900 is outside 0..180"),
        (("Posterize", 0, 4), "0 is outside 1..8"),
        (("Rotate", float("nan"), 3), "nan is outside"),
        (("Rotate", 1, 2, 0), "levels must be at least 1"),
        (("Rotate", 1, 2, 1001), "levels must be at most 1000; leave it out"),
        (("Rotate", float("inf"), 3), "inf is outside"),
        (("Invert", 1, 2), "has no magnitude"),
        (("Invert", None, None, None, 1.5), "Invert: probability is 1.5; it must lie"),
        (("Invert", None, None, None, float("nan")), "probability is nan"),
        (("Rotate", 1, 2, None, None, True), "Rotate: mirrored is for factors only"),
        (("Invert", None, None, None, None, True), "mirrored is for factors only"),
        (("Color", 1, 3, None, None, True), "3 mirrored is -1, outside 0..4"),
    ],
)
def test_wrong_ops_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        OpSpec(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hflip": 1.5}, "hflip is 1.5; it must lie in 0..1"),
        ({"crop_pad": float("inf")}, "crop_pad is inf"),
        ({"cutout": -0.1}, "cutout is -0.1"),
        ({"count": 2}, "no ops to draw"),
        ({"count": 17}, "must lie in 0..16"),
        ({"fill": "meen"}, "choose mean or black or gray or reflect"),
        ({"interpolation": "cubic"}, "choose nearest or bilinear"),
        ({"subpolicies": (PAIR,), "count": 1}, "take away ops and count"),
        ({"subpolicies": (PAIR,), "ops": PAIR}, "take away ops and count"),
        ({"subpolicies": (PAIR, ())}, r"subpolicies has an empty list .number 2"),
        ({"first": PAIR * 8, "last": PAIR}, "would pass 18 ops .* at most 16"),
        ({"order": "last"}, "choose geometry-first or geometry-last"),
    ],
)
def test_wrong_policies_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        Policy("wrong", **changes)


def test_unknown_name_suggests_one():
    with pytest.raises(UsageError, match=r"unknown policy 'fixmach' \(did you mean"):
        load_policy("fixmach")


@pytest.mark.parametrize("name", ["no/such/file.yaml", "mine.py", "some/folder"])
def test_missing_file_is_named(name):
    with pytest.raises(UsageError, match=f"{name}: there is no such policy file"):
        load_policy(name)


def test_own_policies_folder_comes_before_the_package(tmp_path, monkeypatch):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "weak.yaml").write_text("hflip: 0.25\n")
    (tmp_path / "policies" / "ours.yaml").write_text("vflip: 1\n")
    monkeypatch.chdir(tmp_path)
    assert load_policy("weak").hflip == 0.25
    assert load_policy("ours").vflip == 1
    assert load_policy("uda").path == packaged_policies()["uda"]


def test_installed_layout_is_searched_inside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "uda"
    (package / "policies").mkdir(parents=True)
    (package / "policies" / "inner.yaml").write_text("hflip: 1\n")
    monkeypatch.setattr(policy_module, "_PACKAGE", package)
    assert list(packaged_policies()) == ["inner"]


@pytest.mark.slow
def test_sdist_and_wheel_carry_the_policies(tmp_path):
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    subprocess.run([*command, tmp_path, PROJECT], check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {Path(name).name for name in archive.getnames() if "/polic" in name}
    assert packed >= {file.name for file in packaged_policies().values()}

    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "from uda.augment.policy import load_policy, packaged_policies as p\n"
        "print(*(load_policy(name).path for name in sorted(p())), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    inside = tmp_path / "site" / "uda" / "policies"
    expected = sorted(packaged_policies().values(), key=lambda file: file.stem)
    assert done.stdout.split() == [str(inside / file.name) for file in expected]


def test_a_name_that_lacks_its_suffix_is_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("hflip: 0.5\n")
    with pytest.raises(UsageError, match=r"did you mean the file mine\.yaml\?.*\.yml"):
        load_policy("mine")
    with pytest.raises(UsageError, match=r"did you mean the file .*mine\.yaml\?"):
        load_policy(str(tmp_path / "mine"))


def test_a_name_that_means_two_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("policies").mkdir()
    Path("policies/mine.yaml").write_text("hflip: 0.5\n")
    Path("policies/mine.py").write_text("def augment(image, rng):\n    return image\n")
    said = r"'mine': policies/mine\.py and policies/mine\.yaml have this name: rename"
    with pytest.raises(DataError, match=said):
        load_policy("mine")
    assert policy_file("mine") is None
    assert load_policy("policies/mine.yaml").hflip == 0.5
    assert load_policy("weak").name == "weak"


def test_the_file_behind_a_name_is_found_without_reading_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert policy_file("uda") == packaged_policies()["uda"]
    assert policy_file("mine") is policy_file("mine.yaml") is None
    Path("policies").mkdir()
    for name in ("mine.py", "uda.yaml"):
        (tmp_path / "policies" / name).write_text("broken: [")
    assert policy_file("mine") == tmp_path / "policies" / "mine.py"
    assert policy_file("uda") == tmp_path / "policies" / "uda.yaml"
    assert policy_file("policies/mine.py") == Path("policies/mine.py")


def test_a_name_in_another_unicode_form_is_told_apart_from_a_slip():
    composed, decomposed = "Geh\u00e4use", "Geha\u0308use"
    assert "another Unicode form" in did_you_mean(decomposed, [composed, "Good"])
    assert "another Unicode form" in did_you_mean(composed, [decomposed])
    assert did_you_mean("Gud", ["Good", "Rust"]) == " (did you mean 'Good'?)"
    assert did_you_mean("xyz", ["Good"]) == ""
