"""A table as text: what is read of it, and names in messages.

Delimiters, line ends and broken tables are tested with manifests (test_manifest.py).
"""

from __future__ import annotations

import pytest

from uda.data.table import listing, read_table, shown
from uda.errors import DataError


def test_names_are_lower_case_and_cells_as_they_are(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Path ;\tLabel\n a.png; A\n\nb.png;B\n")
    table = read_table(path, ("path", "label"))
    assert table.header == ("path", "label")
    assert table.titles == ("Path", "Label")
    assert table.rows == (
        (2, {"path": " a.png", "label": " A"}),
        (4, {"path": "b.png", "label": "B"}),
    )


def test_table_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        read_table(tmp_path / "none.csv", ("path",))


def test_shown_names_fit_one_line():
    assert shown("a\nb\x1b[31m") == "a\\nb\\x1b[31m"
    assert shown("\udcff") == "\\udcff"
    assert shown("Riß ✓") == "Riß ✓"
    assert listing(["a", "b", "c"], 2) == "a, b and 1 more"
