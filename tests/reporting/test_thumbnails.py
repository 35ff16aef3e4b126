"""Thumbnails: the right images, the right cells, bounded, absent on request."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.fakes import CLASSES, make_run
from uda.evaluation.evaluate import evaluate
from uda.evaluation.parts import split_part
from uda.evaluation.predict import Predictions
from uda.evaluation.saliency import TEXTURE
from uda.reporting import thumbnails
from uda.run.layout import RunFolder


def answers(targets, log_probs, link="softmax") -> Predictions:
    names = [f"{row}.png" for row in range(len(targets))]
    classes = ("a", "b", "c")
    return Predictions(
        names, np.array(targets), np.float32(np.log(log_probs)), classes, link
    )


# True class and probabilities; right: rows 0, 1, 5; unknown: row 6.
SIX = answers(
    [0, 0, 0, 1, 2, 1, -1],
    [
        [0.9, 0.05, 0.05],
        [0.5, 0.3, 0.2],
        [0.1, 0.6, 0.3],
        [0.8, 0.1, 0.1],
        [0.7, 0.2, 0.1],
        [0.2, 0.7, 0.1],
        [0.98, 0.01, 0.01],
    ],
)


def test_the_worst_errors_come_by_confidence():
    assert thumbnails.worst_rows(SIX) == [3, 4, 2]
    assert thumbnails.asked_classes(SIX, 3) == [0, 1]


def test_cells_are_those_of_the_confusion_matrix():
    cells = thumbnails.cells(SIX)
    assert cells == {(0, 0): [1, 0], (0, 1): [2], (1, 0): [3], (2, 0): [4], (1, 1): [5]}
    assert thumbnails.chosen_rows(SIX, [3, 4, 2]) == [3, 4, 2, 1, 5, 0]


def test_cells_of_several_labels_are_missed_and_false():
    found = answers(
        [[1, 0, 1], [0, 0, 0], [-1, -1, -1]],
        [[0.2, 0.1, 0.9], [0.1, 0.7, 0.2], [0.9, 0.9, 0.9]],
        "sigmoid",
    )
    assert thumbnails.cells(found) == {(0, 0): [0], (1, 1): [1]}
    assert thumbnails.asked_classes(found, 0) == [0]
    assert thumbnails.asked_classes(found, 1) == [1]


@pytest.fixture
def written(tmp_path):
    fake = make_run(tmp_path)
    bundle = fake.load_bundle(fake.folder, weights="raw")  # shifted, so it errs
    images = split_part(RunFolder(fake.folder), CLASSES, "test")
    return tmp_path, bundle, evaluate({"raw": bundle}, images)


def load(folder):
    return json.loads((folder / thumbnails.FILE).read_text(encoding="utf-8"))


def picture(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_pictures_are_small_copies_of_the_images(written):
    folder, bundle, evaluation = written
    thumbnails.write_thumbnails(folder, evaluation, bundle)
    stored = load(folder)
    predictions = evaluation.predictions["raw"]
    assert stored["kept"]
    assert len(stored["pictures"]) > 3
    for entry in stored["pictures"]:
        image = picture(entry["image"])
        assert image.size == (160, 160)
        assert entry["id"] == predictions.ids[entry["row"]]
        path = dict(evaluation.images.files)[entry["id"]]
        assert np.asarray(image).mean() == pytest.approx(
            np.asarray(Image.open(path)).mean(), abs=2
        )
    wrong = [p["row"] for p in stored["pictures"] if predictions.wrong[p["row"]]]
    assert wrong[:3] == thumbnails.worst_rows(predictions)[:3]


def test_the_number_and_the_size_are_bounded(written, monkeypatch):
    folder, bundle, evaluation = written
    monkeypatch.setattr(thumbnails, "MOST", 4)
    thumbnails.write_thumbnails(folder, evaluation, bundle)
    assert len(load(folder)["pictures"]) == 4
    monkeypatch.setattr(thumbnails, "MAX_BYTES", 9_000)
    thumbnails.write_thumbnails(folder, evaluation, bundle)
    assert (folder / thumbnails.FILE).stat().st_size < 10_000


def test_none_are_kept_on_request(written):
    folder, bundle, evaluation = written
    thumbnails.write_thumbnails(folder, evaluation, bundle)
    thumbnails.write_thumbnails(folder, evaluation, bundle, wanted=False)
    assert load(folder) == {"kept": False, "pictures": []}


def test_a_model_without_maps_says_why(written):
    folder, bundle, evaluation = written
    model = bundle.model
    bundle = replace(bundle, model=lambda images: model(images), kind="texture")
    thumbnails.write_thumbnails(folder, evaluation, bundle)
    stored = load(folder)
    assert stored["no_maps"] == TEXTURE
    assert all(entry["maps"] == [] for entry in stored["pictures"])


def test_a_file_that_is_gone_meanwhile_is_left_out(written):
    folder, bundle, evaluation = written
    for _, path in evaluation.images.files:
        path.unlink()
    thumbnails.write_thumbnails(folder, evaluation, bundle)
    assert load(folder)["pictures"] == []


def test_a_map_colours_where_it_is_strong():
    image = np.full((40, 40, 1), 100, dtype=np.uint8)
    strength = np.zeros((4, 4), dtype=np.float32)
    strength[0, 0] = 1
    found = thumbnails.overlay(image, strength).astype(int)
    assert (found[30:, 30:] == 100).all()
    assert np.ptp(found[2, 2]) > 30
