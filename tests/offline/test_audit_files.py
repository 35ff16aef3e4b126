"""What an audit reads (never the test part) and what it leaves behind."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest

from tests.evaluation.fakes import CLASSES, make_run
from uda.augment.policy import OpSpec, Policy, load_policy
from uda.data.splits import Split
from uda.errors import CheckpointError, DataError
from uda.files import write_json
from uda.offline.audit import Images, audit_policy
from uda.offline.audit_files import (
    choose_images,
    draw_audit,
    file_name,
    not_trained_with,
    read_images,
    write_audit,
)
from uda.run.layout import RunFolder

POLICY = Policy(
    "mine",
    ops=(OpSpec("Invert"), OpSpec("Brightness", 0.98, 1.02), OpSpec("Posterize", 1, 1)),
    count=2, probability=0.5, cutout=1.0,
)  # fmt: skip


@pytest.fixture
def fake(tmp_path):
    return make_run(tmp_path)


def measured(fake):
    run = RunFolder(fake.folder)
    bundle = fake.load_bundle(fake.folder)
    chosen, _ = choose_images(run, CLASSES, None)
    images, _ = read_images(chosen, bundle.preprocessing, per_class=100)
    # Each image its own group: the fake run's pairs are too few for a verdict.
    alone = [str(i) for i in range(len(images.targets))]
    images = Images(images.pixels, images.targets, alone, images.fill)
    return audit_policy(bundle.model, POLICY, images, CLASSES, draws=2)


def test_the_validation_part_is_read_and_never_the_test_part(fake):
    chosen, notes = choose_images(RunFolder(fake.folder), CLASSES, None)
    assert all("validation" in name for name, _ in chosen.files)
    assert len(chosen.files) == 24
    assert not chosen.reads_test
    assert notes == []


def test_labelled_images_where_there_is_no_validation(fake):
    split = Split.load(fake.folder / "split.csv")
    kept = tuple(row for row in split.rows if row.part != "validation")
    (fake.folder / "split.csv").unlink()
    Split(kept).save(fake.folder / "split.csv")
    chosen, notes = choose_images(RunFolder(fake.folder), CLASSES, fake.data)
    assert all("labeled" in name for name, _ in chosen.files)
    assert "the labelled training images are used" in notes[0]
    (fake.folder / "split.csv").unlink()
    with pytest.raises(CheckpointError, match=r"split\.csv: missing"):
        choose_images(RunFolder(fake.folder), CLASSES, None)


def test_a_policy_that_the_run_was_not_trained_with_is_told(fake):
    run = RunFolder(fake.folder)
    policy = load_policy("defect-safe")
    assert "never learned" in not_trained_with(run, policy)[0]
    run.policies.mkdir()
    prints = {"strong": {"name": "x", "fingerprint": policy.fingerprint()}}
    write_json(run.policies / "fingerprints.json", prints)
    assert not_trained_with(run, policy) == []
    assert not_trained_with(run, load_policy("weak")) != []
    run.config.write_text("method: supervised\n")  # it never made a strong view
    assert not_trained_with(run, policy) != []


def test_images_are_read_as_the_model_sees_them(fake):
    chosen, _ = choose_images(RunFolder(fake.folder), CLASSES, None)
    preprocessing = fake.load_bundle(fake.folder).preprocessing
    images, notes = read_images(chosen, preprocessing, per_class=3)
    assert images.pixels.shape == (9, 16, 16, 1)
    assert np.bincount(images.targets).tolist() == [3, 3, 3]
    assert images.fill.tolist() == [128]
    assert "at most 3 images of each class" in notes[0]
    files = dict(chosen.files)
    whole, _ = read_images(chosen, preprocessing, per_class=99)
    for row, name in enumerate(sorted(files, key=lambda n: n)):
        assert np.array_equal(whole.pixels[row], preprocessing.read(files[name]))


def test_unreadable_images_are_named(fake):
    chosen, _ = choose_images(RunFolder(fake.folder), CLASSES, None)
    preprocessing = fake.load_bundle(fake.folder).preprocessing
    chosen.files[0][1].write_bytes(b"broken")
    images, notes = read_images(chosen, preprocessing, per_class=99)
    assert len(images.targets) == 23
    assert "1 images cannot be decoded" in notes[0]
    for _, path in chosen.files:
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="no labelled image can be decoded"):
        read_images(chosen, preprocessing, per_class=99)


def test_the_written_policy_loads_lacks_the_ops_and_says_why(fake, tmp_path):
    audit = measured(fake)
    assert {"Invert", "cutout"} <= {cell.element for cell in audit.harmful}
    path = write_audit(tmp_path / "out", audit, POLICY)
    narrowed = load_policy(str(path))
    assert path.name == "mine-audited.yaml"
    assert narrowed.name == "mine-audited"
    assert [spec.name for spec in narrowed.ops] == ["Brightness"]
    assert narrowed.cutout == 0.0
    assert (narrowed.count, narrowed.probability) == (2, 0.5)
    text = path.read_text()
    worst = next(c for c in audit.harmful if c.element == "Invert")
    assert "#   Invert: Turns bright spots into dark ones" in text
    assert (
        f"#     {worst.label}: fall {worst.fall:.2f} ({worst.interval.low:.2f} to "
        f"{worst.interval.high:.2f}), 8 images"
    ) in text


def test_table_and_figure(fake, tmp_path):
    audit = measured(fake)
    write_audit(tmp_path / "out", audit, POLICY)
    with (tmp_path / "out" / "audit.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(audit.elements) * 3
    for row, cell in zip(rows, audit.cells, strict=True):
        assert (row["element"], row["class"]) == (cell.element, cell.label)
        assert float(row["fall"]) == pytest.approx(cell.fall, abs=1e-4)
        assert float(row["fall_low"]) == pytest.approx(cell.interval.low, abs=1e-4)
        assert row["harmful"] == ("yes" if cell.harmful else "no")
    png = (tmp_path / "out" / "audit.png").read_bytes()
    assert png[:4] == b"\x89PNG"
    write_audit(tmp_path / "again", audit, POLICY)
    assert (tmp_path / "again" / "audit.png").read_bytes() == png


def test_cells_without_a_verdict_are_hatched_and_explained(fake, tmp_path):
    audit = measured(fake)
    assert "?" not in draw_audit(audit, "mine").get_suptitle()
    dumb = [
        dataclasses.replace(c, interval=None, harmful=False, known=False)
        if c.label == "Rust"
        else c
        for c in audit.cells
    ]
    audit = dataclasses.replace(audit, cells=tuple(dumb))
    assert audit.judged == ["Dark", "Good"]
    figure = draw_audit(audit, "mine")
    assert figure.get_suptitle().endswith("? = no verdict")
    axes = figure.axes[0]
    assert len(axes.patches) == len(audit.elements)
    assert all(patch.get_hatch() for patch in axes.patches)
    path = write_audit(tmp_path / "out", audit, POLICY)
    assert "# No verdict on: Rust." in path.read_text()


def test_without_harm_no_policy_is_written(fake, tmp_path):
    run = RunFolder(fake.folder)
    bundle = fake.load_bundle(fake.folder)
    chosen, _ = choose_images(run, CLASSES, None)
    images, _ = read_images(chosen, bundle.preprocessing, per_class=100)
    policy = Policy("mild", hflip=0.5)
    audit = audit_policy(bundle.model, policy, images, CLASSES, draws=1)
    assert write_audit(tmp_path / "out", audit, policy) is None
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".uda-output", "audit.csv", "audit.png",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written(fake, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_audit(tmp_path / "file", measured(fake), POLICY)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("uda", "uda"), ("../../etc/x", "etc_x"), ("a b: Öl", "a_b_Öl"), ("/", "policy")],
)
def test_a_policys_name_stays_in_its_folder(name, expected):
    assert file_name(Policy(name)) == expected
