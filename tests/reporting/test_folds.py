from __future__ import annotations

import pytest

from tests.evaluation.test_out_of_fold import pooled
from uda.reporting.folds import fold_block, fold_lines


def test_every_number_has_its_place():
    found = pooled(
        ([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], 0, 0, 0),
        ([0, 0, 1], [0, 0, 1], 0, 1, 5),
        ([0, 0, 0, 1, 1], [0, 0, 0, 1, 1], 1, 0, 0),
        ([0, 0, 1], [0, 0, 0], 1, 1, 5),
    )
    text = "\n".join(fold_lines(found))
    assert "8 labelled images of 8 groups" in text
    assert "(2 folds, 2 times)" in text
    assert "Good        5       5  0.900 (0.381-0.997)" in text
    # Recalls 2/3 and 1/2; all right twice; 1 and 0 of the last.
    assert "by training: 0.583 1.000 1.000 0.500" in text
    assert "mean 0.771, standard deviation 0.267 of 4" in text
    assert "handed over by the trainings: network 2, texture 2" in text


def test_networks_alone_and_a_single_training_go_without_saying():
    text = "\n".join(fold_lines(pooled(([0, 1], [0, 1], 0, 0, 0))))
    assert "handed over" not in text
    assert "by training" not in text


def test_the_report_gets_the_same_numbers():
    found = pooled(
        ([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], 0, 0, 0),
        ([0, 0, 1], [0, 0, 1], 0, 1, 5),
    )
    block = fold_block(found)
    assert block["words"].startswith("8 labelled images of 8 groups in 2 folds; each")
    name, overall = block["overall"]
    # By hand: 4 of 5 and 2 of 3 are found.
    assert (name, overall.value) == ("balanced accuracy", pytest.approx(11 / 15))
    rows = [(n, images, recall.value) for n, images, _, recall in block["classes"]]
    assert rows == [("Good", 5, 0.8), (rows[1][0], 3, pytest.approx(2 / 3))]
