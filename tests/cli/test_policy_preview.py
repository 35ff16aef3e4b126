"""`uda policy preview`: a picture, its options, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from uda.cli import main


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for label in ("Good", "[bold]Rust 字"):
        for number in range(4):
            path = tmp_path / "data" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng(number)
            Image.fromarray(rng.integers(0, 256, (30, 40), dtype=np.uint8)).save(path)
    return tmp_path / "data"


def call(*words):
    return CliRunner().invoke(main, ["policy", "preview", *map(str, words)])


def test_a_sheet_is_written_and_repeats_to_the_byte(data, tmp_path):
    result = call(data)
    assert result.exit_code == 0, result.output
    assert "Wrote preview.png (" in result.stdout
    first = (tmp_path / "preview.png").read_bytes()
    assert first[:4] == b"\x89PNG"
    call(data, "--out", "sub/again.png")
    assert (tmp_path / "sub" / "again.png").read_bytes() == first
    call(data, "--seed", "1")
    assert (tmp_path / "preview.png").read_bytes() != first


def test_options_change_the_sheet(data, tmp_path):
    whole = call(data, "--images", "4", "--size", "32x48", "--strong", "uda")
    assert "4 images" in whole.stdout
    short = call(data, "--images", "4", "--size", "32x48", "--no-ops", "--out", "b.png")
    assert short.exit_code == 0, short.output
    with Image.open("preview.png") as tall, Image.open("b.png") as flat:
        assert tall.height > flat.height
        assert tall.width >= flat.width


def test_a_policy_that_fails_on_these_images_is_named(data, tmp_path):
    (tmp_path / "mine.py").write_text("def augment(image, rng):\n    return image[0]\n")
    result = call(data, "--strong", "mine.py")
    assert result.exit_code == 3
    assert "mine.py: augment returned uint8 of shape" in result.stderr
    assert not (tmp_path / "preview.png").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 3, "nowhere"),
        (["data", "--strong", "defect-saf"], 2, "did you mean 'defect-safe'?"),
        (["data", "--out", "sheet.jpg"], 2, "end the name in .png"),
        (["data", "--size", "0"], 2, "is not a size"),
        (["data", "--boxes", "none.json"], 3, "none.json"),
    ],
)
def test_mistakes(data, words, code, message):
    result = call(*words)
    assert result.exit_code == code
    assert message in result.stderr


def test_much_padding_is_told_of_once(data):
    result = call(data, "--imgsz", "16x64", "--no-ops")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("Note: 67% of each image is grey padding") == 1
    squashed = call(data, "--imgsz", "16x64", "--no-ops", "--resize", "squash")
    assert "padding" not in squashed.stderr


def test_a_python_policy_says_why_there_are_no_captions(data, tmp_path, monkeypatch):
    details = []
    monkeypatch.setattr(
        "uda.reporting.views.draw_sheet",
        lambda blocks, **_: (
            details.extend(b.detail for b in blocks) or Image.new("L", (1, 1))
        ),
    )
    (tmp_path / "mine.py").write_text(
        "def augment(image, rng):\n    return 255 - image\n"
    )
    assert call(data, "--strong", "mine.py").exit_code == 0
    assert "only its code knows" in details[0]
