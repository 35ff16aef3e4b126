"""Files in blocks: every file once, in order, broken ones with their reason."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.fakes import CLASSES, Brightness, make_run, write_image
from uda.evaluation.files import predict_files
from uda.evaluation.predict import predict_pool


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


def test_equals_the_pool_path_and_keeps_order(fake, tmp_path):
    preprocessing = fake.load_bundle(fake.folder).preprocessing
    files = [(path.name, path) for path in sorted(fake.data.rglob("*.png"))]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n")
    files.insert(5, ("broken", broken))
    files.append(("missing", tmp_path / "none.png"))
    calls = []
    blocks = list(
        predict_files(
            {"one": Brightness(), "two": Brightness(60)},
            files,
            classes=CLASSES,
            preprocessing=preprocessing,
            batch=4,
            progress=lambda *a: calls.append(a),
        )
    )
    errors = [error for block in blocks for error in block.errors]
    assert [i for i, error in enumerate(errors) if error] == [5, len(files) - 1]
    assert [block.start for block in blocks] == list(range(0, len(files), 16))
    assert calls[-1] == ("predict", len(files), len(files))
    good = [entry for entry, error in zip(files, errors, strict=True) if error is None]
    images = np.stack([preprocessing.read(path) for _, path in good])
    for name, shift in (("one", 0.0), ("two", 60.0)):
        found = [block.predictions[name] for block in blocks]
        ids = [image for predictions in found for image in predictions.ids]
        assert ids == [image for image, _ in good]
        expected = predict_pool(
            Brightness(shift), images, range(len(good)), ids=ids, classes=CLASSES
        )
        log_probs = np.concatenate([predictions.log_probs for predictions in found])
        assert log_probs == pytest.approx(expected.log_probs, abs=1e-5)


def test_a_block_of_broken_files_and_no_files(fake, tmp_path):
    preprocessing = fake.load_bundle(fake.folder).preprocessing
    options = {"classes": CLASSES, "preprocessing": preprocessing}
    (tmp_path / "a.jpg").write_text("text")
    found = list(
        predict_files({"m": Brightness()}, [("a", tmp_path / "a.jpg")], **options)
    )
    assert found[0].errors[0]
    assert found[0].predictions["m"].ids == []
    assert list(predict_files({"m": Brightness()}, [], **options)) == []


def test_one_image_alone(fake, tmp_path):
    write_image(tmp_path / "a.png", "Rust", 3)
    found = list(
        predict_files(
            {"m": Brightness()},
            [("a", tmp_path / "a.png")],
            classes=CLASSES,
            preprocessing=fake.load_bundle(fake.folder).preprocessing,
        )
    )
    assert found[0].predictions["m"].predicted.tolist() == [2]
