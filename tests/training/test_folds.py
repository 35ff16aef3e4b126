"""Fold trainings of a run: what they answer for, and that a killed one goes on."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.training.conftest import QUICK
from tests.training.test_loop import StopAt, same, weights
from uda.cli import main
from uda.data.records import scan
from uda.data.splitfile import ordered
from uda.data.splits import Split, make_split
from uda.errors import DataError, UsageError
from uda.evaluation.out_of_fold import OutOfFold
from uda.evaluation.predict import Predictions
from uda.run.layout import RunFolder, open_run
from uda.training import folds
from uda.training.configfile import read_config_file
from uda.training.configure import build_config
from uda.training.dealing import Dealing
from uda.training.folds import find_folded, launch_folds, resume_folds
from uda.training.length import Length
from uda.training.monitor.progress import Progress
from uda.training.plan import plan_words
from uda.training.prepare import build_parts
from uda.training.split import find_split
from uda.training.stop import StopRequest

TELL = {"tell": lambda found: [f"{found.images} images answered"]}


def train_folds(
    surfaces, project, changes=None, dealing=None, *, stop=None, name="f", **options
):
    """Train with folds; return the run and what was told."""
    keys = {
        **QUICK,
        "data.root": str(surfaces / "data"),
        "data.cache": str(surfaces / "cache"),
        "method": "supervised",
        **(changes or {}),
    }
    unused = {
        "supervised": ("consistency.",),
        "texture": ("consistency.", "loop.", "model."),
    }.get(keys["method"], ())
    keys = {k: v for k, v in keys.items() if v is not None}
    keys = {k: v for k, v in keys.items() if not k.startswith(unused)}
    told = io.StringIO()
    summary = launch_folds(
        build_config(keys),
        options.pop("length", Length()),
        dealing=dealing or Dealing(2),
        project=project,
        name=name,
        console=Progress(stream=told, results=told),
        stop=StopRequest() if stop is None else stop,
        **TELL,
        **options,
    )
    assert summary.state == ("done" if stop is None else "interrupted")
    return RunFolder(project / name), told.getvalue()


@pytest.fixture
def folded(surfaces, tmp_path):
    """Train with folds: folded({"key": value}, Dealing(2)) -> (RunFolder, output)."""
    return partial(train_folds, surfaces, tmp_path / "runs")


@pytest.fixture(scope="module")
def whole(surfaces, tmp_path_factory):
    """A run of two folds that nobody stopped."""
    return train_folds(surfaces, tmp_path_factory.mktemp("whole"))[0]


def resume_it(run, **options):
    console = Progress(stream=io.StringIO(), results=io.StringIO())
    options = {"workers": None, **TELL, **options}
    return resume_folds(run, console=console, stop=StopRequest(), **options)


def test_each_labelled_image_is_answered_once_by_a_training_that_never_saw_it(folded):
    run, told = folded(
        {"method": "uda", "data.unlabeled": None, "data.labels_per_class": 6},
        Dealing(2, 2),
    )
    split = Split.load(run.split)
    wanted = {r.path: r for p in ("labeled", "validation") for r in split.part(p)}
    found = OutOfFold.load(run.out_of_fold)
    assert sorted(found.predictions.ids) == sorted([*wanted, *wanted])
    assert found.repeats.tolist() == [0] * len(wanted) + [1] * len(wanted)
    names = found.predictions.names_of(found.predictions.targets)
    assert names == [wanted[path].label for path in found.predictions.ids]
    tested = {row.path for row in split.part("test")}
    for place, path in enumerate(found.predictions.ids):
        one = f"r{found.repeats[place]}-f{found.folds[place]}"
        rows = Split.load(run.folds / one / "split.csv").by_path
        assert rows[path].part == "test"
        assert not tested & set(rows)
    # The run itself trains on everything, and both kinds of file are there.
    assert open_run(run.path).read_status()["state"] == "done"
    assert Split.load(run.split) == split
    assert Predictions.load(run.out_of_fold).ids == found.predictions.ids
    with run.out_of_fold.with_suffix(".csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [row["path"] for row in table] == found.predictions.ids
    assert f"{len(wanted)} images answered" in told
    # Repeats differ in the deal and in the seed of the training.
    seeds = {
        name: read_config_file(run.folds / name / "config.yaml")["seed"]
        for name in ("r0-f0", "r1-f0")
    }
    assert seeds == {"r0-f0": 0, "r1-f0": 1}
    with pytest.raises(UsageError, match="finished"):
        resume_it(run)


def test_answers_are_those_of_the_fold_run_itself(whole):
    one = whole.folds / "r0-f1"
    assert CliRunner().invoke(main, ["evaluate", str(one)]).exit_code == 0
    theirs = Predictions.load(one / "evaluation" / "test" / "predictions.npz")
    ours = Predictions.load(one / "held_out.npz")
    assert theirs.ids == ours.ids
    np.testing.assert_allclose(theirs.log_probs, ours.log_probs, atol=1e-6)


@pytest.mark.parametrize(
    "polls", [11, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 18))]
)
def test_stopped_anywhere_and_resumed_equals_uninterrupted(whole, folded, polls):
    run, told = folded(stop=StopAt(polls), name="stopped")
    assert f"continue: uda resume {run.path}" in told
    assert find_folded(run.path) == find_folded(run.path.parent)
    resume_it(run)
    for name in ("folds/r0-f0", "folds/r0-f1", "."):
        for kind in ("raw", "ema"):
            one, other = (weights(r.path / name, kind) for r in (whole, run))
            assert same(one, other)
    files = [r.out_of_fold.with_suffix(".csv").read_bytes() for r in (whole, run)]
    assert files[0] == files[1]


def test_other_workers_are_those_of_all_that_is_left(folded, tmp_path, monkeypatch):
    asked = {}

    def begun(config, length, run, *rest, **options):
        asked[run.path.name] = config.loop.workers
        return begin(config, length, run, *rest, **options)

    begin = folds.begin
    run, _ = folded(stop=StopAt(11), name="w")
    monkeypatch.setattr(folds, "begin", begun)
    resume_it(run, workers=1)
    assert asked["w"] == 1
    assert set(asked.values()) == {1}
    run, _ = folded({"method": "texture"}, stop=StopAt(2), name="t")
    resume_it(run, workers=1)


def test_killed_before_a_fold_began_and_before_it_answered(
    whole, folded, tmp_path, monkeypatch
):
    begin, calls = folds.begin, []

    def killed(config, length, run, *rest, **options):
        calls.append(run.path.name)
        if len(calls) == 2:
            (run.path / "split.csv").write_text("half")
            raise KeyboardInterrupt
        return begin(config, length, run, *rest, **options)

    monkeypatch.setattr(folds, "begin", killed)
    with pytest.raises(KeyboardInterrupt):
        folded(name="killed")
    run = RunFolder(tmp_path / "runs" / "killed")
    (run.folds / "r0-f0" / "held_out.npz").unlink()
    resume_it(run)
    assert calls == ["r0-f0", "r0-f1", "r0-f1", "killed"]
    one, other = (r.out_of_fold.with_suffix(".csv").read_bytes() for r in (whole, run))
    assert one == other


def test_changed_images_are_no_folds_to_go_on_with(folded, surfaces, tmp_path):
    import shutil

    shutil.copytree(surfaces / "data", tmp_path / "data")
    run, _ = folded({"data.root": str(tmp_path / "data")}, stop=StopAt(4))
    path = next((tmp_path / "data" / "Good").glob("*.png"))
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(UsageError, match="have changed"):
        resume_it(run)


def test_a_budget_is_that_of_all_trainings_and_timed_once(folded, monkeypatch):
    asked = []

    def within(config, parts, seconds):
        asked.append(seconds)
        return 5

    monkeypatch.setattr("uda.training.length.steps_within", within)
    run, _ = folded({"loop.steps": None}, Dealing(2), length=Length(budget=30.0))
    assert asked == [10.0]
    for name in ("folds/r0-f0", "folds/r0-f1", "."):
        assert open_run(run.path / name).read_status()["steps"] == 5


def test_texture_too_and_what_it_hands_over(folded):
    run, _ = folded({"method": "texture", "data.size": (24, 24)}, Dealing(3))
    found = OutOfFold.load(run.out_of_fold)
    assert set(found.kinds) == {"texture"}
    assert (found.predictions.predicted == found.predictions.targets).mean() > 0.4


def test_texture_stops_between_two_folds(folded):
    whole, _ = folded({"method": "texture"}, Dealing(3))
    run, told = folded({"method": "texture"}, Dealing(3), stop=StopAt(2), name="s")
    assert f"continue: uda resume {run.path}" in told
    assert (run.folds / "r0-f0" / "held_out.npz").is_file()
    assert not (run.folds / "r0-f1").exists()
    resume_it(run)
    one, other = (r.out_of_fold.with_suffix(".csv").read_bytes() for r in (whole, run))
    assert one == other


@pytest.mark.parametrize("method", ["supervised", "texture"])
def test_what_has_curves_can_be_watched(surfaces, tmp_path, method):
    keys = {"data.root": str(surfaces / "data"), "data.group": "none"}
    config = build_config({**keys, "data.size": (16, 16), "method": method})
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    told = replace(parts.pool, notes=("12 files could hold colour",))
    parts = replace(parts, pool=told)
    *before, last = plan_words(config, parts, RunFolder(tmp_path)).splitlines()
    assert "12 files could hold colour" in before
    watch = f"; watch: uda monitor {tmp_path}" if method == "supervised" else ""
    assert last == f"run folder {tmp_path}{watch}"


def test_what_becomes_of_the_pixels_of_large_files_is_said(surfaces, monkeypatch):
    keys = {"data.root": str(surfaces / "data"), "data.group": "none"}
    config = build_config({**keys, "data.size": (16, 16), "method": "supervised"})
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    with Image.open(catalog.records[0].file) as image:
        side = max(image.size)
    words = plan_words(config, parts, None)
    assert ("become one" in words) == (side >= 32)
    monkeypatch.setattr("uda.training.plan.usual_side", lambda _: 2000)
    words = plan_words(config, parts, None)
    assert "have 2000 pixels along the longer side, so 125 become one" in words
    assert "fewer than 1000 is nearly gone" in words


def test_a_dry_run_says_how_many_trainings_and_how_long(folded, tmp_path):
    _, told = folded(dealing=Dealing(4, 2), dry_run=True)
    assert "9 trainings of about 0:" in told
    assert not (tmp_path / "runs").exists()
    _, told = folded(
        {"method": "texture"}, dealing=Dealing(4, 2), dry_run=True, name="t"
    )
    assert "9 trainings of seconds each" in told


def test_refused_before_a_folder_is_made(surfaces, folded, tmp_path):
    with pytest.raises(DataError, match="99 folds"):
        folded(dealing=Dealing(99))
    with pytest.raises(UsageError, match="out of fold"):
        folded({"data.pseudo_labels": "p.csv"})
    few = "5 validation images of each class.*fewer of"
    with pytest.raises(UsageError, match=few):
        folded(
            {
                "method": "uda",
                "consistency.prior": "estimate",
                "data.unlabeled": (str(surfaces / "more"),),
            }
        )
    assert not (tmp_path / "runs").exists()


def test_coarse_labels_train_in_every_fold_and_are_asked_in_none(surfaces, folded):
    lines = ["path,label,group"]
    for kind in ("Good", "Rust", "Scratch"):
        for n in range(16):
            label = "Defect" if kind == "Rust" and n < 4 else kind
            lines.append(f"{kind}/{kind}{n:02d}.png,{label},{kind}{n}")
    manifest = surfaces / "data" / "coarse.csv"
    manifest.write_text("\n".join(lines))
    run, _ = folded({"data.root": str(manifest), "model.good_class": "Good"})
    manifest.unlink()
    coarse = {r.path for r in Split.load(run.split).part("labeled")
              if r.label == "Defect"}  # fmt: skip
    assert len(coarse) == 4
    for fold in range(2):
        rows = Split.load(run.folds / f"r0-f{fold}" / "split.csv").by_path
        assert {rows[path].part for path in coarse} == {"labeled"}
    assert not coarse & set(OutOfFold.load(run.out_of_fold).predictions.ids)
    base = json.loads((run.folds / "folds.json").read_text())
    assert base["folds"] == 2


def test_labels_that_were_given_to_the_pile_are_held_out_too(
    surfaces, folded, tmp_path
):
    scanned = scan(surfaces / "data", unlabeled=[surfaces / "more"])
    split, _ = make_split(scanned, {})
    rows = [
        replace(row, part="labeled", label="Rust") if row.path == "@0/u001.png" else row
        for row in split.rows
    ]
    Split(ordered(rows)).save(tmp_path / "s.csv")
    run, _ = folded({
        "method": "texture",
        "data.unlabeled": (str(surfaces / "more"),),
        "data.split": str(tmp_path / "s.csv"), "data.group": None,
    })  # fmt: skip
    found = OutOfFold.load(run.out_of_fold)
    assert "@0/u001.png" in found.predictions.ids
    # Its picture and its label are at hand; a manifest cannot name it.
    out = tmp_path / "doubts.csv"
    result = CliRunner().invoke(
        main, ["relabel", str(run.path), "--top", "60", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert "not in the picture" not in result.output
    lines = out.read_text().splitlines()
    out.write_text("\n".join([lines[0], *(line + "Good" for line in lines[1:])]))
    applied = CliRunner().invoke(main, ["relabel", str(run.path), "--apply", str(out)])
    assert applied.exit_code == 3
    assert "labels would be lost" in applied.output
    assert not (surfaces / "data" / "relabelled.csv").exists()


def test_a_view_of_the_folder_that_one_is_in_is_named(surfaces, tmp_path, monkeypatch):
    """A folder of received images may hold a program under the default's name."""
    keys = {"data.root": str(surfaces / "data"), "data.group": "none"}
    config = build_config({**keys, "data.size": (16, 16), "method": "supervised"})
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    (tmp_path / "policies").mkdir()
    file = tmp_path / "policies" / f"{config.views.labeled}.py"
    file.write_text("def augment(image, rng):\n    return image\n")
    words = f"labeled view: policies/{file.name}, of the folder that you are in"
    assert words not in plan_words(config, parts, None)
    monkeypatch.chdir(tmp_path)
    assert words in plan_words(config, parts, None).splitlines()


