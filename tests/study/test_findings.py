"""A study's numbers against brute force: scikit-learn, loops, another bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from tests.study.fakes import FakeStudy, right
from uda.data.splits import Split
from uda.intervals import corrected_t
from uda.study import findings
from uda.study.findings import MAIN, find


@pytest.fixture
def study(tmp_path):
    fake = FakeStudy(tmp_path / "out")
    fake.add("poor", right(0.3), seed=1)
    fake.add("fair", right(0.5), seed=2)
    fake.add("good", right(0.95), seed=3)
    return fake


def by_hand(answers, name, measure):
    """The mean over repeats of a measure of all answers of the repeat."""
    found = []
    for repeat in range(2):
        folds = [fold for fold in answers.shared(name) if fold[0] == repeat]
        true = answers.asked(folds, None).targets
        said = answers.predicted(name, folds)
        found.append(measure(true, said))
    return np.mean(found)


MEASURES = {
    "balanced_accuracy": balanced_accuracy_score,
    "macro_f1": lambda true, said: f1_score(true, said, average="macro"),
    "rarest_recall": lambda true, said: recall_score(true, said, average=None)[2],
    "escape": lambda true, said: np.mean(said[true != 0] == 0),
    "overkill": lambda true, said: np.mean(said[true == 0] != 0),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_values_are_those_of_the_pooled_answers(study, measure):
    answers = study.answers()
    findings = find(answers, reference="poor", good_class="Good")
    for row in findings.rows:
        wanted = by_hand(answers, row.name, MEASURES[measure])
        assert row.values[measure] == pytest.approx(wanted)
    first, second = (by_hand(answers, n, MEASURES[measure]) for n in ("good", "poor"))
    gap = findings.row("good").gaps[measure]
    assert gap.value == pytest.approx(first - second)


def test_the_interval_of_trainings_is_that_of_the_folds(study):
    answers = study.answers()
    gap = find(answers, reference="poor").row("good").gaps[MAIN]
    differences = []
    for fold in answers.shared("good"):
        true = answers.asked([fold], None).targets
        scores = [
            balanced_accuracy_score(true, answers.predicted(n, [fold]))
            for n in ("good", "poor")
        ]
        differences.append(scores[0] - scores[1])
    wanted = corrected_t(differences, 1 / 2)  # one fold held out, two trained on
    assert gap.trainings == pytest.approx(wanted.interval)
    assert gap.interval.low == min(gap.images.low, gap.trainings.low)
    assert gap.interval.high == max(gap.images.high, gap.trainings.high)


def test_validation_images_are_not_trained_on(study):
    """Fewer training images leave more room for other trainings."""
    before = find(study.answers(), reference="poor").row("good").gaps[MAIN]
    tested = trained = 0
    for path in (study.folder / "splits").iterdir():
        rows = Split.load(path).rows
        path.unlink()
        groups = sorted({row.group for row in rows if row.part == "labeled"})[::3]
        Split(
            tuple(
                replace(row, part="validation") if row.group in groups else row
                for row in rows
            )
        ).save(path)
        tested += len(Split.load(path).part("test"))
        trained += len(Split.load(path).part("labeled"))
    answers = study.answers()
    folds = answers.shared("good", "poor")
    assert answers.tested_to_trained(("good", "poor"), folds) == tested / trained
    gap = find(answers, reference="poor").row("good").gaps[MAIN]
    widths = [high - low for low, high in (gap.trainings, before.trainings)]
    wanted = np.sqrt((1 / 6 + tested / trained) / (1 / 6 + 1 / 2))
    assert widths[0] / widths[1] == pytest.approx(wanted)


def test_the_interval_of_images_is_that_of_another_bootstrap(study):
    pooled = study.answers()
    gap = find(pooled, reference="poor").row("good").gaps[MAIN]
    folds = pooled.shared("good")
    asked = pooled.asked(folds, None)
    said = [pooled.predicted(name, folds) for name in ("good", "poor")]
    random = np.random.default_rng(5)
    drawn = []
    members = {
        c: np.unique(asked.groups[asked.targets == c]).tolist() for c in range(3)
    }
    for _ in range(800):
        picked = [random.choice(groups, len(groups)) for groups in members.values()]
        rows = np.concatenate(
            [np.flatnonzero(asked.groups == g) for chosen in picked for g in chosen]
        )
        found = []
        for repeat in range(2):
            mine = rows[asked.repeats[rows] == repeat]
            true = asked.targets[mine]
            recalls = [
                [np.mean(answers[mine][true == c] == c) for c in range(3)]
                for answers in said
            ]
            found.append(np.mean(recalls[0]) - np.mean(recalls[1]))
        drawn.append(np.mean(found))
    wanted = np.quantile(drawn, (0.025, 0.975))
    assert gap.images == pytest.approx(tuple(wanted), abs=0.025)


def test_intervals_widen_with_the_number_of_comparisons(study):
    two = find(study.answers(), reference="poor").row("good").gaps[MAIN]
    assert two.joint.low < two.interval.low
    assert two.joint.high > two.interval.high


def test_the_chance_to_be_best_is_a_share_of_draws(study):
    findings = find(study.answers(), reference="poor")
    chances = {row.name: row.best for row in findings.rows}
    assert sum(chances.values()) == pytest.approx(1)
    assert chances["good"] > 0.95
    assert findings.compared == 2
    assert findings.optimism < 0.02  # nobody near: choosing gains nothing


def test_the_best_of_equals_is_optimistic(tmp_path):
    study = FakeStudy(tmp_path / "out")
    for number in range(8):
        study.add(f"s{number}", right(0.5), seed=number)
    findings = find(study.answers(), reference="s0")
    assert findings.optimism > 0.01


def test_twins_share_the_chance_and_differ_by_nothing(tmp_path):
    study = FakeStudy(tmp_path / "out")
    study.add("one", right(0.6), seed=4)
    study.add("other", right(0.6), seed=4)
    findings = find(study.answers(), reference="one")
    gap = findings.row("other").gaps[MAIN]
    assert gap.value == 0
    assert gap.joint == (0, 0)
    assert [row.best for row in findings.rows] == [0.5, 0.5]


def test_a_strategy_with_a_failed_cell_is_compared_on_what_it_has(tmp_path):
    study = FakeStudy(tmp_path / "out")
    study.add("whole", right(0.4), seed=1)
    study.add("part", right(1.0), lacking=[(0, 1)])
    study.add("none", right(1.0), lacking=[(r, f) for r in (0, 1) for f in range(3)])
    answers = study.answers()
    findings = find(answers, reference="whole")
    part, none = findings.row("part"), findings.row("none")
    common = answers.shared("whole", "part")
    asked = answers.asked(common, None)
    own = []
    for repeat in (0, 1):
        mine = asked.repeats == repeat
        said = answers.predicted("whole", common)[mine]
        own.append(balanced_accuracy_score(asked.targets[mine], said))
    assert part.gaps[MAIN].value == pytest.approx(1 - np.mean(own))
    assert (part.cells, part.failed, part.best) == (5, 1, None)
    assert (none.cells, none.failed, none.gaps, none.values) == (0, 6, {}, {})
    assert findings.finished == 18
    assert findings.compared == 1


def test_differences_of_shares_stay_possible():
    found = findings._resampled(np.array([-0.9, 0.8]), 0.5, 0.95)
    assert (found.low, found.high) == (-1.0, 1.0)
