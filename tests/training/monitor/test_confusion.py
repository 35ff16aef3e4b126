from __future__ import annotations

import numpy as np
import pytest

from uda.training.monitor.confusion import confusion_figure


def is_blue(pixel: np.ndarray) -> bool:
    return int(pixel[2]) > int(pixel[0]) + 60


def test_full_recall_is_a_blue_diagonal() -> None:
    picture = confusion_figure(np.diag([5, 5, 5]), ["a", "b", "c"])
    mask = (picture == (8, 81, 156)).all(axis=2)
    rows, columns = np.nonzero(mask)
    # The blue region falls from top left to bottom right, and fills three cells.
    assert np.corrcoef(rows, columns)[0, 1] > 0.85
    assert not (picture == (203, 65, 11)).all(axis=2).any()


def test_errors_are_orange() -> None:
    picture = confusion_figure(np.array([[0, 4], [4, 0]]), ["a", "b"])
    assert (picture == (203, 65, 11)).all(axis=2).sum() > 1000
    assert not any(is_blue(pixel) for pixel in picture.reshape(-1, 3)[::7])


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_any_number_of_classes_and_odd_names(size: int) -> None:
    names = [f"<b>&{'x' * 80}\n\udcff{i}" for i in range(size)]
    picture = confusion_figure(
        np.zeros((size, size), dtype=np.int64), names, title="val, step 0"
    )
    assert picture.dtype == np.uint8
    assert picture.shape[0] * picture.shape[1] < 2_000_000
