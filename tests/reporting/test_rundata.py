"""Reading a run folder: what is there, what is not yet, what is damaged."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image

from tests.support.reports import HOSTILE, make_run
from uda.errors import CheckpointError, DataError
from uda.evaluation.evaluate import evaluate
from uda.evaluation.parts import split_part
from uda.reporting.results import write_evaluation
from uda.reporting.rundata import read_run
from uda.reporting.thumbnails import FILE, write_thumbnails
from uda.run.layout import RunFolder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = make_run(tmp_path_factory.mktemp("run"), HOSTILE)
    run = RunFolder(made.folder)
    bundles = {name: made.load_bundle(run.path, weights=name) for name in made.shifts}
    for part in ("validation", "test"):
        evaluation = evaluate(bundles, split_part(run, made.classes, part))
        write_evaluation(run.path / "evaluation" / part, evaluation)
        write_thumbnails(run.path / "evaluation" / part, evaluation, bundles["ema"])
    return made


def test_everything_that_is_there(made):
    run = read_run(RunFolder(made.folder))
    assert run.classes == HOSTILE
    assert [one.name for one in run.evaluations] == ["test", "validation"]
    test = run.evaluations[0]
    assert test.warm is not None
    assert test.warm.ids == test.predictions.ids
    assert test.pictures
    assert test.kept
    assert any(picture["maps"] for picture in test.pictures.values())
    assert run.skipped == [("bad<b>.png", "'=empty")]
    head, _, body = run.views.partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(body))).size == (60, 40)


def test_without_images(made):
    run = read_run(RunFolder(made.folder), images=False)
    assert run.views == ""
    assert not any(one.pictures for one in run.evaluations)


def test_a_run_that_has_just_begun(tmp_path):
    (tmp_path / "config.yaml").write_text("method: uda\n")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "a/b": 2}\n{"step": 2, "a')
    run = read_run(RunFolder(tmp_path))
    assert (run.classes, run.status, run.evaluations, run.views) == ((), {}, [], "")
    assert run.history == [{"step": 1, "a/b": 2}]


@pytest.mark.parametrize("text", ["- 1\n", "a: [", "just words\n"])
def test_a_configuration_that_is_none(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        read_run(RunFolder(tmp_path))


def test_thumbnails_that_lead_elsewhere_are_refused(made, tmp_path):
    path = made.folder / "evaluation" / "test" / FILE
    before = path.read_text()
    stored = json.loads(before)
    stored["pictures"][0]["image"] = "https://example.org/x.jpg"
    path.write_text(json.dumps(stored))
    with pytest.raises(DataError, match="pictures elsewhere"):
        read_run(RunFolder(made.folder))
    path.write_text(before)


def test_thumbnails_of_an_earlier_evaluation_are_not_shown(made):
    path = made.folder / "evaluation" / "validation" / FILE
    stored = json.loads(path.read_text())
    stored["pictures"][0]["id"] = "another.png"
    path.write_text(json.dumps(stored))
    run = read_run(RunFolder(made.folder))
    assert len(run.evaluations[1].pictures) == len(stored["pictures"]) - 1
