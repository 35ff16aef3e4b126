"""The three ways to install: wheel, sdist and editable; each has all its parts.

Nothing is downloaded: each goes into an empty environment that sees the packages
of this one behind its own, and has no policies or code of ours but what it got.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import uda
from uda.augment.policy import load_policy, packaged_policies

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parent.parent
KEPT = ("uda", "policies", "README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml")

REPORT = """
import json, pathlib, uda
from uda.augment.policy import load_policy, packaged_policies
folder = pathlib.Path(uda.__file__).parent
print(json.dumps({
    "folder": str(folder),
    "policies": {n: load_policy(n).fingerprint() for n in packaged_policies()},
    "files": sorted(
        str(f.relative_to(folder)) for f in folder.rglob("*")
        if f.is_file() and "__pycache__" not in f.parts
    ),
}))
"""


def run(*words, cwd):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [os.fspath(word) for word in words],
        cwd=cwd, env=clean, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def package_files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the project, so that building leaves nothing in this one."""
    copy = tmp_path_factory.mktemp("source") / "uda-project"
    copy.mkdir()
    for name in (*KEPT, "scripts", "docs", "tests"):
        path = PROJECT / name
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, copy / name, ignore=ignored)
        elif path.exists():
            shutil.copy2(path, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(source, tmp_path_factory) -> dict[str, Path]:
    """The wheel and the sdist."""
    out = tmp_path_factory.mktemp("dist")
    words = ("--no-isolation", "--skip-dependency-check", "--outdir", out)
    run(sys.executable, "-m", "build", "--wheel", "--sdist", *words, source, cwd=out)
    return {"wheel": next(out.glob("*.whl")), "sdist": next(out.glob("*.tar.gz"))}


def environment(folder: Path) -> Path:
    """Make an environment behind which this one's packages lie; return its bin."""
    venv.create(folder, with_pip=False)
    bin_folder = folder / "bin"
    packages = next(folder.glob("lib/python*/site-packages"))
    # A path file inside a folder that a path file names is not read, so this
    # environment's own (editable) uda stays out of sight.
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "behind.pth").write_text("\n".join(sorted(places)) + "\n")
    return bin_folder


def install(bin_folder: Path, *what) -> None:
    run(
        sys.executable, "-m", "pip", "--python", bin_folder / "python", "install",
        "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
        "--ignore-installed", "--disable-pip-version-check", *what,
        cwd=bin_folder,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_an_install_has_everything(kind, source, built, tmp_path):
    bin_folder = environment(tmp_path / "venv")
    install(bin_folder, *(["-e", source] if kind == "editable" else [built[kind]]))
    away = tmp_path / "away"
    away.mkdir()
    version = f"uda, version {uda.__version__}\n"
    assert run(bin_folder / "uda", "--version", cwd=away) == version
    words = (bin_folder / "python", "-m", "uda", "--version")
    assert run(*words, cwd=away) == version
    facts = json.loads(run(bin_folder / "python", "-c", REPORT, cwd=away))
    home = source if kind == "editable" else tmp_path / "venv"
    assert Path(facts["folder"]).is_relative_to(home), "another install was found"
    here = {name: load_policy(str(p)).fingerprint() for name, p in ours().items()}
    assert facts["policies"] == here
    expected = package_files(source / "uda")
    if kind != "editable":  # there the policies lie beside the package
        expected |= {f"policies/{n}" for n in package_files(source / "policies")}
    assert set(facts["files"]) == expected


def ours() -> dict[str, Path]:
    found = packaged_policies()
    assert {"weak", "uda", "fixmatch", "defect-safe", "example_gamma"} <= set(found)
    return found


def test_the_sdist_is_the_whole_project(built, source):
    with tarfile.open(built["sdist"]) as archive:
        members = {m.name.split("/", 1)[1]: m for m in archive if "/" in m.name}
    expected = {
        str(path.relative_to(source))
        for name in (*KEPT, "scripts", "docs", "tests")
        for path in ((source / name), *(source / name).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= set(members)
    assert members["scripts/test"].mode & 0o100


def test_the_wheel_has_its_licence_and_no_tests(built):
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = archive.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {
        "uda",
        f"uda-{uda.__version__}.dist-info",
    }
