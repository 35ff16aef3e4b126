"""`uda policy audit`: what is printed and written, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.evaluation.fakes import make_run
from uda.augment.policy import load_policy
from uda.cli import main
from uda.data.records import scan
from uda.evaluation import evaluate
from uda.files import write_json
from uda.run import bundle as bundles

MINE = """\
name: mine
count: 1
ops:
  - {op: Invert}
  - {op: TranslateX, low: 0.5, high: 0.5}
  - {op: Brightness, low: 0.98, high: 1.02}
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    run = make_run(tmp_path, per_part=20)  # 10 groups of each class
    (run.folder / "policies").mkdir()
    (run.folder / "policies" / "strong.yaml").write_text(MINE)
    policy = load_policy(str(run.folder / "policies" / "strong.yaml"))
    prints = {"strong": {"name": "mine", "fingerprint": policy.fingerprint()}}
    write_json(run.folder / "policies" / "fingerprints.json", prints)
    # Imported before, since it takes the real function for good when it is.
    assert evaluate.load_bundle is bundles.load_bundle
    monkeypatch.setattr(bundles, "load_bundle", run.load_bundle)
    return run


def call(*words):
    words = ["policy", "audit", *(str(word) for word in words), "--draws", "2"]
    return CliRunner().invoke(main, words)


def test_the_runs_own_policy_by_default(fake):
    result = call(fake.folder)
    assert result.exit_code == 0, result.output
    text = result.stdout
    assert text.startswith("mine (the run's strong policy) on 60 images of the part ")
    assert "validation" in text.splitlines()[0]
    assert "never learned" not in result.stderr
    assert "These destroy a class for this model" in text
    assert "  Invert: Rust 0." in text or "  Invert: Dark 0." in text
    assert "Turns bright spots into dark ones" in text
    assert "  Brightness: " not in text
    assert "Rust: 20 images of 10 groups: a fall under 0.26" in result.stderr
    folder = fake.folder / "audit" / "mine"
    assert f"--strong {folder / 'mine-audited.yaml'}" in text
    names = {spec.name for spec in load_policy(str(folder / "mine-audited.yaml")).ops}
    assert "Invert" not in names
    assert "Brightness" in names
    assert (folder / "audit.png").read_bytes()[:4] == b"\x89PNG"


def test_the_test_part_is_not_read(fake):
    for path in fake.data.glob("*/test*"):
        path.unlink()
    result = call(fake.folder, "--data", fake.data)
    assert result.exit_code == 0, result.output
    assert not (fake.folder / "evaluation").exists()


