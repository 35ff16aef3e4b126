from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.data.records import scan
from uda.data.splitfile import EMPTY_SHA256, Split, SplitRow, ordered
from uda.data.splits import make_split
from uda.errors import DataError, UsageError

SHA = hashlib.sha256(b"x").hexdigest()
OTHER = hashlib.sha256(b"y").hexdigest()


def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for label in ("Good", "Rust"):
        (root / label).mkdir(parents=True)
        for number in range(12):
            content = f"{label} {number}"
            (root / label / f"{number:02}.png").write_text(content)
    return root


NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=[])
    | st.sampled_from("=+-@'\\u\t\r\n\",;\udcff\udc80"),
    min_size=1,
    max_size=12,
).filter(lambda text: text.strip())


@given(path=NAMES, label=NAMES, group=NAMES)
@settings(max_examples=100, deadline=None)
def test_every_name_comes_back_exactly(tmp_path_factory, path, label, group):
    file = tmp_path_factory.mktemp("s") / "split.csv"
    split = Split((SplitRow(path, "labeled", label, group, SHA),))
    split.save(file)
    assert Split.load(file) == split
    assert len(file.read_bytes().split(b"\n")) == 3  # a row is a line


def test_the_file_is_safe_in_a_spreadsheet_and_plain_for_plain_names(tmp_path):
    rows = [
        SplitRow("A/a.png", "labeled", "NO", "t1", SHA),
        SplitRow("=cmd|' /C calc'!A0", "unlabeled", None, None, ""),
        SplitRow("@0/x.png", "test", "-1", "+g", OTHER),
    ]
    Split(ordered(rows)).save(tmp_path / "s.csv")
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines == [
        "path,part,label,group,sha256",
        f"A/a.png,labeled,NO,t1,{SHA}",
        "'=cmd|' /C calc'!A0,unlabeled,,,",
        f"'@0/x.png,test,'-1,'+g,{OTHER}",
    ]


def test_a_split_is_never_overwritten(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"split\.csv: exists already.*--out"):
        Split((SplitRow("a", "test", "A", None, ""),)).save(path)
    assert path.read_text() == "mine"
    dangling = tmp_path / "link.csv"
    dangling.symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="exists already"):
        Split(()).save(dangling)


