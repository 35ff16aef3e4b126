"""A study's files say the same numbers; and the reference is found."""

from __future__ import annotations

import csv
import json

import pytest

from tests.study.fakes import FakeStudy, right
from uda.errors import UsageError
from uda.study.findings import MAIN
from uda.study.report import (
    keep_view,
    last_view,
    reference_of,
    report_study,
    write_report,
)
from uda.study.request import Planned
from uda.study.strategies import Strategy


@pytest.fixture
def study(tmp_path):
    fake = FakeStudy(tmp_path / "out")
    fake.add("=poor", right(0.3), seed=1)
    fake.add("good", right(0.95), seed=3)
    return fake


def report(study, **options):
    found = report_study(
        study.folder, study.request, study.plan, study.split, **options
    )
    write_report(study.folder, found)
    return found


def test_table_text_and_facts_agree(study):
    found = report(study, good_class="Good")
    with (study.folder / "table.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["strategy"] for row in rows] == ["'=poor", "good"]
    gap = found.findings.row("good").gaps[MAIN]
    assert float(rows[1][f"{MAIN}_gap"]) == pytest.approx(gap.value)
    assert float(rows[1][f"{MAIN}_low"]) == pytest.approx(gap.interval.low)
    assert rows[0][f"{MAIN}_gap"] == ""
    text = (study.folder / "verdict.txt").read_text()
    assert text == found.text
    assert "good gains" in text
    assert "To train in the end: good" in text
    assert "the test part was not read" in text
    facts = json.loads((study.folder / "verdict.json").read_text())
    assert facts["lines"] == found.lines
    assert facts["rows"][1]["gaps"][MAIN]["interval"] == list(gap.interval)
    assert facts["rows"][1]["standing"] == "gain"
    assert {"escape", "overkill"} <= set(facts["measures"])
    assert facts["cells"] == [12, 12]


def test_no_escape_without_a_good_class(study):
    report(study)
    header = (study.folder / "table.csv").read_text().splitlines()[0]
    assert "escape" not in header


def test_a_good_class_that_is_none(study):
    with pytest.raises(UsageError, match="choose one of Good, Rust, Scratch"):
        report(study, good_class="Gold")


def test_the_reference_is_the_first_supervised_one_or_the_named_one():
    plan = [
        Planned(Strategy("texture"), {"method": "texture"}),
        Planned(Strategy("plain"), {"method": "supervised"}),
        Planned(Strategy("other"), {"method": "supervised"}),
    ]
    assert reference_of(plan, None) == "plain"
    assert reference_of(plan, "other") == "other"
    assert reference_of(plan[:1], None) == "texture"
    with pytest.raises(UsageError, match="not a strategy; choose one of texture"):
        reference_of(plan, "plane")


def test_what_was_asked_is_known_before_there_is_a_report(tmp_path):
    assert last_view(tmp_path) == (None, None)
    keep_view(tmp_path, "plain", "Good")
    assert last_view(tmp_path) == ("plain", "Good")
    (tmp_path / "verdict.json").write_text('{"reference": "other"}')
    assert last_view(tmp_path) == ("other", None)
