"""From files to suggestions: near copies, reasons in words, calibration."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data.test_detail import texture
from tests.evaluation.fakes import CLASSES, make_run, write_image
from uda.data.duplicates import Groups, Pair
from uda.errors import DataError
from uda.evaluation import suggesting
from uda.evaluation.decision import DecisionRule
from uda.evaluation.known import known_images
from uda.evaluation.suggesting import HEADER, suggest, write_suggestions
from uda.run.layout import RunFolder


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8(np.clip(np.rint(pixels), 0, 255))).save(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("suggesting"), per_part=4)


def ask(run, pile, budget=20, **options):
    bundle = run.load_bundle(run.folder)
    return suggest(
        bundle, known_images(RunFolder(run.folder)), [pile], budget, **options
    )


def test_of_near_copies_one_is_suggested_and_of_labelled_ones_none(run, tmp_path):
    rng = np.random.default_rng(0)
    pile = tmp_path / "pile"
    for number in range(6):
        pixels = texture(number, (100, 100))
        save(pile / f"a{number}.png", pixels)
        save(pile / f"b{number}.png", pixels + rng.normal(0, 2, pixels.shape))
    for name in ("a0", "b0", "a1"):  # of copies each is found beside one other alone
        for again in "xy":
            shutil.copy(pile / f"{name}.png", pile / f"{name}{again}.png")
    for number in range(10, 20):
        save(pile / f"c{number}.png", texture(number, (100, 100)))
    # Whoever has a label already is not asked about, nor is what is in the test.
    for place, source in enumerate(("Rust/labeled0.png", "Rust/test0.png")):
        (pile / f"known{place}.png").write_bytes((run.data / source).read_bytes())
    found = ask(run, pile, 100)
    names = [entry.record.path.removeprefix("@0/") for entry in found.chosen]
    assert not any(name.startswith("known") for name in names)
    for number in range(6):
        alike = [name for name in names if name[:2] in (f"a{number}", f"b{number}")]
        assert len(alike) == 1
    assert found.pile == 30
    parts = " ".join(found.left_out)
    assert "part labeled" in parts
    assert "part test" in parts


def test_copies_of_what_is_like_a_test_image_are_left_out(run, pile, monkeypatch):
    """The test image is like the first; that one has a copy."""

    def chained(records, **_):
        paths = tuple(record.path for record in records)
        test = next(i for i, path in enumerate(paths) if path == "Rust/test0.png")
        alike = [i for i, p in enumerate(paths) if p in ("@0/0.png", "@0/1.png")]
        first, copy = alike
        ids = np.arange(len(paths))
        ids[alike] = test
        pairs = (Pair(first, copy, "exact", 1.0), Pair(test, first, "near", 0.9))
        return Groups(paths, ids, pairs, ("",) * len(paths))

    monkeypatch.setattr("uda.evaluation.suggesting.find_groups", chained)
    found = ask(run, pile, 100)
    names = {entry.record.path for entry in found.chosen}
    assert names.isdisjoint({"@0/0.png", "@0/1.png"})
    assert found.left_out == {"shows the same as an image of the part test": 2}


@pytest.fixture
def alone(monkeypatch):
    """Nobody has kin: the search in the pixels takes seconds."""

    def nothing(records, **_):
        paths = tuple(record.path for record in records)
        return Groups(paths, np.arange(len(paths)), (), ("",) * len(paths))

    monkeypatch.setattr("uda.evaluation.suggesting.find_groups", nothing)


@pytest.fixture
def pile(tmp_path):
    for number in range(12):
        write_image(tmp_path / "pile" / f"{number}.png", CLASSES[number % 3], number)
    return tmp_path / "pile"


def test_each_image_says_why(run, pile, alone):
    found = ask(run, pile, 12)
    assert found.rare == ()
    for entry in found.chosen:
        if entry.kind == "unsure":
            assert (
                entry.reason == f"unsure between {entry.predicted} and {entry.other[0]}"
            )
            assert entry.other[1] <= entry.probability
        else:
            assert entry.kind == "novel"
            assert entry.reason.startswith("looks unlike anything labelled: ")
            assert entry.novelty > 1


def test_a_class_with_few_labels_is_named_with_their_number(run, pile, alone):
    known = known_images(RunFolder(run.folder))
    few = type(known)(
        known.records, known.parts, {"Dark": 20, "Good": 20, "Rust": 2}, known.hashes
    )
    bundle = run.load_bundle(run.folder)
    found = suggest(bundle, few, [pile], 3, reasons=["rare"])
    assert [name for name, _ in found.rare] == ["Rust"]
    reasons = {entry.reason for entry in found.chosen}
    assert reasons == {"maybe Rust, of which there are 2 labels"}


def test_a_class_rare_in_the_pile_alone_is_named_with_its_share(run, tmp_path, alone):
    for number in range(20):
        name = "Rust" if number == 7 else ("Dark", "Good")[number % 2]
        write_image(tmp_path / "p" / f"{number}.png", name, number, spread=3)
    (entry,) = ask(run, tmp_path / "p", 1, reasons=["rare"]).chosen
    assert entry.record.path == "@0/7.png"
    assert entry.reason == "maybe Rust, about 5% of the pile"


def test_a_rule_calibrates_what_is_told(run, pile, alone):
    plain = ask(run, pile, 12, reasons=["unsure"]).chosen
    soft = ask(
        run, pile, 12, reasons=["unsure"], rule=DecisionRule(CLASSES, 5.0)
    ).chosen
    before = {entry.record.path: entry.probability for entry in plain}
    after = {entry.record.path: entry.probability for entry in soft}
    assert all(after[path] <= before[path] for path in before)
    assert after != before


def test_a_rule_is_asked_under_its_own_views(run, pile, alone, monkeypatch):
    asked = []
    own = suggesting.ask

    def spied(*words, tta, **options):
        asked.append(tta.label)
        return own(*words, tta=tta, **options)

    monkeypatch.setattr(suggesting, "ask", spied)
    assert ask(run, pile, 12, rule=DecisionRule(CLASSES, tta="flips")).chosen
    assert asked == ["flips"]


def test_the_list_has_an_empty_column_for_labels(run, pile, alone, tmp_path):
    found = ask(run, pile, 4)
    write_suggestions(tmp_path / "s.csv", found.chosen)
    with (tmp_path / "s.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == HEADER
    assert {row["label"] for row in rows} == {""}
    assert {row["folder"] for row in rows} == {"pile"}


def test_a_pile_without_a_readable_image_is_an_error(run, tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match="none of the 1 images"):
        ask(run, tmp_path)