def test_a_file_saved_again_by_a_spreadsheet_is_read(tmp_path):
    text = "path;part;label;group;sha256;remark\r\na.png;test;A;g;;mine\r\n"
    (tmp_path / "s.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    split = Split.load(tmp_path / "s.csv")
    assert split.rows == (SplitRow("a.png", "test", "A", "g", ""),)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no rows"),
        (["a,train,A,,"], "line 2: part 'train' is not one of labeled, unlabeled"),
        (["a,test,A,,", "a,test,A,,"], "line 3: a comes twice"),
        (["a,test,,,"], "line 2: a is in the part 'test' but has no label"),
        (["a,labeled,,,"], "line 2: a is in the part 'labeled' but has no label"),
        ([",test,A,,"], "line 2: the path is empty"),
        (["a,test,A,,123"], "line 2: '123' is no SHA-256"),
        (["a,test,A,g,", "b,labeled,A,g,"], r"group g \(test, training\)"),
        (["a,test,A,g,", "b,validation,A,g,"], r"group g \(test, validation\)"),
        ([f"a,test,A,,{SHA}", f"b,labeled,A,,{SHA}"], r"content .* \(test, training\)"),
    ],
)
def test_wrong_files_say_where(tmp_path, rows, message):
    lines = ["path,part,label,group,sha256", *rows]
    (tmp_path / "s.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=message) as caught:
        Split.load(tmp_path / "s.csv")
    assert "s.csv" in str(caught.value)


def test_missing_columns(tmp_path):
    (tmp_path / "s.csv").write_text("path,part\na,test\n")
    with pytest.raises(DataError, match="must name the columns path, part, label"):
        Split.load(tmp_path / "s.csv")


def test_unlabelled_images_may_share_a_group_when_declared(tmp_path):
    rows = (
        SplitRow("a", "test", "A", "g", SHA),
        SplitRow("b", "unlabeled", None, "g", SHA),
    )
    Split(ordered(rows)).save(tmp_path / "s.csv")
    split = Split.load(tmp_path / "s.csv")
    assert split.crossings() == []
    assert split.crossings(unlabeled=True)[0] == "group g (test, training)"


def test_empty_files_are_no_twins():
    rows = tuple(SplitRow(p, p, "A", None, EMPTY_SHA256) for p in ("test", "labeled"))
    assert Split(rows).crossings() == []


def test_part_and_records(tmp_path):
    catalog = scan(data(tmp_path))
    split, _ = make_split(catalog, None, seed=1)
    assert sum(len(split.part(p)) for p in ("labeled", "validation", "test")) == 24
    records = split.records(catalog, "test")
    assert [r.path for r in records] == [row.path for row in split.part("test")]
    with pytest.raises(ValueError, match="part must be one of"):
        split.part("train")
    (catalog.root / records[0].path).unlink()
    with pytest.raises(DataError, match=f"1 files of .*'test'.*{records[0].path}"):
        split.records(scan(catalog.root), "test")


def test_verify_names_what_is_missing_or_changed(tmp_path):
    root = data(tmp_path)
    split, _ = make_split(scan(root), None, seed=1)
    split.save(tmp_path / "s.csv")
    split = Split.load(tmp_path / "s.csv")
    calls: list[tuple[str, int, int]] = []
    assert split.verify(scan(root), lambda *call: calls.append(call)) == []
    assert calls[-1] == ("hash", 24, 24)
    gone, changed = split.part("test")[0], split.part("labeled")[0]
    moved, late = split.part("validation")[0], split.part("labeled")[1]
    (root / gone.path).unlink()
    (root / changed.path).write_text("other")
    other = "Rust" if moved.label == "Good" else "Good"
    new_place = root / other / "moved.png"
    (root / moved.path).rename(new_place)
    catalog = scan(root)
    (root / late.path).unlink()
    faults = split.verify(catalog)
    told = "\n".join(faults)
    assert f"{gone.path} (test): is not in the data any more; restore it" in told
    assert f"{changed.path} (labeled): changed since the split was written" in told
    assert f"{moved.path} (validation): is not in the data any more" in told
    assert f"{late.path} (labeled): cannot be read" in told
    assert len(faults) == 4
    assert split.unknown(catalog) == [f"{other}/moved.png"]


def test_verify_tells_of_changed_labels(tmp_path):
    root = data(tmp_path)
    names = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*.png"))]
    lines = [f"{name},{name.split('/')[0]}" for name in names]
    (root / "manifest.csv").write_text("path,label\n" + "\n".join(lines))
    split, _ = make_split(scan(root), None)
    split.refuse_other_labels(scan(root), "s.csv")
    row = split.part("test")[0]
    text = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(text.replace(f"{row.path},", f"{row.path},Re"))
    assert "the label was" in split.verify(scan(root))[0]
    text = rf"s\.csv: .* 1 images differs: {row.path} is .* Re.* in the data.*no effect"
    with pytest.raises(DataError, match=text):
        split.refuse_other_labels(scan(root), "s.csv")


def test_hashes_are_sha256_of_the_content(tmp_path):
    root = data(tmp_path)
    split, _ = make_split(scan(root), None)
    for row in split.rows:
        content = (root / row.path).read_bytes()
        assert row.sha256 == hashlib.sha256(content).hexdigest()


def without_hashes(split: Split, *parts: str) -> Split:
    rows = (replace(r, sha256="") if r.part in parts else r for r in split.rows)
    return Split(tuple(rows))


def test_as_found_knows_every_file_as_it_is_now(tmp_path):
    root = data(tmp_path)
    (root / "unlabeled").mkdir()
    (root / "unlabeled" / "u.png").write_text("pile")
    split, _ = make_split(scan(root), None)
    bare = without_hashes(split, "labeled", "test", "unlabeled")
    assert bare.as_found(scan(root), "s.csv") == (split, [])

    tested = split.part("test")[0]
    (root / tested.path).write_text("another")
    (root / "unlabeled" / "u.png").write_text("another pile")
    found, faults = split.as_found(scan(root), "s.csv")
    assert found.by_path[tested.path] == tested  # evaluation will refuse it
    new = hashlib.sha256(b"another pile").hexdigest()
    assert found.by_path["unlabeled/u.png"].sha256 == new
    assert len(faults) == 2


@pytest.mark.parametrize("part", ["labeled", "validation"])
def test_as_found_refuses_changed_labelled_images(tmp_path, part):
    root = data(tmp_path)
    split, _ = make_split(scan(root), None)
    row = split.part(part)[0]
    (root / row.path).write_text("another")
    text = rf"s\.csv: 1 labelled or validation .* changed .*{row.path}; restore"
    with pytest.raises(DataError, match=text):
        split.as_found(scan(root), "s.csv")


def test_as_found_refuses_equal_files_that_the_split_did_not_tell(tmp_path):
    root = data(tmp_path)
    split, _ = make_split(scan(root), None)
    one, other = split.part("test")[0], split.part("labeled")[0]
    (root / one.path).write_bytes((root / other.path).read_bytes())
    with pytest.raises(DataError, match=r"1 files or groups are in two parts.*content"):
        without_hashes(split, "labeled", "test").as_found(scan(root), "s.csv")
