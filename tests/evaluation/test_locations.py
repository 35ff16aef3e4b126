"""Where the images of a run lie: the same files as a scan of its data finds."""

from __future__ import annotations

import pytest

from tests.evaluation.fakes import CLASSES, make_run, write_image
from uda.data.records import scan
from uda.errors import CheckpointError, DataError
from uda.evaluation.locations import data_root, image_files, image_folder
from uda.evaluation.parts import split_part
from uda.files import sha256_file
from uda.run.layout import RunFolder


@pytest.fixture
def run(tmp_path):
    """A run with an inner and two outer folders of unlabelled images."""
    fake = make_run(tmp_path, per_part=1)
    folders = [fake.data / "Good", tmp_path / "pile", tmp_path / "far" / "heap"]
    for place, folder in enumerate(folders[1:]):
        write_image(folder / "deep" / "p.png", "Good", place)
    text = f"data:\n  root: {fake.data}\n  unlabeled:\n"
    lines = "".join(f"  - {folder}\n" for folder in folders)
    (fake.folder / "config.yaml").write_text(text + lines)
    return RunFolder(fake.folder)


def test_every_name_of_a_scan_is_found(run, tmp_path):
    folders = [tmp_path / "pile", tmp_path / "far" / "heap"]
    data = data_root(run)
    catalog = scan(data, unlabeled=[data / "Good", *folders])
    names = [record.path for record in catalog.records]
    assert {"@1/deep/p.png", "@2/deep/p.png"} <= set(names)
    files = image_files(run, names)
    assert [file.resolve() for file in files] == [
        record.file.resolve() for record in catalog.records
    ]
    # Where the data have moved, the other folders have not.
    moved = tmp_path / "elsewhere"
    data.rename(moved)
    files = image_files(run, ["Rust/test0.png", "@1/deep/p.png"], moved)
    assert files == [moved / "Rust" / "test0.png", folders[0] / "deep" / "p.png"]
    assert image_folder(run, moved / "manifest.csv") == moved


def test_a_part_with_images_of_the_pile(run, tmp_path):
    digest = sha256_file(tmp_path / "pile" / "deep" / "p.png")
    with run.split.open("a") as stream:
        stream.write(f"@1/deep/p.png,test,Good,,{digest}\n")
    found = dict(split_part(run, CLASSES, "test").files)
    assert found["@1/deep/p.png"] == tmp_path / "pile" / "deep" / "p.png"


def test_what_cannot_be_found_is_named(run, tmp_path):
    assert image_files(run, ["@7/x.png"]) == [data_root(run) / "@7" / "x.png"]
    with pytest.raises(DataError, match=r"\.\."):
        image_files(run, ["@1/../x.png"])
    (tmp_path / "pile").rename(tmp_path / "gone")
    assert not any(file.exists() for file in image_files(run, ["@1/deep/p.png"]))
    lists = run.config.read_text().replace("/pile\n", "/pile.csv\n")
    run.config.write_text(lists)
    with pytest.raises(DataError, match=r"pile\.csv"):
        image_files(run, ["@1/deep/p.png"])


@pytest.mark.parametrize("text", ["", "data: 3", "data: {}", "a: [", "x: \0"])
def test_a_broken_configuration_is_named(tmp_path, text):
    run = RunFolder(tmp_path)
    run.config.write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        data_root(run)


def test_of_a_manifest_of_either_kind_the_folder_counts(run, tmp_path):
    for name in ("manifest.csv", "manifest.TSV"):
        assert image_folder(run, tmp_path / name) == tmp_path