def test_another_policy_and_folder(fake, tmp_path):
    result = call(fake.folder, "--policy", "defect-safe", "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("defect-safe on 60 images")
    assert "Note: the run was not trained with this policy" in result.stderr
    assert (tmp_path / "o" / "audit.csv").is_file()
    assert not (fake.folder / "audit").exists()
    mild = call(
        fake.folder, "--policy", "weak", "--out", tmp_path / "p", "--threshold", 0.5
    )
    assert "No op is surely above 0.5 for any class." in mild.stdout
    assert "--strong" not in mild.stdout


def test_a_model_that_knows_nothing_writes_no_policy(fake, monkeypatch):
    def load(folder, *, weights="ema"):
        bundle = fake.load_bundle(folder, weights=weights)
        bundle.model.levels.data[:] = 128.0  # every class is as likely
        return bundle

    monkeypatch.setattr(bundles, "load_bundle", load)
    result = call(fake.folder)
    assert result.exit_code == 0, result.output
    assert "No verdict on any class, and no policy is written" in result.stdout
    assert "Train longer" in result.stdout
    assert "--strong" not in result.stdout
    assert "gives it 0.33 on untouched images" in result.stderr
    assert not list((fake.folder / "audit" / "mine").glob("*.yaml"))


def write_boxes(fake, path):
    content = {"images": [], "annotations": [],
               "categories": [{"id": 1, "name": "Dent"}]}  # fmt: skip
    for number, image in enumerate(sorted(fake.data.glob("Rust/*.png"))):
        name = image.relative_to(fake.data).as_posix()
        content["images"].append(
            {"id": number, "file_name": name, "width": 12, "height": 20}
        )
        content["annotations"].append(
            {"id": number, "image_id": number, "category_id": 1,
             "bbox": [0, 0, 3, 5], "area": 15, "iscrowd": 0}
        )  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_boxes_show_what_stays_visible(fake, tmp_path):
    boxes = write_boxes(fake, tmp_path / "boxes.json")
    result = call(fake.folder, "--boxes", boxes)
    assert result.exit_code == 0, result.output
    # 20 of labelled and 20 of validation images; the 20 of the test part are left out.
    assert "Visible share of 40 defects at 16x16 px:" in result.stdout
    assert "smallest defect: 4.0 x 4.0 px" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    (moved,) = [r for r in rows if r[:1] == ["TranslateX"] and r[-1].endswith("%")]
    # Half of the moves push a box at the left edge out, the others leave it whole.
    assert 0.2 < float(moved[1]) < 0.8
    assert abs(float(moved[1]) + float(moved[2][:-1]) / 100 - 1) <= 0.011
    assert (fake.folder / "audit" / "mine" / "visibility.csv").is_file()


def test_another_audit_leaves_nothing_of_the_one_before(fake, tmp_path):
    boxes = write_boxes(fake, tmp_path / "boxes.json")
    out = tmp_path / "o"
    assert call(fake.folder, "--boxes", boxes, "--out", out).exit_code == 0
    (out / "own-audited.yaml").write_text("hflip: 0.5\n")
    names = {"audit.csv", "audit.png", "own-audited.yaml", ".uda-output"}
    assert {p.name for p in out.iterdir()} == names | {
        "mine-audited.yaml", "visibility.csv",
    }  # fmt: skip
    mild = call(fake.folder, "--out", out, "--threshold", 1)
    assert mild.exit_code == 0, mild.output
    assert "No op is surely above" in mild.stdout
    assert {p.name for p in out.iterdir()} == names
    # One of this name that nobody wrote here is nobody's to remove.
    (out / "mine-audited.yaml").write_text("hflip: 0.5\n")
    call(fake.folder, "--out", out, "--threshold", 1)
    assert {p.name for p in out.iterdir()} == names | {"mine-audited.yaml"}


def test_an_audit_beside_the_images_joins_no_class(fake):
    before = scan(fake.data)
    result = call(fake.folder, "--out", fake.data / "Rust" / "audit")
    assert result.exit_code == 0, result.output
    assert (fake.data / "Rust" / "audit" / "audit.png").is_file()
    assert scan(fake.data).records == before.records
    refused = call(fake.folder, "--out", fake.data / "Rust")
    assert refused.exit_code == 2
    assert "Rust: holds something else than an audit" in refused.stderr
    assert scan(fake.data).records == before.records
    again = call(fake.folder, "--out", fake.data / "Rust" / "audit")
    assert again.exit_code == 0, again.output


def test_boxes_that_cannot_be_used_are_told_before_the_work(fake, tmp_path):
    broken = tmp_path / "boxes.json"
    broken.write_text("{")
    program = tmp_path / "p.py"
    program.write_text("def augment(image, rng):\n    return image\n")
    for words, code in ((("--boxes", broken), 3),
                        (("--policy", program, "--boxes", broken), 2)):  # fmt: skip
        result = call(fake.folder, *words)
        assert result.exit_code == code
        assert "images of the part" not in result.stdout
        assert not (fake.folder / "audit").exists()


def test_mistakes(fake, tmp_path):
    assert call(tmp_path).exit_code == 3
    unknown = call(fake.folder, "--policy", "defect-save")
    assert unknown.exit_code == 2
    assert "did you mean 'defect-safe'" in unknown.stderr
    (tmp_path / "p.py").write_text("def augment(image, rng):\n    return image\n")
    program = call(
        fake.folder, "--policy", tmp_path / "p.py", "--boxes", tmp_path / "p.py"
    )
    assert program.exit_code == 2
    assert "--boxes needs a native policy" in program.stderr
    (fake.folder / "policies" / "strong.yaml").unlink()
    missing = call(fake.folder)
    assert missing.exit_code == 3
    assert "name one with --policy" in missing.stderr


def test_import_needs_neither_torch_nor_numpy():
    code = (
        "import sys, uda.cli.policy_audit; "
        "print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "set()"
