"""Whole runs, small: what is written, stopped, resumed and refused."""

from __future__ import annotations

import errno
import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file

from uda.augment.policy import load_policy
from uda.data import pool
from uda.data.splits import Split
from uda.errors import CheckpointError, DataError, TrainingError, UsageError
from uda.files import folder_lock
from uda.run.bundle import load_bundle
from uda.run.layout import RunFolder, read_metrics
from uda.training import evaluate, loop
from uda.training.build import training_device
from uda.training.configfile import read_config_file
from uda.training.configure import build_config
from uda.training.launch import resume
from uda.training.monitor.grids import view_grid
from uda.training.monitor.progress import Progress
from uda.training.state import checkpoint_paths
from uda.training.step import Moment, training_step
from uda.training.stop import StopRequest


def weights(folder, name="ema"):
    return load_file(str(folder / "weights" / f"{name}.safetensors"))


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


class StopAt(StopRequest):
    """Asks to stop when the loop has looked ``step`` times."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def __bool__(self):
        self.left -= 1
        if self.left <= 0:
            self.signal = 15
        return self.signal is not None


def test_a_run_is_a_complete_folder(quick):
    folder, summary = quick()
    assert summary.state == "done"
    for name in (
        "config.yaml", "split.csv", "model.json", "env.json", "status.json",
        "results.csv", "metrics.jsonl", "policies/fingerprints.json",
        "weights/raw.safetensors", "weights/ema.safetensors",
    ):  # fmt: skip
        assert (folder / name).is_file(), name
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    by_tag = {tag for line in lines for tag in line}
    assert {"loss/supervised", "loss/consistency", "unlabeled/mask_rate"} <= by_tag
    config = build_config({}, read_config_file(folder / "config.yaml"))
    assert config.loop.steps == 6
    bundle = load_bundle(folder)
    assert bundle.classes == ("Good", "Rust", "Scratch")
    leaf = bundle.model(torch.zeros(2, 1, 16, 16, dtype=torch.uint8)).leaf
    assert leaf.shape == (2, 3)


def test_same_seed_same_weights_other_seed_other_weights(quick):
    first, _ = quick()
    again, _ = quick()
    other, _ = quick({"seed": 1})
    assert same(weights(first, "raw"), weights(again, "raw"))
    assert not same(weights(first, "raw"), weights(other, "raw"))


@pytest.mark.parametrize("step", [1, 3, 4])
def test_stopped_and_resumed_equals_uninterrupted(quick, step):
    whole, _ = quick()
    folder, summary = quick(stop=StopAt(step))
    assert summary.state == "interrupted"
    status = json.loads((folder / "status.json").read_text())
    assert status["state"] == "interrupted"
    assert status["step"] == summary.step < 6
    ended = resume(folder, workers=2, console=Progress(), stop=StopRequest())
    assert ended.state == "done"
    for name in ("raw", "ema"):
        assert same(weights(whole, name), weights(folder, name))
    assert journal(folder) == journal(whole)


def journal(folder):
    """Each line's step, and its losses: what does not depend on the clock."""
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    kept = [
        {k: v for k, v in line.items() if k.startswith(("step", "loss/", "val"))}
        for line in lines
    ]
    assert len(kept) >= 6
    return kept


