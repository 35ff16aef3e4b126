"""``uda pretrain``: one file of weights, the next command, and what is refused."""

from __future__ import annotations

import shlex
import signal

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file

from tests.support.surfaces import write_surfaces
from uda.cli import main
from uda.models.backbones import build_backbone
from uda.models.weights import load_backbone_weights


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory):
    return write_surfaces(tmp_path_factory.mktemp("surfaces"))


@pytest.fixture
def quick(surfaces, tmp_path, monkeypatch):
    """The words of a short warm start; signals are given back to pytest."""
    before = {number: signal.getsignal(number) for number in (2, 15)}
    monkeypatch.setenv("UDA_CACHE", str(surfaces / "cache"))
    monkeypatch.chdir(tmp_path)
    yield (
        "pretrain", surfaces / "data", "--unlabeled", surfaces / "more", "--imgsz", 16,
        "--group", "none", "--threads", 1, "--steps", 3,
    )  # fmt: skip
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_next_command_it_names_runs(quick, tmp_path):
    done = call(*quick)
    assert done.exit_code == 0, done.output
    written, explained, following, caution = done.stdout.splitlines()
    assert written == "Written: runs/pretrain/trunk.safetensors"
    assert "images: a strong view explains " in explained
    # 16 of each class, without 3 for the test and 2 for validation; 20 others.
    assert explained.startswith("53 images: ")
    assert "--split" in caution
    words = shlex.split(following.removeprefix("Next: uda "))
    same_flags = [*quick[2:-2], "--steps", 2, "--batch", 4]
    at = words.index("…")
    words[at : at + 1] = same_flags
    trained = call(*words)
    assert trained.exit_code == 0, trained.output
    assert "0 missing, 0 unexpected" in trained.stderr
    assert "warm start:" not in trained.stderr  # the trunk has had it
    written = (tmp_path / "runs" / "pretrain").glob("[!.]*")
    assert [path.name for path in written] == ["trunk.safetensors"]


def test_the_file_fills_a_backbone_to_the_last_tensor(quick, tmp_path):
    assert call(*quick).exit_code == 0
    path = tmp_path / "runs" / "pretrain" / "trunk.safetensors"
    backbone = build_backbone("small", channels=1)
    assert load_file(path).keys() == backbone.state_dict().keys()
    report = load_backbone_weights(backbone, path)
    assert (report.missing, report.unexpected, report.ignored) == ((), (), ())


def test_the_same_command_gives_the_same_bytes(quick, tmp_path):
    first, second = call(*quick), call(*quick, "--workers", 2)
    assert "runs/pretrain2/trunk.safetensors" in second.stdout
    assert first.stdout.splitlines()[1] == second.stdout.splitlines()[1]
    assert call(*quick, "--seed", 1, "--out", "other.safetensors").exit_code == 0
    runs = tmp_path / "runs"
    one, two = (runs / name / "trunk.safetensors" for name in ("pretrain", "pretrain2"))
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != (tmp_path / "other.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_stopped_it_writes_nothing_and_says_so(
    quick, tmp_path, monkeypatch, number, code
):
    def at_the_second_step(unit="images"):
        def show(stage, done, total):
            if (stage, done) == ("pretraining", 2):
                signal.raise_signal(number)

        return show

    monkeypatch.setattr("uda.cli.pretrain.counter", at_the_second_step)
    done = call(*quick)
    assert done.exit_code == code
    assert "nothing was written" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--method", "texture"], "trains no network"),
        (["--weights", "w.safetensors"], "does not combine with --weights"),
        (["--model", "resnet18", "--pretrained"], "does not combine with --pretrained"),
        (["--tiles", "2x2", "--background", "Good"], "does not combine with --tiles"),
        (["--tiles", "2x2"], "does not combine with --tiles"),
        (["--good-class", "Good", "--independent"], "--independent"),
        (["--pretrain-steps", "5"], "--steps"),
        (["--set", "model.pretrain_steps=5"], "--steps"),
        (["--method", "supervised", "--threshold", "0.9"], "no effect"),
        (["--imgsz", "6"], "8 pixels"),
        (["--out", "trunk.pt"], ".safetensors"),
    ],
)
def test_what_it_does_not_take_is_refused(quick, tmp_path, words, hint):
    done = call(*quick, *words)
    assert done.exit_code == 2, done.output
    assert hint in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_data_is_told(quick):
    done = call("pretrain")
    assert done.exit_code == 2
    assert "uda pretrain DATA" in done.stderr


def test_a_texture_run_s_settings_are_refused_too(quick, tmp_path):
    (tmp_path / "settings.yaml").write_text("method: texture\n")
    done = call(*quick, "--config", "settings.yaml")
    assert done.exit_code == 2
    assert "trains no network" in done.stderr


def test_no_file_is_overwritten(quick, tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(b"dear to me")
    done = call(*quick, "--out", "mine.safetensors")
    assert done.exit_code == 2
    assert "name another file" in done.stderr
    assert (tmp_path / "mine.safetensors").read_bytes() == b"dear to me"
    assert "no folder" in call(*quick, "--out", "mine.safetensors/a.safetensors").stderr
    assert call(*quick, "--out", "new/mine.safetensors").exit_code == 0
    assert (tmp_path / "new" / "mine.safetensors").is_file()


def test_lr_find_starts_from_it(quick, tmp_path):
    assert call(*quick, "--out", "trunk.safetensors").exit_code == 0
    words = ["lr-find", *quick[1:-2], "--steps", 20, "--batch", 8]
    plain, warm = call(*words), call(*words, "--weights", "trunk.safetensors")
    assert warm.exit_code in (0, 1), warm.output  # 1: the loss fell at no rate
    one, two = (tmp_path / "runs" / name / "lr.csv" for name in ("lr-find", "lr-find2"))
    assert one.read_text() != two.read_text(), (plain.output, warm.output)


def test_a_place_that_leads_nowhere_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(tmp_path / "unmounted" / "disk")
    (tmp_path / "data").mkdir()
    done = CliRunner().invoke(main, ["pretrain", "data"])
    assert done.exit_code == 3
    assert "runs is no folder" in done.stderr
