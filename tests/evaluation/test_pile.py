"""A pile of unlabelled images: what it holds, what a model says, how lists name it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.fakes import Brightness
from uda.data.preprocessing import Preprocessing
from uda.data.records import Record
from uda.errors import DataError
from uda.evaluation.pile import ask, listed, pile_records, unnameable
from uda.evaluation.tta import NO_TTA
from uda.run.bundle import Bundle

QUIET = {"tta": NO_TTA, "device": "cpu", "threads": 1, "progress": None}


@pytest.fixture
def pile(tmp_path):
    """Eleven images from dark to bright in two folders; the fourth is broken."""
    for number in range(11):
        folder = tmp_path / ("one" if number < 6 else "two")
        folder.mkdir(exist_ok=True)
        image = np.full((8, 8), 20 * number, np.uint8)
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    (tmp_path / "one" / "03.png").write_bytes(b"no image")
    return tmp_path


def bundle_of(folder):
    preprocessing = Preprocessing((8, 8), 1, "squash", None, (0.5,), (0.2,))
    names = ("Dark", "Good", "Rust")
    return Bundle("network", Brightness(), names, preprocessing, folder)


def test_images_are_called_by_the_place_of_their_folder(pile):
    records = pile_records([pile / "two", pile / "one"])
    assert [r.path for r in records[:2]] == ["@0/06.png", "@0/07.png"]
    assert records[5].path == "@1/00.png"
    assert records[5].file == pile / "one" / "00.png"
    (pile / "three").mkdir()
    with pytest.raises(DataError, match="--unlabeled"):
        pile_records([pile / "three"])


@pytest.mark.parametrize("batch", [1, 64])  # in three blocks, and in one
def test_a_broken_image_shifts_no_answer(pile, batch):
    records = pile_records([pile / "one", pile / "two"])
    found = ask(bundle_of(pile), records, batch=batch, **QUIET)
    assert found.readable == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert [*found.errors] == [3]
    assert found.predictions.ids == [records[i].path for i in found.readable]
    for row, place in enumerate(found.readable):
        alone = ask(bundle_of(pile), [records[place]], batch=1, **QUIET)
        np.testing.assert_array_equal(
            alone.predictions.log_probs[0], found.predictions.log_probs[row]
        )


def test_a_pile_of_broken_images_is_an_error(pile):
    broken = [record for record in pile_records([pile / "one"]) if "03" in record.path]
    with pytest.raises(DataError, match="none of the 1 images"):
        ask(bundle_of(pile), broken, batch=4, **QUIET)


def test_names_that_no_list_can_hold_and_names_that_a_spreadsheet_would_run():
    home = Path("/lists")
    inside = Record("@0/=1.png", home / "pile", prefix="@0/")
    outside = Record("@1/a.png", Path("/else"), prefix="@1/")
    broken = Record("@1/\udcff.png", Path("/else"), prefix="@1/")
    assert listed(inside, home) == ("./=1.png", "pile")
    assert listed(outside, home) == ("a.png", "/else")
    assert [*unnameable([inside, outside, broken])] == [2]
