"""What a command may replace: its own older list or sheet, and nothing else."""

from __future__ import annotations

import pytest
from PIL import Image, PngImagePlugin

from uda.cli.replacing import check_list, check_picture
from uda.errors import UsageError
from uda.reporting.sheets import is_sheet, save_sheet

COLUMNS = ("path", "reason", "label")


def refused(check, place, message, **options):
    before = place.read_bytes() if place.is_file() else None
    with pytest.raises(UsageError, match=message):
        check(place, **options)
    assert (place.read_bytes() if place.is_file() else None) == before


@pytest.mark.parametrize("name", ["list.jpg", "list.xlsx", "list"])
def test_a_list_is_called_so(tmp_path, name):
    refused(
        check_list, tmp_path / name, "call it .csv", columns=COLUMNS, overwrite=True
    )


@pytest.mark.parametrize(
    "text", ["", "mine", "path,part,label,group,sha256\na,test,A,,\n", "\x89PNG\r\n"]
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_another_kind_of_file_stays(tmp_path, text, overwrite):
    place = tmp_path / "list.csv"
    place.write_text(text)
    words = "is no list of this command, so it stays"
    refused(check_list, place, words, columns=COLUMNS, overwrite=overwrite)


def test_an_older_list_goes_where_that_is_said_and_answers_stay(tmp_path):
    place = tmp_path / "list.csv"
    check_list(place, COLUMNS, overwrite=False, answers="label")
    place.write_text("path,reason,label\na.png,odd,\nb.png,odd, \n")
    refused(
        check_list, place, "or add --overwrite", columns=COLUMNS, overwrite=False,
        answers="label",
    )  # fmt: skip
    check_list(place, COLUMNS, overwrite=True, answers="label")
    place.write_text("path,reason,label\na.png,odd,Rust\nb.png,odd,\n")
    refused(
        check_list, place, "with 1 answers in its column 'label'", columns=COLUMNS,
        overwrite=True, answers="label",
    )  # fmt: skip


def test_a_photo_stays_and_a_sheet_goes(tmp_path):
    photo, sheet = tmp_path / "photo.png", tmp_path / "sheet.png"
    image = Image.new("RGB", (8, 8))
    other = PngImagePlugin.PngInfo()
    other.add_text("Software", "camera")
    image.save(photo, pnginfo=other)
    save_sheet(image, sheet)
    assert (is_sheet(photo), is_sheet(sheet)) == (False, True)
    check_picture(tmp_path / "new.png", overwrite=False)
    for overwrite in (True, False):
        refused(check_picture, photo, "so it stays", overwrite=overwrite)
    refused(check_picture, sheet, "or add --overwrite", overwrite=False)
    check_picture(sheet, overwrite=True)
    (tmp_path / "broken.png").write_bytes(sheet.read_bytes()[:20])
    assert not is_sheet(tmp_path / "broken.png")
