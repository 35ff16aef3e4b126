from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from uda.data.manifest import read_manifest
from uda.errors import DataError, UsageError


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path / "manifest.csv"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(path: Path, **options) -> list[tuple]:
    entries = read_manifest(path, **options).entries
    return [(e.path, e.label, e.part, e.group) for e in entries]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_delimiter_bom_and_line_ends_are_sniffed(tmp_path, delimiter, end, bom):
    path = folder(tmp_path, "a.png", "b,c;d.png")
    lines = [["path", "label", "group"], ["a.png", "NO", "1"], ['"b,c;d.png"', "", ""]]
    text = end.join(delimiter.join(line) for line in lines) + end
    write(path, bom + text.encode())
    assert rows(path) == [("a.png", "NO", None, "1"), ("b,c;d.png", None, None, None)]


def test_utf16_from_a_spreadsheet(tmp_path):
    path = folder(tmp_path, "a.png")
    write(path, "path\tlabel\r\na.png\tRiß\r\n".encode("utf-16"))
    assert rows(path) == [("a.png", "Riß", None, None)]


def test_class_names_stay_text(tmp_path):
    names = ["NO", "01", "1e3", "null", "on", "=cmd", "<img onerror=x>", "1:30"]
    path = folder(tmp_path, *(f"{i}.png" for i in range(len(names))))
    lines = "".join(f"{i}.png,{name}\n" for i, name in enumerate(names))
    write(path, "path,label\n" + lines)
    assert [label for _, label, _, _ in rows(path)] == names


def test_split_words_and_group_column(tmp_path):
    words = ["train", "Training", "val", "valid", "validation", "TEST", "unlabeled", ""]
    path = folder(tmp_path, *(f"{i}.png" for i in range(len(words))))
    lines = "".join(f"{i}.png,A,{w},t{i}\n" for i, w in enumerate(words))
    write(path, "path,label,split,Tile\n" + lines)
    found = rows(path, group_column="tile")
    assert [part for _, _, part, _ in found] == [
        *("train", "train", "validation", "validation", "validation", "test"),
        *("unlabeled", None),
    ]
    assert [group for _, _, _, group in found] == [f"t{i}" for i in range(len(words))]
    assert {group for _, _, _, group in rows(path)} == {None}
    with pytest.raises(UsageError, match=r"'tiel' \(did you mean 'tile'\?\)"):
        read_manifest(path, group_column="tiel")


@pytest.mark.parametrize(
    "cell", ["../x.png", "a/../../x.png", "/etc/passwd", "C:\\x.png", "C:/x.png"]
)
def test_paths_outside_are_refused_with_their_line(tmp_path, cell):
    path = write(folder(tmp_path, "a.png"), f"path,label\na.png,A\n{cell},A\n")
    with pytest.raises(DataError, match=r"manifest\.csv, line 3: .*paths must be rel"):
        read_manifest(path)


def test_links_that_lead_outside_or_in_circles(tmp_path):
    inside = tmp_path / "data"
    path = folder(inside, "a.png")
    (tmp_path / "secret.png").write_bytes(b"x")
    (inside / "out.png").symlink_to(tmp_path / "secret.png")
    write(path, "path,label\nout.png,A\n")
    with pytest.raises(DataError, match=r"line 2: .*leads outside .*copy the file"):
        read_manifest(path)
    (inside / "loop").symlink_to(inside / "loop")
    write(path, "path,label\nloop/x.png,A\n")
    with pytest.raises(DataError, match="line 2"):
        read_manifest(path)


def test_missing_files_are_listed_with_their_lines(tmp_path):
    path = folder(tmp_path, "a.png")
    lines = "".join(f"gone{i}.png,A\n" for i in range(12))
    write(path, "path,label\na.png,A\n" + lines + "x" * 300 + ".png,A\n")
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert "13 of 14 files are missing: line 3: gone0.png, line 4: gone1.png" in message
    assert "and 3 more" in message
    assert "restore the files or delete their rows" in message
    assert "Unicode" not in message


def test_a_file_under_another_unicode_form_of_its_name_is_told(tmp_path):
    path = folder(tmp_path, "a\u0308.png")
    write(path, "path,label\n\u00e4.png,A\n")
    with pytest.raises(DataError, match="letters in another Unicode form"):
        read_manifest(path)


