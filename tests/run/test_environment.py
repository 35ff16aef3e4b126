from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from pathlib import Path

import pytest

from uda.run import environment
from uda.run.environment import anonymous, describe_environment


def test_facts_are_json_and_true() -> None:
    facts = describe_environment(["uda", "train", str(Path.home() / "parts")])
    assert json.loads(json.dumps(facts)) == facts
    assert facts["packages"]["torch"] == importlib.metadata.version("torch")
    assert facts["system"]["cpus"] == os.cpu_count()
    assert facts["compute"]["threads"] >= 1
    assert facts["command"] == ["uda", "train", "~/parts"]


def test_memory_is_what_the_kernel_says() -> None:
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        pytest.skip("needs /proc/meminfo")
    kilobytes = int(meminfo.read_text().split()[1])
    found = describe_environment([])["system"]["memory_gib"]
    assert found == pytest.approx(kilobytes / 2**20, abs=0.2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/anna", "~"),
        ("/home/anna/parts/x.png", "~/parts/x.png"),
        ("--data=/home/anna/parts", "--data=~/parts"),
        ("/home/annabel/parts", "/home/USER/parts"),
        ("/Users/bob/parts", "/Users/USER/parts"),
        ("/mnt/anna/parts", "/mnt/USER/parts"),
        ("/mnt/hanna/parts", "/mnt/hanna/parts"),
        ("anna.yaml", "anna.yaml"),
    ],
)
def test_neither_home_nor_user_name(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setattr(environment.getpass, "getuser", lambda: "anna")
    assert anonymous(text) == expected


def test_a_user_without_a_name_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError("uid not found")

    monkeypatch.setenv("HOME", "/")
    monkeypatch.setattr(environment.getpass, "getuser", fail)
    assert anonymous("/data/parts") == "/data/parts"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, timeout=30
    )


def test_git_state_is_of_the_package_and_not_of_a_folder_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "uda"
    package.mkdir()
    source = package / "__init__.py"
    source.write_text("")
    monkeypatch.setattr(environment.uda, "__file__", str(source))
    assert environment._git() is None  # no repository
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "around")
    assert environment._git() is None  # a repository that does not hold the package
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "inside")
    state = environment._git()
    assert state is not None
    assert state["changed"] is False
    source.write_text("x = 1\n")
    changed = environment._git()
    assert changed == {"commit": state["commit"], "changed": True}


def test_no_git_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment._git() is None


def test_a_user_without_a_home_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(environment.os.path, "expanduser", lambda _: "~")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(environment.getpass, "getuser", lambda: "anna")
    assert anonymous("/home/anna/parts ~ x") == "/home/USER/parts ~ x"
