"""A small study, run once: real cells of a texture and a tiny network."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.surfaces import write_surfaces
from uda.cli import main

STRATEGIES = """
texture: --method texture --imgsz 16
tiny: --method supervised --imgsz 16 --batch 6 --eval-every 3 --tsa none
tiny, thresholds: {of: tiny, tune: bias}
tiny, flips: {of: tiny, tta: flips}
"""


def run(*words: object) -> tuple[int, str]:
    """Run ``uda compare`` in this process: exit code and all output."""
    found = CliRunner().invoke(main, ["compare", *map(str, words)])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.output


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder with data/, more/, split.csv and strategies.yaml."""
    folder = write_surfaces(tmp_path_factory.mktemp("study"), per_class=12)
    words = [
        "split", str(folder / "data"), "--unlabeled", str(folder / "more"),
        "--group", "none", "--out", str(folder / "split.csv"),
    ]  # fmt: skip
    assert CliRunner().invoke(main, words).exit_code == 0
    (folder / "strategies.yaml").write_text(STRATEGIES)
    return folder


def words_of(home: Path, out: Path) -> list[object]:
    return [
        home / "data", "--unlabeled", home / "more", "--split", home / "split.csv",
        "--strategies", home / "strategies.yaml", "--folds", 2, "--repeats", 2,
        "--steps", 3, "--good-class", "Good", "--out", out,
    ]  # fmt: skip


@pytest.fixture(scope="session")
def finished(home):
    """The folder of a study that has run to its end, and what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDA_CACHE", str(home / "cache"))
        code, output = run(*words_of(home, home / "out"))
    assert code == 0, output
    return home / "out", output
