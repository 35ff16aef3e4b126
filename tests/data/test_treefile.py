"""Trees of classes as files: every form, and every fault with its line."""

from __future__ import annotations

import pytest

from uda.data.treefile import find_tree, read_tree
from uda.errors import UsageError
from uda.tree import ROOT

LABELS = ("Dent", "Good", "Rust", "Scratch")
BRANCHES = (
    (ROOT, ("Good", "Defect")),
    ("Defect", ("Rust", "Marks")),
    ("Marks", ("Scratch", "Dent")),
)


def write(folder, text):
    path = folder / "tree.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "- Good\n- Defect:\n  - Rust\n  - Marks: [Scratch, Dent]\n",
        "Good:\nDefect:\n  Rust:\n  Marks:\n    Scratch:\n    Dent:\n",
        "{Good: null, Defect: [Rust, {Marks: {Scratch: ~, Dent: }}]}",
        "\ufeffGood:\nDefect:\n- Rust\n- Marks:\n  - Scratch\n  - Dent\n",
    ],
    ids=["list", "mapping", "flow", "with a byte-order mark"],
)
def test_lists_and_mappings_mean_the_same(tmp_path, text):
    tree = read_tree(write(tmp_path, text), LABELS)
    assert tree.branches == BRANCHES
    assert tree.classes == LABELS


def test_labels_called_like_a_node_are_no_classes(tmp_path):
    path = write(tmp_path, "Good:\nDefect: [Rust, {Marks: [Scratch, Dent]}]\n")
    assert read_tree(path, ("Defect", *LABELS, "Marks")).classes == LABELS


def test_names_stay_as_written(tmp_path):
    path = write(tmp_path, "- NO\n- '01'\n- 1.0\n- null\n")
    labels = ("01", "1.0", "NO", "null")
    assert read_tree(path, labels).branches == ((ROOT, ("NO", "01", "1.0", "null")),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("Good\n", "line 1: expected a list"),
        ("- Good\n- Rust\n- Dent\n", "'Scratch' is not in the tree"),
        ("- Good\n- Rust\n- Dent\n- Scratch\n- Rost\n", "line 5: there is no class"),
        ("- Good\n- Rust\n- Dent\n- Scratch\n- Good\n", "lines 1, 5: 'Good' is listed"),
        ("Good:\nDefect:\n- Rust\n", "line 2: node 'Defect' has one child"),
        ("Good:\nDefect: []\n", "line 2: node 'Defect' has no child"),
        ("Good:\nRust: [Rust, Dent, Scratch]\n", "lines 2, 2: 'Rust' is a class and"),
        ("Good:\nD: [Rust, Dent]\nD: [Scratch, Dent]\n", "lines 2, 3: 'D' is listed"),
        ("- Good\n- [Rust, Dent]\n- Scratch\n", "line 2: expected a name"),
        ("- Good\n-\n", "line 2: expected a name"),
        ("Good:\nDefect: 3\n", "line 2: expected a list"),
        ("Good:\nA: &a [Rust, Dent]\nB: *a\n", "line 3: refers to another place"),
        ("Good: [\n", "not valid YAML"),
        ("[" * 3000 + "]" * 3000, "nested too deeply"),
    ],
)  # fmt: skip
def test_faults_name_file_and_line(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=r"tree\.yaml") as caught:
        read_tree(path, LABELS)
    assert message in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_tree(tmp_path / "none.yaml", LABELS)
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not valid YAML"):
        read_tree(path, LABELS)
    path.write_text("#" * 1_000_001, encoding="utf-8")
    with pytest.raises(UsageError, match="larger than"):
        read_tree(path, LABELS)


def test_find_tree_by_file_by_good_class_or_not_at_all(tmp_path):
    assert find_tree(LABELS, None, None) is None
    by_class = find_tree(LABELS, None, "Good")
    assert by_class is not None
    assert by_class.members["Defect"] == (0, 2, 3)
    path = write(tmp_path, "- Good\n- Rust\n- Dent\n- Scratch\n")
    assert find_tree(LABELS, path, None).sizes == (4,)
