"""The order of cells, and where they lie."""

from __future__ import annotations

from tests.study.fakes import FakeStudy, right
from uda.study.cells import Cell, all_cells, fold_file
from uda.study.request import Planned
from uda.study.strategies import Strategy


def test_whole_folds_first_and_askers_after_those_they_ask(tmp_path):
    study = FakeStudy(tmp_path / "out")
    plan = [
        Planned(Strategy("asks", of="trains", tune="bias"), {}),
        Planned(Strategy("trains"), {}),
    ]
    cells = list(all_cells(study.request, plan))
    assert cells[:3] == [
        Cell("trains", 0, 0), Cell("asks", 0, 0), Cell("trains", 0, 1),
    ]  # fmt: skip
    assert len(cells) == len(set(cells)) == 12


def test_a_cell_is_finished_with_its_row(tmp_path):
    study = FakeStudy(tmp_path / "out")
    study.add("My way", right(1.0))
    cell = Cell("my-way", 1, 2)
    assert cell.folder(study.folder).name == "r1-f2"
    assert cell.row(study.folder)["seconds"] == 2.0
    assert Cell("my-way", 2, 0).row(study.folder) is None


def test_splits_of_shares_have_their_own_files(tmp_path):
    assert fold_file(tmp_path, 1, 2).name == "r1-f2.csv"
    assert fold_file(tmp_path, 1, 2, 0.25).name == "r1-f2-share0.25.csv"
