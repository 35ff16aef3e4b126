from __future__ import annotations

from pathlib import Path

from uda.data.grouping import gather, row_of
from uda.data.records import Catalog, scan
from uda.data.splitfile import SplitRow


def folder(root: Path, **contents: str) -> Catalog:
    """Files A_0=... become A/0.png with that content."""
    for name, content in contents.items():
        file = root / f"{name.replace('_', '/')}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return scan(root, min_classes=0)


def together(facts, *paths: str) -> bool:
    return len({facts.unit[path] for path in paths}) == 1


def test_groups_and_equal_files_connect_in_chains(tmp_path):
    catalog = folder(tmp_path, A_0="p", A_1="q", A_2="q", A_3="s", B_0="t")
    groups = {"A/0.png": "g", "A/1.png": "g", "A/3.png": "h"}
    facts = gather(catalog, groups)
    assert together(facts, "A/0.png", "A/1.png", "A/2.png")
    assert not together(facts, "A/0.png", "A/3.png")
    assert not together(facts, "A/3.png", "B/0.png")
    assert facts.groups["A/2.png"].startswith("same-")
    assert "B/0.png" not in facts.groups


def test_empty_files_are_not_twins(tmp_path):
    facts = gather(folder(tmp_path, A_0="", B_0=""), None)
    assert not together(facts, "A/0.png", "B/0.png")
    assert facts.notes == []


def test_old_and_new_group_names_are_two_vocabularies(tmp_path):
    catalog = folder(tmp_path, A_0="a", A_1="b", B_0="c", B_1="d")
    old = {
        "A/0.png": SplitRow("A/0.png", "test", "A", "g1", ""),
        "B/0.png": SplitRow("B/0.png", "labeled", "B", "g2", ""),
    }
    # the same software found the same groups and gave them other names
    groups = {"A/0.png": "g2", "A/1.png": "g2", "B/0.png": "g1", "B/1.png": "g1"}
    facts = gather(catalog, groups, old=old)
    assert together(facts, "A/0.png", "A/1.png")
    assert together(facts, "B/0.png", "B/1.png")
    assert not together(facts, "A/0.png", "B/0.png")


def test_contents_meet_those_of_the_older_split(tmp_path):
    catalog = folder(tmp_path, A_0="a", B_0="b")
    sha256 = gather(catalog, None).hashes["A/0.png"]
    old = {"gone.png": SplitRow("gone.png", "test", "A", None, sha256)}
    assert together(gather(catalog, None, old=old), "A/0.png", "gone.png")


def test_a_row_knows_its_group(tmp_path):
    facts = gather(folder(tmp_path, A_3="a"), {"A/3.png": "g1"})
    row = row_of(facts, "A/3.png", "labeled")
    assert (row.group, row.part, row.label) == ("g1", "labeled", "A")
