from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.training.monitor.tags import class_tags


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Good", "Rust"], ("Good", "Rust")),
        (["a/b", "a_b"], ("a_b_2", "a_b")),
        (["a b", "a/b", "a_b_2"], ("a_b", "a_b_3", "a_b_2")),
        (["", "//", "class"], ("class_2", "class_3", "class")),
        (["NO", "no"], ("NO", "no_2")),
        (["Riß", "50 %", "\udcff"], ("Riß", "50", "udcff")),
    ],
)
def test_known_names(names: list[str], expected: tuple[str, ...]) -> None:
    assert class_tags(names) == expected


@settings(max_examples=50)
@given(st.lists(st.text(max_size=80), unique=True, max_size=8))
def test_tags_never_collide_and_open_no_group(names: list[str]) -> None:
    found = class_tags(names)
    assert len({tag.casefold() for tag in found}) == len(names)
    assert all(tag and "/" not in tag and " " not in tag for tag in found)