def test_a_damaged_checkpoint_costs_its_steps_alone(quick, monkeypatch):
    whole, _ = quick()
    folder, _ = quick(stop=StopAt(5))
    newest, before = checkpoint_paths(folder / "checkpoints")[:2]
    raw = bytearray(newest.read_bytes())
    raw[len(raw) // 2] ^= 1
    newest.write_bytes(raw)
    assert before != newest
    told = []
    monkeypatch.setattr(Progress, "warn", lambda self, message: told.append(message))
    resume(folder, workers=0, console=Progress(), stop=StopRequest())
    assert any(newest.name in text for text in told)
    for name in ("raw", "ema"):
        assert same(weights(whole, name), weights(folder, name))
    assert journal(folder) == journal(whole)


def test_images_that_changed_are_not_gone_on_with(quick, surfaces, tmp_path):
    data = shutil.copytree(surfaces / "data", tmp_path / "data")
    folder, _ = quick({"data.root": str(data)}, stop=StopAt(3))
    first = Split.load(folder / "split.csv").part("labeled")[0].path
    with (data / first).open("ab") as stream:
        stream.write(b"x")
    before = checkpoint_paths(folder / "checkpoints")
    with pytest.raises(UsageError, match="have changed since the run began"):
        resume(folder, workers=0, console=Progress(), stop=StopRequest())
    assert checkpoint_paths(folder / "checkpoints") == before


def test_a_resumed_run_keeps_its_channels(quick, tmp_path, monkeypatch):
    """Whether images are grey is told by looking, and rules of that may change."""
    whole, _ = quick()
    folder, _ = quick(stop=StopAt(3))
    monkeypatch.setenv("UDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pool, "detect_channels", lambda files: (3, ""))
    ended = resume(folder, workers=None, console=Progress(), stop=StopRequest())
    assert ended.state == "done"
    assert same(weights(whole, "ema"), weights(folder, "ema"))


def test_a_resumed_run_reads_its_own_policies_as_they_are(quick, tmp_path):
    """A key that is refused in a file of today says nothing in an older copy."""
    (tmp_path / "mine.yaml").write_text("count: 1\nops: [{op: Invert}]\n")
    views = {"views.strong": str(tmp_path / "mine.yaml")}
    whole, _ = quick(views)
    folder, _ = quick(views, stop=StopAt(3))
    copy = folder / "policies" / "strong.yaml"
    copy.write_text(copy.read_text() + "order: geometry-last\n")
    with pytest.raises(DataError, match="order has no effect"):
        load_policy(str(copy))
    ended = resume(folder, workers=None, console=Progress(), stop=StopRequest())
    assert ended.state == "done"
    assert same(weights(whole, "ema"), weights(folder, "ema"))


def test_weight_zero_equals_supervised_training(quick):
    shared = {"loop.batch_norm": "separate", "consistency.start_share": 0.0}
    zero, _ = quick({**shared, "consistency.weight": 1e-300})
    plain, _ = quick({"method": "supervised"})
    assert same(weights(zero, "raw"), weights(plain, "raw"))


@pytest.mark.parametrize("name", ["mps", "mps:0"])
def test_a_device_without_double_precision_is_refused(name):
    with pytest.raises(UsageError, match=f"--device {name}: .*--device cpu, or cuda"):
        training_device(name)


def test_a_finished_run_is_not_resumed(quick):
    folder, _ = quick()
    with pytest.raises(UsageError, match="finished already"):
        resume(folder, workers=None, console=Progress(), stop=StopRequest())


def test_nan_loss_stops_with_step_files_and_checkpoint(quick, monkeypatch):
    plain = loop.training_step

    def poisoned(state, batches, config, moment, objective):
        parts, norm = plain(state, batches, config, moment, objective)
        if state.step == 5:
            parts = [parts[0]._replace(total=parts[0].total * float("nan"))]
        return parts, norm

    monkeypatch.setattr(loop, "training_step", poisoned)
    with pytest.raises(TrainingError, match=r"step 4: .*step-00000004\.pt.*png"):
        quick()


def test_out_of_memory_names_a_smaller_batch(quick, monkeypatch):
    def starved(*_args, **_kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(loop, "training_step", starved)
    with pytest.raises(TrainingError, match="--batch 3"):
        quick()


def test_dry_run_leaves_nothing_and_tells_the_time(quick, tmp_path, surfaces, capsys):
    from uda.training.launch import launch
    from uda.training.length import Length

    config = build_config(
        {
            "data.root": str(surfaces / "data"),
            "data.unlabeled": (str(surfaces / "more"),),
            "data.size": (16, 16),
            "loop.batch": 4,
            "loop.threads": 1,
        }
    )
    before = sorted(p.name for p in tmp_path.iterdir())
    summary = launch(
        config,
        Length(),
        project=tmp_path / "runs",
        name="x",
        console=Progress(),
        stop=StopRequest(),
        dry_run=True,
    )
    assert summary.state == "done"
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert re.search(r"^takes about \d+:\d\d$", capsys.readouterr().out, re.MULTILINE)


def test_a_dry_run_can_be_stopped(quick, tmp_path, capsys):
    _, summary = quick(stop=StopAt(1), dry_run=True)
    assert summary.state == "interrupted"
    assert "Dry run stopped; nothing was kept." in capsys.readouterr().out


def test_a_full_disk_ends_a_run_as_failed(quick, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "step-00000002.pt")

    monkeypatch.setattr("uda.training.save.checkpoint", full)
    with pytest.raises(OSError, match="No space left"):
        quick()
    status = json.loads((tmp_path / "runs" / "t" / "status.json").read_text())
    assert status["state"] == "failed"
    assert "No space left" in status["reason"]


@pytest.mark.parametrize("method", ["supervised", "texture"])
def test_the_baselines_make_runs_too(quick, method):
    folder, summary = quick({"method": method})
    assert summary.state == "done"
    leaf = load_bundle(folder).model(torch.zeros(1, 1, 16, 16, dtype=torch.uint8)).leaf
    assert leaf.shape == (1, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"consistency.weak_pass": "joint", "consistency.entropy_weight": 0.1},
        {"consistency.weak_pass": "no-grad"},
        {"loop.batch_norm": "frozen"},
        {"optimizer.accumulation": 2},
        {"loop.precision": "bf16"},
        {"optimizer.name": "adamw", "optimizer.lr": 1e-3},
        {"supervised.class_weights": "effective", "supervised.sampling_power": 1.0},
        {"model.name": "wrn-10-1", "model.frozen_steps": 2},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_choice_trains(quick, changes):
    _, summary = quick({"loop.steps": 4, **changes})
    assert summary.state == "done"


def test_moments_follow_the_schedules():
    config = build_config(
        {
            "loop.steps": 100,
            "supervised.tsa_share": 0.2,
            "consistency.start_share": 0.5,
            "consistency.ramp_share": 0.1,
        }
    )
    assert Moment.at(49, config).consistency_weight == 0
    assert Moment.at(54, config).consistency_weight == pytest.approx(0.5)
    assert Moment.at(60, config).consistency_weight == 1
    # Another head's loss rises alike, and knows nothing of the method's weight.
    for weight in (1.0, 50.0):
        of = config.consistency.model_copy(update={"weight": weight})
        heavy = config.model_copy(update={"consistency": of})
        moment = Moment.at(54, heavy, 0.5)
        assert moment.consistency_weight == pytest.approx(0.25 * weight)
        assert moment.penalty_weight == pytest.approx(0.25)
    assert Moment.at(10, config).tsa_progress == 0.5
    assert Moment.at(20, config).tsa_progress is None


def test_a_split_of_more_folders_than_given_names_the_way_out(quick, surfaces):
    folder, _ = quick()
    split = str(folder / "split.csv")
    with pytest.raises(DataError, match=r"@0/.*same --unlabeled folders"):
        quick({"data.split": split, "data.unlabeled": (), "data.group": None})


def test_a_misspelt_policy_leaves_no_run(quick, tmp_path):
    with pytest.raises(UsageError, match="defect-save"):
        quick({"views.strong": "defect-save"}, name="never")
    assert not (tmp_path / "runs" / "never").exists()


_BROKEN = "def augment(image, rng):\n    raise ValueError('broken')\n"


def test_a_policy_edited_since_is_told_of_and_a_new_run_advised(
    quick, tmp_path, capsys
):
    mine = tmp_path / "mine.py"
    mine.write_text(_BROKEN)
    with pytest.raises(DataError, match="broken"):
        quick({"views.strong": str(mine)})
    folder = (tmp_path / "runs" / "latest").resolve()
    with pytest.raises(CheckpointError, match=r"broken.*new run with `uda train`"):
        load_bundle(folder)
    for text, told in ((_BROKEN, 0), (_BROKEN + "# mended\n", 1)):
        mine.write_text(text)
        capsys.readouterr()
        with pytest.raises(DataError, match="broken"):
            resume(folder, workers=None, console=Progress(), stop=StopRequest())
        said = capsys.readouterr().err
        assert said.count(f"strong.py is the run's own copy; {mine} has") == told


def test_the_status_of_a_run_at_work_tells_its_step(quick, monkeypatch):
    seen, write = [], RunFolder.write_status

    def watched(self, state, **facts):
        seen.append((state, facts.get("step")))
        write(self, state, **facts)

    monkeypatch.setattr(RunFolder, "write_status", watched)
    quick({"loop.log_every": 2, "loop.save_every": 3})
    assert {("running", 2), ("running", 3), ("running", 4)} <= set(seen)
    assert seen[-1] == ("done", 6)


def test_a_run_that_trains_without_weights_yet_asks_to_wait(quick):
    folder, _ = quick()
    (folder / "weights" / "ema.safetensors").unlink()
    run = RunFolder(folder)
    run.write_status("running", step=4, steps=6)
    with (
        folder_lock(folder),
        pytest.raises(CheckpointError, match="step 4 or later of 6\\); wait for"),
    ):
        load_bundle(folder)
    with pytest.raises(CheckpointError, match="resume"):  # nobody holds it: killed
        load_bundle(folder)


def test_views_are_marked_by_what_taught_and_not_by_the_network(quick, monkeypatch):
    made, real = [], training_step

    def all_teach(*given):
        parts, norm = real(*given)
        if parts[-1].unlabeled is not None:
            ones = torch.ones_like(parts[-1].unlabeled.mask)
            found = parts[-1].unlabeled._replace(mask=ones)
            parts[-1] = parts[-1]._replace(unlabeled=found)
        return parts, norm

    def drawn(weak, strong, captions):
        made.extend(captions)
        return view_grid(weak, strong, captions)

    monkeypatch.setattr(loop, "training_step", all_teach)
    monkeypatch.setattr(evaluate, "view_grid", drawn)
    quick({"consistency.threshold": 0.99})
    assert made
    assert all(caption.endswith(" kept") for caption in made)


def test_a_run_killed_before_its_status_was_written_goes_on(quick):
    whole, _ = quick({"method": "supervised"}, name="whole")
    folder, _ = quick({"method": "supervised"}, stop=StopAt(3))
    (folder / "status.json").unlink()
    ended = resume(folder, workers=None, console=Progress(), stop=StopRequest())
    assert (ended.state, ended.step) == ("done", 6)
    assert same(weights(whole, "raw"), weights(folder, "raw"))


def test_neither_checkpoints_nor_evaluations_slow_the_steps_down(quick, monkeypatch):
    """By a clock that stands still but in what lies between the steps."""
    now = [0.0]

    def slow(function):
        def call(*args, **options):
            now[0] += 1000.0
            return function(*args, **options)

        return call

    def ticking():
        now[0] += 0.001
        return now[0]

    monkeypatch.setattr("uda.training.meter.perf_counter", ticking)
    monkeypatch.setattr(loop.save, "checkpoint", slow(loop.save.checkpoint))
    monkeypatch.setattr(loop.guard, "keep_warm_start", slow(loop.guard.keep_warm_start))
    monkeypatch.setattr(loop, "evaluate_state", slow(loop.evaluate_state))
    folder, _ = quick({"loop.save_every": 1, "loop.eval_every": 2})
    rates = [
        row["time/images_per_s"]
        for row in read_metrics(folder / "metrics.jsonl")
        if "time/images_per_s" in row
    ]
    assert len(rates) == 6
    assert min(rates) > 100  # a pause of 1,000 s would leave less than one