def test_an_unlabelled_image_may_have_had_a_class_that_is_gone(surfaces, tmp_path):
    """Its label is known for a comparison alone."""
    keys = {"data.root": str(surfaces / "data"), "data.group": "none"}
    config = build_config({**keys, "data.size": (16, 16), "method": "supervised"})
    catalog, split, _ = find_split(config)
    held = replace(split.part("labeled")[0], part="unlabeled", label="Gone")
    others = [row for row in split.rows if row.path != held.path]
    parts = build_parts(config, catalog, replace(split, rows=(*others, held)))
    row = parts.pool.index[held.path]
    assert parts.hidden[row] == -1
    assert row not in parts.labeled


def test_an_average_of_the_random_start_is_told(surfaces):
    """0.9999 of the recipe `paper` after 1,000 steps is 0.905 of where it began."""
    keys = {
        "data.root": str(surfaces / "data"), "data.group": "none",
        "data.size": (16, 16), "method": "supervised", "loop.steps": 1000,
        "loop.ema_decay": 0.9999, "loop.ema_warmup": False,
    }  # fmt: skip
    config = build_config(keys)
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    words = "90% of the averaged network will still be its start"
    assert words in plan_words(config, parts, None)
    for key, value in (("loop.ema_warmup", True), ("loop.ema_decay", 0.99)):
        other = build_config({**keys, key: value})
        assert "be its start" not in plan_words(other, parts, None)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"model.frozen_steps": 9}, True),
        ({"model.frozen_steps": 9, "model.pretrain_steps": 3}, False),
        ({"model.frozen_steps": 9, "model.weights": "w.safetensors"}, False),
        ({}, False),
    ],
)
def test_a_frozen_trunk_that_learned_nothing_is_told(surfaces, keys, told):
    data = {"data.root": str(surfaces / "data"), "data.group": "none"}
    config = build_config({**data, "data.size": (16, 16), "method": "supervised"})
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    words = plan_words(
        build_config({**data, "method": "supervised", **keys}), parts, None
    )
    assert ("stands still for 9 steps, and is a random one" in words) is told
