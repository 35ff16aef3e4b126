"""Cost tables: any order of rows and columns, and errors that name the line."""

from __future__ import annotations

import numpy as np
import pytest

from uda.errors import DataError
from uda.evaluation.costs import (
    costs_from_json,
    costs_to_json,
    expected_costs,
    read_costs,
)

CLASSES = ("Good", "Rust", "Grind_Marks")
TABLE = """true,Rust,Good,Grind_Marks
Good,1,0,1.5
Grind_Marks,2,40,0
Rust,0,25,2
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "costs.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_rows_and_columns_go_by_name(written):
    wanted = ((0.0, 1.0, 1.5), (25.0, 0.0, 2.0), (40.0, 2.0, 0.0))
    assert read_costs(written(TABLE), CLASSES) == wanted
    spaced = "\ufeff" + TABLE.replace(",", " ; ").replace("true", "True")
    assert read_costs(written(spaced), CLASSES) == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("true", "class"), "costs.csv: the first line must name the columns true"),
        (("Good,1", "Good,-1"), "line 2, column Rust: '-1' is not a cost"),
        (("1.5", "1.5 EUR"), "line 2, column Grind_Marks: '1.5 EUR' is not a cost"),
        (("1.5", "inf"), "line 2, column Grind_Marks: 'inf'"),
        (("1.5", ""), "line 2, column Grind_Marks: '' is not a cost"),
        (("\nRust,", "\nrust,"), "line 4: row 'rust' is not a class"),
        (("\nRust,0,25,2", ""), "no row for Rust"),
        (("\nRust,", "\nGood,"), "line 4: a second row for Good"),
        (("Rust,Good,G", "Rust,unsure,G"), "line 1: column 'unsure' is not a class"),
        (("Rust,Good,G", "Rust,Rust,G"), "column rust comes twice"),
        (("0,25,2", "0,25"), "line 4: 3 cells where the header names 4"),
    ],
)
def test_what_is_wrong_is_named(written, change, message):
    with pytest.raises(DataError) as error:
        read_costs(written(TABLE.replace(*change)), CLASSES)
    assert message in str(error.value)
    assert "costs.csv" in str(error.value)


def test_a_missing_column(written):
    text = "true,Good,Rust\nGood,0,1\nRust,2,0\nGrind_Marks,2,2\n"
    with pytest.raises(DataError, match="line 1: no column for Grind_Marks"):
        read_costs(written(text), CLASSES)


def test_costs_that_decide_nothing(written):
    text = "true,Good,Rust\nGood,1,1\nRust,0,0\n"
    with pytest.raises(DataError, match="no answer is better"):
        read_costs(written(text), CLASSES[:2])


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_costs(tmp_path / "none.csv", CLASSES)


def test_expected_costs_known_answer():
    probs = np.array([[0.9, 0.1]])
    # Passed as good: 0.1 * 25; rejected: 0.9 * 1.
    found = expected_costs(probs, ((0.0, 1.0), (25.0, 0.0)))
    assert found == pytest.approx(np.array([[2.5, 0.9]]))


def test_json_goes_by_name():
    costs = ((0.0, 1.0), (25.0, 0.0))
    plain = costs_to_json(costs, ("Good", "Rust"))
    assert plain["Rust"]["Good"] == 25
    assert costs_from_json(plain, ("Rust", "Good")) == ((0.0, 25.0), (1.0, 0.0))
    assert costs_from_json({}, ("Rust", "Good")) == ()
