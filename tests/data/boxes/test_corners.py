from __future__ import annotations

import pytest

from tests.data.boxes.helpers import rules, sample, write_files, write_images
from uda.data.boxes import corners
from uda.errors import DataError

HEADER = "path,label,x0,y0,x1,y1\n"


def read(folder, text):
    write_files(folder, {"boxes.csv": (HEADER + text).encode()})
    return corners.read(folder / "boxes.csv", rules(write_images(folder / "i")))


def test_reads_shares_and_images_without_boxes(tmp_path):
    found = read(tmp_path, "one.png,pit,0,0.25,0.5,1\nsub folder/empty.png,,,,,\n")
    assert found.images[0].boxes.tolist() == [[0, 12, 32, 48]]
    assert found.images[1].boxes.shape == (0, 4)


def test_cells_that_a_spreadsheet_would_run_are_defused_and_come_back(tmp_path):
    raw = corners.encode(sample())["boxes.csv"].decode()
    assert "\n'=1+1.png,pit," in raw
    assert ",'=Rost & <Zunder>," in raw
    found = read(tmp_path, raw.removeprefix(HEADER))
    assert found.images[3].path == "=1+1.png"
    assert "=Rost & <Zunder>" in {c.name for c in found.categories}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one.png,pit,0,0,0.5\n", "line 2"),
        ("one.png,pit,0,0,0.5,x\n", "line 2: .* must be numbers"),
        ("one.png,pit,0,0,0.5,\n", "line 2: .* must be numbers"),
        ("one.png,,0,0,0.5,1\n", "line 2: a box needs a label"),
        ("one.png,pit,0.5,0,0.2,1\n", "line 2 .*negative width"),
        ("one.png,pit,0,0,1,1\none.png,pit,0,0,nan,1\n", "line 3 .*not a finite"),
        ("one.png,pit,0,0,1.4,1\n", "line 2 .*reaches out"),
        ("one.png,pit,0,0,466,380\n", "line 2: corners are shares .* like pixels"),
        ('one.png,pit,0,0,"0,5",1\n', "line 2: .* as in 0.5"),
        ("gone.png,pit,0,0,1,1\n", "missing"),
        ("../one.png,pit,0,0,1,1\n", "stay inside"),
    ],
)
def test_faults_name_file_and_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_a_file_without_the_columns(tmp_path):
    (tmp_path / "boxes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="must name the columns path, label, x0"):
        corners.read(tmp_path / "boxes.csv", rules(tmp_path))
