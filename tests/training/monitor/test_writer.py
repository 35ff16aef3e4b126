from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.browser.fake_run import CLASSES, write_fake_run
from uda.training.monitor.book import AlarmBook
from uda.training.monitor.diagnosis import check_recall
from uda.training.monitor.facts import Facts
from uda.training.monitor.progress import Progress
from uda.training.monitor.writer import RunWriter, recall_per_class, result_columns

ALL = {"scalars": 0, "images": 0, "tensors": 0, "histograms": 0}
Open = Callable[..., RunWriter]


@pytest.fixture
def open_writer(tmp_path: Path) -> Open:
    def make(start_step: int = 0, **options: Any) -> RunWriter:
        return RunWriter(
            tmp_path,
            classes=("Good", "a/b"),
            total_steps=100,
            start_step=start_step,
            console=Progress(stream=io.StringIO()),
            **options,
        )

    return make


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_run(tmp_path_factory.mktemp("runs") / "train")


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tb"), size_guidance=ALL)
    events.Reload()
    return events


def steps(events: EventAccumulator, tag: str) -> list[int]:
    return [event.step for event in events.Scalars(tag)]


def test_a_run_shows_everything_it_should(fake: Path) -> None:
    found = read(fake).Tags()
    per_class = ("Good", "Grind_Marks_fine", "Rust", "Scratch")
    wanted = {
        *("loss/total", "loss/supervised", "loss/consistency", "loss/entropy"),
        *("unlabeled/mask_rate", "labeled/tsa_threshold", "optimizer/lr"),
        *("optimizer/grad_norm", "time/images_per_s", "time/waiting_share"),
        *("val/balanced_accuracy", "val_ema/balanced_accuracy", "val/macro_f1"),
        *(f"unlabeled/pseudo_share/{tag}" for tag in per_class),
        *(f"labeled/kept_share/{tag}" for tag in per_class),
        *(f"{name}/recall/{tag}" for name in ("val", "val_ema") for tag in per_class),
        *("hparam/balanced_accuracy", "hparam/macro_f1"),
    }
    assert wanted <= set(found["scalars"])
    assert set(found["images"]) == {
        *("val/confusion_matrix", "val_ema/confusion_matrix"),
        *("unlabeled/views", "val_ema/worst_errors"),
    }
    tensors = set(found["tensors"])
    assert {f"val_ema/pr/{tag}" for tag in per_class} <= tensors
    assert {"config/text_summary", "alarms/text_summary"} <= tensors
    assert "custom_scalars__config__" in tensors
    assert {"_hparams_/session_start_info", "_hparams_/session_end_info"} <= set(
        read(fake).summary_metadata
    )


def test_one_event_file_so_that_tensorboard_reads_all_of_it(fake: Path) -> None:
    assert len(list((fake / "tb").iterdir())) == 1