def test_equal_rows_count_once_and_are_noted(tmp_path):
    path = folder(tmp_path, "a.png", "b.png")
    write(path, "path,label\na.png,A\nb.png,B\n./a.png,A\n")
    manifest = read_manifest(path)
    assert [e.path for e in manifest.entries] == ["a.png", "b.png"]
    assert "line 4: a.png" in manifest.notes[0]


def test_contradicting_rows_list_both_lines(tmp_path):
    path = folder(tmp_path, "a.png")
    write(path, "path,label\na.png,A\n\na.png,B\n")
    with pytest.raises(DataError, match=r"a\.png \(line 2: label A.*; line 4: label B"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line must name the columns path, label"),
        ("a.png,A\n", "first line must name the columns path, label"),
        ("path|label\na.png|A\n", "separated by comma, semicolon or tab"),
        ("path,label,label\na.png,A,B\n", "column label comes twice"),
        ("path,label\na.png,A,extra\n", "line 2: 3 cells where the header names 2"),
        ("path,label,group\na.png,A\n", "line 2: 2 cells where the header names 3"),
        ("path,label\n  ,A\n", "line 2: the path is empty"),
        ("path,label\na.png,A|B\n", "line 2: the label .A.B. names several classes"),
        ("path,label,split\na.png,A,trian\n", "line 2: split 'trian' is not one of"),
        ("path,label,split\na.png,A,Withdrawn\n", "line 2: .* its label is A; empty"),
        (
            "path,label\na.png,Unlabelled\n",
            "line 2: .* no class; leave the label empty",
        ),
        ('path,label\n"a.png,A\n', "not valid CSV"),
        ("path,label\na\0.png,A\n", "line 2"),
        (b"path,label\na.png,Ri\xdf\n", "line 2: the name 'Ri.udcdf' is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 200_000, "first line must name"),
        (b"\xff\xfep\x00a", "broken UTF-16|first line"),
    ],
)
def test_broken_tables_say_where(tmp_path, text, message):
    path = write(folder(tmp_path, "a.png"), text)
    with pytest.raises(DataError, match=r"manifest\.csv") as caught:
        read_manifest(path)
    assert re.search(message, str(caught.value))


def test_a_withdrawn_label_is_unlabelled_and_marked(tmp_path):
    text = "path,label,split\na.png,,withdrawn\nb.png,,unlabeled\n"
    found = read_manifest(write(folder(tmp_path, "a.png", "b.png"), text)).entries
    assert [(e.part, e.withdrawn) for e in found] == [
        ("unlabeled", True),
        ("unlabeled", False),
    ]


def test_names_in_the_encoding_of_windows_are_told(tmp_path):
    path = write(folder(tmp_path, "riß.png"), b"path,label\nri\xdf.png,A\n")
    with pytest.raises(DataError, match=r"ri\\udcdf\.png \(some names are not UTF-8"):
        read_manifest(path)


def test_names_that_are_not_utf8_match_the_disk(tmp_path):
    name = os.fsdecode(b"ri\xdf.png")
    path = write(folder(tmp_path, name), b"path,label\nri\xdf.png,A\n")
    assert rows(path) == [(name, "A", None, None)]


def test_windows_separators(tmp_path):
    path = write(folder(tmp_path, "A/a.png"), "path,label\nA\\a.png,A\n")
    assert rows(path) == [("A/a.png", "A", None, None)]


def test_names_with_line_breaks_and_quotes(tmp_path):
    name = 'odd "name"\nhere.png'
    quoted = name.replace('"', '""')
    path = write(
        folder(tmp_path, name, "b.png"), f'path,label\n"{quoted}",A\nc.png,A\n'
    )
    with pytest.raises(DataError, match=r"line 4: c\.png"):
        read_manifest(path)


def test_blanks_around_a_path_that_nobody_sees_do_not_count(tmp_path):
    path = folder(tmp_path, "a.png", "b .png", "sub/c.png", "d.png ")
    write(path, "path,label\na.png ,A\nb .png,A\n sub\\c.png,B\nd.png ,B\n")
    assert [row[0] for row in rows(path)] == ["a.png", "b .png", "sub/c.png", "d.png "]


def test_a_row_of_too_few_cells_is_told_what_to_add(tmp_path):
    path = write(folder(tmp_path, "a.png"), "path,label,split,group\na.png,Good\n")
    with pytest.raises(DataError, match=r"line 2: 2 cells .* 4; add what is missing"):
        read_manifest(path)
