"""YAML policies: what is read, and how faults are told."""

from __future__ import annotations

import pytest

from uda.augment.policy import OpSpec, Policy
from uda.augment.policyfile import read_policy
from uda.errors import DataError


def write(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_keys_are_read(tmp_path):
    text = """
name: ours
source: a trial
count: 1
probability: 0.5
ops:
  - {op: Rotate, low: 3, high: 27, levels: 9}
  - op: Invert
fill: black
hflip: 1
vflip: 0.25
crop_pad: .125
quarter_turns: true
cutout: 0.5
order: geometry-last
"""
    path = write(tmp_path, text)
    assert read_policy(path) == Policy(
        name="ours",
        source="a trial",
        count=1,
        probability=0.5,
        ops=(OpSpec("Rotate", 3.0, 27.0, 9), OpSpec("Invert")),
        fill="black",
        hflip=1.0,
        vflip=0.25,
        crop_pad=0.125,
        quarter_turns=True,
        cutout=0.5,
        order="geometry-last",
    )
    assert read_policy(path).path == path


def test_name_defaults_to_the_files(tmp_path):
    assert read_policy(write(tmp_path, "hflip: 0.5")).name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hflip: 0.5\ncutuot: 0.5", "mine.yaml:2: unknown key 'cutuot' .did you"),
        ("hflip: 0.5\nhflip: 0.6", "mine.yaml:2: the key 'hflip' is given twice"),
        ("hflip: 0.5\n\nvflip: often", "mine.yaml:3: vflip must be a number"),
        ("hflip: true", "hflip must be a number, not True"),
        ("count: 1.5", "count must be a whole number, not 1.5"),
        ("hflip: [1]", "hflip must be a number, not a nested value"),
        ("quarter_turns: 1", "quarter_turns must be true or false"),
        ("hflip: 0.5\nvflip: 7", "mine.yaml:2: vflip is 7"),
        ("hflip: .nan", "mine.yaml:1: hflip is nan"),
        ("fill: meen", "choose mean"),
        ("ops:\n  - {op: Rotat, low: 1, high: 2}", "mine.yaml:2: unknown op 'Rotat'"),
        ("ops:\n  - {op: Rotate, hi: 2}", "mine.yaml:2: unknown key 'hi'"),
        ("ops:\n  - {low: 1}", "mine.yaml:2: an entry of ops needs"),
        ("ops:\n  - Rotate", "mine.yaml:2: expected a mapping"),
        ("ops: Rotate", "ops must be a list"),
        ("count: 2", "mine.yaml:1: count is 2, but there are no ops"),
        ("- hflip", "expected a mapping"),
        ("hflip: [1", "mine.yaml:1: is not YAML"),
        ("hflip: 1\nx: *nobody", "mine.yaml:2: is not YAML"),
        ("hflip: 1\n---\nhflip: 1", "is not YAML"),
        ("hflip: \x07", "is not YAML"),
        ("", "is empty"),
    ],
)  # fmt: skip
def test_faults_name_file_and_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_policy(write(tmp_path, text))


def test_undecodable_file_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(DataError, match=r"mine\.yaml: cannot be read"):
        read_policy(path)


def test_a_tag_cannot_run_code(tmp_path):
    path = write(tmp_path, "name: !!python/object/apply:os.getcwd []")
    with pytest.raises(DataError, match="name must be text"):
        read_policy(path)
