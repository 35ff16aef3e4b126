from __future__ import annotations

import pytest

from uda.data.boxes.xmltree import MAX_BYTES, read_xml
from uda.errors import DataError

BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation>&b;</annotation>
"""
FOREIGN = """<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<annotation><filename>&x;</filename></annotation>
"""


def write(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_a_tree(tmp_path):
    tree = read_xml(write(tmp_path, "<a><b>&lt;ü&#228;</b><b/></a>"))
    assert [item.text for item in tree] == ["<üä", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"a\.xml:2: declares a document type or entities"),
        (FOREIGN, r"a\.xml:2: declares a document type or entities"),
        ('<!DOCTYPE a SYSTEM "http://x/y.dtd"><a/>', "declares a document type"),
        ("<a>&x;</a>", "is not XML"),
        ("<a>", "is not XML"),
        ("", "is not XML"),
        (b"\x89PNG\r\n", "is not XML"),
        ('<?xml version="1.0" encoding="no-such"?><a/>', "is not XML|cannot be read"),
        ("<a>" * 200 + "</a>" * 200, "nested deeper than 32"),
    ],
)
def test_hostile_and_broken_files(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_xml(write(tmp_path, text))


def test_too_large_and_missing(tmp_path):
    with pytest.raises(DataError, match="too many for one image"):
        read_xml(write(tmp_path, b" " * (MAX_BYTES + 1)))
    with pytest.raises(DataError, match="cannot be read"):
        read_xml(tmp_path / "gone.xml")
