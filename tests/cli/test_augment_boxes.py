from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.offline.test_detection import files_of, make_set
from uda.cli import main
from uda.data.boxes.model import ReadRules
from uda.data.boxfiles import FORMATS, read_boxes
from uda.offline import boxcopies


def run(*args: object) -> Result:
    command = ["augment", "boxes", *map(str, args)]
    return CliRunner().invoke(main, command)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    sizes = {"a b.png": (50, 40), "deep/[bold]ü.png": (33, 61), "empty.png": (24, 24)}
    return make_set(tmp_path_factory.mktemp("data"), sizes)


def source(folder):
    return (folder / "annotations.json", "--images", folder / "images")


@pytest.mark.parametrize("kind", FORMATS)
def test_end_to_end_and_back(data, tmp_path, kind):
    out = tmp_path / "set"
    result = run(
        *source(data), "--policy", "defect-safe", "--copies", 2, "--out", out,
        "--format", kind,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for word in (
        "pit",
        "rust",
        "kept",
        f"coco -> {kind}",
        "preview.png (2 of 3 images)",
    ):
        assert word in result.stdout
    found, _ = read_boxes(out, ReadRules(images=out / "images"))
    assert len(found.images) == 9
    # The written set is a source like any other, back to COCO.
    back = tmp_path / "back"
    result = run(
        out, "--images", out / "images", "--copies", 0, "--out", back, "--format",
        "coco",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "images were not copied" in result.stderr
    again, _ = read_boxes(back, ReadRules(images=out / "images"))
    for first, second in zip(found.images, again.images, strict=True):
        assert first.path == second.path
        np.testing.assert_allclose(first.boxes, second.boxes, atol=1e-6)
        for a, b in zip(first.extras, second.extras, strict=True):
            assert a.items() <= b.items()


def test_the_format_that_was_read_is_the_default(data, tmp_path):
    converted = tmp_path / "yolo"
    run(*source(data), "--copies", 0, "--out", converted, "--format", "yolo")
    out = tmp_path / "more"
    result = run(
        converted, "--images", data / "images", "--policy", "weak", "--copies", 1,
        "--out", out, "--no-originals",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "yolo -> yolo" in result.stdout
    assert len(list((out / "labels").rglob("*.txt"))) == 3


def test_a_finished_folder_is_never_overwritten(data, tmp_path):
    args = (*source(data), "--policy", "weak", "--copies", 1, "--out", tmp_path / "o")
    assert run(*args).exit_code == 0
    before = files_of(tmp_path / "o")
    result = run(*args)
    assert result.exit_code == 0, result.output
    assert "is complete already" in result.stdout
    assert "nothing to do" in result.stdout
    assert files_of(tmp_path / "o") == before
    other = run(*args, "--seed", 3)
    assert other.exit_code == 2
    assert "--seed differs" in other.stderr
    assert files_of(tmp_path / "o") == before


def test_ctrl_c_says_how_far_it_came(data, tmp_path, monkeypatch):
    plain, left = boxcopies.atomic_write, [2]

    def stop(*args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        plain(*args)

    monkeypatch.setattr(boxcopies, "atomic_write", stop)
    result = run(
        *source(data), "--policy", "weak", "--copies", 1, "--out", tmp_path / "o"
    )
    assert result.exit_code == 130
    assert "(5 of 6 images are written): repeat the command to finish" in result.stderr


def test_killed_and_repeated_gives_the_same_files(data, tmp_path):
    """The process is killed the hard way while it writes copies."""
    code = (
        "import os, sys\n"
        "from uda.offline import boxcopies\n"
        "write, left = boxcopies.atomic_write, [3]\n"
        "def stop(*args):\n"
        "    left[0] -= 1\n"
        "    os.kill(os.getpid(), 9) if left[0] < 0 else write(*args)\n"
        "boxcopies.atomic_write = stop\n"
        "from uda.cli import main\n"
        "main()\n"
    )
    args = [
        *source(data), "--policy", "fixmatch", "--copies", 3, "--seed", 4, "--out",
    ]  # fmt: skip
    words = ["augment", "boxes", *map(str, args)]
    killed = subprocess.run(
        [sys.executable, "-c", code, *words, str(tmp_path / "cut")],
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr
    assert len(list((tmp_path / "cut/images").rglob("*_aug*.png"))) == 3
    assert run(*args, tmp_path / "cut").exit_code == 0
    assert run(*args, tmp_path / "whole").exit_code == 0
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("text", "moves"),
    [
        ("import albumentations as A\naugment = A.HorizontalFlip(p=1)\n", True),
        ("import imgaug.augmenters as iaa\naugment = iaa.Fliplr(1.0)\n", True),
        ("def augment(image, rng):\n    return image\n", False),
    ],
)
def test_python_policies(data, tmp_path, text, moves):
    mine = tmp_path / "mine.py"
    mine.write_text(text)
    args = (*source(data), "--policy", mine, "--copies", 1, "--no-originals")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run(*args, "--out", tmp_path / "o")
    if not moves:
        assert result.exit_code == 2
        assert "--pixels-only" in result.stderr
        assert not (tmp_path / "o").exists()
        assert run(*args, "--out", tmp_path / "o", "--pixels-only").exit_code == 0
    else:
        assert result.exit_code == 0, result.output
    found, _ = read_boxes(tmp_path / "o", ReadRules(images=tmp_path / "o/images"))
    first = next(image for image in found.images if image.path == "a b_aug0.png")
    expected = [35, 4, 47, 20] if moves else [3, 4, 15, 20]
    np.testing.assert_allclose(first.boxes[0], expected, atol=1e-4)
    view = np.asarray(Image.open(tmp_path / "o/images/a b_aug0.png"))
    original = np.asarray(Image.open(data / "images/a b.png"))
    assert (view == (original[:, ::-1] if moves else original)).all()


def test_what_a_library_drops_has_a_column_of_its_own(data, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import albumentations as A\n"
        'augment = A.Compose([A.Affine(translate_px={"x": -60}, p=1)])\n'
    )
    args = (*source(data), "--copies", 1, "--policy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run(*args, mine, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert "albumentations" in result.stdout
    content = json.loads((tmp_path / "o/report.json").read_text())
    assert content["classes"]["pit"]["dropped"] == {
        "outside": 0, "visibility": 0, "side": 0, "library": 2,
    }  # fmt: skip
    result = run(*args, "weak", "--out", tmp_path / "p")
    assert "albumentations" not in result.stdout


def test_options_without_effect_on_a_policy_are_refused(data, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("import albumentations as A\naugment = A.HorizontalFlip(p=1)\n")
    args = (*source(data), "--out", tmp_path / "o", "--policy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run(*args, mine, "--ellipse")
    assert result.exit_code == 2
    assert "--ellipse has no effect on a Python policy" in result.stderr
    result = run(*args, "weak", "--pixels-only")
    assert result.exit_code == 2
    assert "--pixels-only has no effect on a native policy" in result.stderr


def test_invalid_boxes_are_refused_or_repaired(data, tmp_path):
    text = "path,label,x0,y0,x1,y1\na b.png,pit,0.5,0.5,1.4,0.9\n"
    (tmp_path / "b.csv").write_text(text)
    args = (tmp_path / "b.csv", "--images", data / "images", "--copies", 0, "--out")
    result = run(*args, tmp_path / "o")
    assert result.exit_code == 3
    assert "line 2 (a b.png): the box" in result.stderr
    assert "--invalid repair" in result.stderr
    assert not (tmp_path / "o").exists()
    result = run(*args, tmp_path / "o", "--invalid", "repair")
    assert result.exit_code == 0, result.output
    assert "1 boxes reached out" in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--copies", "2"], 2, "copies need a --policy"),
        (["--copies", "0", "--policy", "weak"], 2, "--policy has no effect"),
        (["--copies", "0", "--min-side", "3"], 2, "--min-side has no effect"),
        (["--policy", "waek"], 2, "did you mean"),
        (["--policy", "weak", "--min-visibility", "2"], 2, "--min-visibility"),
        (["--policy", "weak", "--format", "csv"], 2, "--format"),
        (["--policy", "weak", "--voc-base", "1"], 2, "--voc-base has no effect"),
        (["--policy", "weak", "--out", "/dev/null/new"], 3, "Not a directory"),
    ],
)
def test_mistakes(data, tmp_path, args, code, message):
    result = run(*source(data), "--out", tmp_path / "o", *args)
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "o").exists()


def test_import_needs_neither_torch_nor_numpy():
    code = (
        "import sys, uda.cli.augment_boxes; "
        "print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "set()"