def test_results_have_a_row_per_evaluation_with_both_weights(fake: Path) -> None:
    with (fake / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["0", "100", "200", "300", "400"]
    assert list(rows[0])[:3] == ["step", "epoch", "time[s]"]
    assert rows[2]["epoch"] == "40"
    assert rows[0]["loss/consistency"] == ""  # not there before it starts
    events = read(fake)
    for name in ("val/recall/Rust", "val_ema/balanced_accuracy", "loss/supervised"):
        written = {event.step: event.value for event in events.Scalars(name)}
        assert float(rows[-1][name]) == pytest.approx(written[400], rel=1e-5)


def test_resume_leaves_each_step_once(tmp_path: Path, open_writer: Open) -> None:
    with open_writer() as writer:
        for step in range(0, 60, 10):
            writer.scalars(step, {"loss/total": float(step)})
            evaluate(writer, step)
        writer.text("alarms", "old", 50)
    with open_writer(start_step=30) as writer:
        writer.scalars(30, {"loss/total": -30.0})
        evaluate(writer, 30)
        writer.scalars(40, {"loss/total": -40.0})
    events = read(tmp_path)
    assert steps(events, "loss/total") == [0, 10, 20, 30, 40]
    values = [event.value for event in events.Scalars("loss/total")]
    assert values == [0.0, 10.0, 20.0, -30.0, -40.0]
    assert steps(events, "val/balanced_accuracy") == [0, 10, 20, 30]
    images = events.Images("val/confusion_matrix")
    assert [image.step for image in images] == [0, 10, 20, 30]
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    scalars = [json.loads(line) for line in lines if "loss/total" in line]
    assert [row["step"] for row in scalars] == [0, 10, 20, 30, 40]
    times = [json.loads(line)["time"] for line in lines]
    assert times == sorted(times)
    with (tmp_path / "results.csv").open(newline="") as stream:
        assert [r["step"] for r in csv.DictReader(stream)] == ["0", "10", "20", "30"]


def test_a_cut_event_file_is_read_and_resumed(
    tmp_path: Path, open_writer: Open
) -> None:
    with open_writer() as writer:
        for step in range(10):
            writer.scalars(step, {"loss/total": float(step)})
    (file,) = (tmp_path / "tb").iterdir()
    file.write_bytes(file.read_bytes()[:-7])  # the last record, cut by a kill
    with open_writer(start_step=9) as writer:
        writer.scalars(9, {"loss/total": 99.0})
    events = read(tmp_path)
    assert steps(events, "loss/total") == list(range(10))
    assert events.Scalars("loss/total")[-1].value == 99.0


def test_nan_is_null_in_json_and_a_gap_in_tensorboard(
    tmp_path: Path, open_writer: Open
) -> None:
    with open_writer() as writer:
        writer.scalars(0, {"loss/total": math.nan, "a/b": math.inf})
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert row["loss/total"] is None
    assert row["a/b"] is None
    assert math.isnan(read(tmp_path).Scalars("loss/total")[0].value)


def test_empty_histograms_are_left_out(tmp_path: Path, open_writer: Open) -> None:
    with open_writer() as writer:
        writer.histogram(0, "empty", [])
        writer.histogram(0, "nothing finite", [math.nan, math.inf])
        writer.histogram(0, "one", [0.5, math.nan])
    assert read(tmp_path).Tags()["histograms"] == ["one"]


def test_pr_curves_need_a_positive_and_skip_unknown_targets(
    tmp_path: Path, open_writer: Open
) -> None:
    with open_writer() as writer:
        writer.evaluation(
            1,
            "val",
            {"balanced_accuracy": 1.0},
            confusion=[[1, 0], [0, 0]],
            targets=[0, -1],
            probs=np.array([[0.9, 0.1], [math.nan, math.nan]]),
        )
    events = read(tmp_path)
    assert [t for t in events.Tags()["tensors"] if "/pr/" in t] == ["val/pr/Good"]
    assert math.isnan(events.Scalars("val/recall/a_b")[0].value)


def test_hparams_are_written_once_and_flat(tmp_path: Path, open_writer: Open) -> None:
    with open_writer() as writer:
        parameters = {"size": (64, 64), "lr": 0.1, "none": None, "nan": math.nan}
        writer.hparams(parameters, {"balanced_accuracy": 0.5})
        with pytest.raises(RuntimeError, match="once"):
            writer.hparams({}, {})
    metadata = read(tmp_path).summary_metadata["_hparams_/session_start_info"]
    content = metadata.plugin_data.content
    assert b"[64, 64]" in content
    assert b"null" in content


def test_alarms_reach_console_tensorboard_and_callback(tmp_path: Path) -> None:
    console = io.StringIO()
    seen: list[list[dict[str, Any]]] = []
    with RunWriter(
        tmp_path,
        classes=("Good", "Rust"),
        total_steps=100,
        console=Progress(stream=console),
        alarms=AlarmBook(Facts(("Good", "Rust"), (0.5, 0.5), (50, 50), 100)),
        on_alarms=seen.append,
    ) as writer:
        for step in range(0, 100, 5):
            writer.scalars(step, {"unlabeled/mask_rate": 0.01})
        for step in range(100, 200, 5):
            writer.scalars(step, {"unlabeled/mask_rate": 0.6})
    assert console.getvalue().count("Warning: ") == 1
    assert "--threshold" in console.getvalue()
    assert [[alarm["key"] for alarm in alarms] for alarms in seen] == [
        ["mask-rate-low"],
        [],
    ]
    json.dumps(seen)
    assert len(read(tmp_path).Tensors("alarms/text_summary")) == 1


def test_evaluations_of_several_labels_reach_the_alarms(tmp_path: Path) -> None:
    """A class that is never found is told, in numbers under the tags of one label."""
    facts = Facts(("Good", "Rust"), (0.5, 0.5), (50, 50), 1000)
    with RunWriter(
        tmp_path,
        classes=("Good", "Rust"),
        total_steps=1000,
        console=Progress(stream=io.StringIO()),
        alarms=AlarmBook(facts, (check_recall,)),
    ) as writer:
        for step in range(100, 600, 100):
            for name in ("val", "val_ema"):
                writer.label_evaluation(
                    step, name, {"balanced_accuracy": 0.5, "macro_f1": 0.3}, [1.0, 0.0]
                )
            writer.scalars(step + 10, {"loss/total": 1.0})
        active = writer._alarms.active  # type: ignore[union-attr]
    assert [alarm.key for alarm in active] == ["labels-not-learned/Rust"]


def test_one_channel_pictures_and_class_values(
    tmp_path: Path, open_writer: Open
) -> None:
    with open_writer() as writer:
        writer.images(0, "grey", np.zeros((4, 6, 1), dtype=np.uint8))
        assert writer.class_values("g", [0.1, 0.2]) == {"g/Good": 0.1, "g/a_b": 0.2}
    image = read(tmp_path).Images("grey")[0]
    assert (image.height, image.width) == (4, 6)


def test_a_single_evaluation_is_on_disk_after_flush(
    tmp_path: Path, open_writer: Open
) -> None:
    with open_writer() as writer:
        writer.evaluation(5, "val", {"balanced_accuracy": 0.5}, confusion=np.eye(2))
        writer.flush()
        assert len((tmp_path / "results.csv").read_text().splitlines()) == 2
        writer.close()
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 2


def test_columns_are_stable_and_recall_is_nan_where_absent() -> None:
    assert result_columns(["A"])[-3:] == [
        "val_ema/balanced_accuracy",
        "val_ema/macro_f1",
        "val_ema/recall/A",
    ]
    recall = recall_per_class(np.array([[3, 1], [0, 0]]))
    assert recall[0] == 0.75
    assert math.isnan(recall[1])


def test_fake_run_can_be_resumed_over_itself(fake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(fake, copy)
    writer = RunWriter(
        copy,
        classes=CLASSES,
        total_steps=400,
        start_step=0,
        console=Progress(stream=io.StringIO()),
    )
    writer.scalars(0, {"loss/total": 7.0})
    writer.close()
    events = read(copy)
    assert [event.value for event in events.Scalars("loss/total")] == [7.0]


def evaluate(writer: RunWriter, step: int) -> None:
    for name in ("val", "val_ema"):
        metrics = {"balanced_accuracy": 0.5, "macro_f1": 0.5}
        writer.evaluation(step, name, metrics, confusion=[[1, 1], [1, 1]])
