"""Evaluations in words, against counts that are plain to see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from uda.evaluation.metrics import measure
from uda.evaluation.multilabel import measure_labels
from uda.evaluation.predict import Predictions
from uda.reporting import sentences
from uda.reporting.rundata import Evaluated, RunData

RUN = RunData(
    Path("r"), {"method": "uda"}, "", ("Good", "Rust"), "network", {}, {}, [], None, [],
    None, [], "", 1,
)  # fmt: skip


def answers(targets, said, classes=("Good", "Rust")) -> Predictions:
    log_probs = np.full((len(said), len(classes)), np.log(0.2), dtype=np.float32)
    log_probs[np.arange(len(said)), said] = np.log(0.8)
    names = [f"{n}.png" for n in range(len(said))]
    return Predictions(names, np.array(targets), log_probs, classes)


def evaluated(predictions, warm=None, good=None, name="test") -> Evaluated:
    main = measure(predictions, good_class=good, draws=50).to_json()
    weights = {"ema": main}
    facts = {"main_weights": "ema", "weights": weights, "images": len(predictions.ids)}
    facts["groups"] = list(range(len(predictions.ids)))
    return Evaluated(name, facts, predictions, warm)


TEN = answers([0] * 10 + [1] * 10, [0] * 8 + [1] * 2 + [1] * 9 + [0])


BLIND = [0] * 8 + [1] * 2 + [0] * 10  # to Rust, and else like TEN


def test_of_each_defect_how_much_is_found():
    text = sentences.answer(evaluated(TEN, good="Good"))
    assert text == (
        "Of 20 images in the test part the model finds 90% (9 of 10; 55% to 100%) of "
        "Rust"
    )
    both = sentences.answer(evaluated(TEN, name="data-new"))
    assert "“data-new”" in both
    assert "80% (8 of 10; 44% to 97%) of Good and 90%" in both


def test_many_classes_are_summed_up():
    classes = tuple(f"k{n}" for n in range(8))
    found = answers(list(range(8)) * 2, list(range(8)) + [0] * 8, classes)
    text = sentences.answer(evaluated(found))
    assert "finds 56% of the images of a class, on average over 8 classes" in text
    assert "least of k1 50% (1 of 2;" in text


def test_costs():
    escape, overkill = sentences.rates(evaluated(TEN, good="Good"))
    assert escape[0].startswith("10% (1 of 10; 0.3% to 45%) of the defective parts")
    assert overkill[0].startswith("20% (2 of 10;")
    assert not escape[1]
    assert not overkill[1]  # not above
    assert sentences.costs(evaluated(TEN, good="Good"), RUN) == ""
    worse = evaluated(answers([0] * 10 + [1] * 10, [0] * 7 + [1] * 13), good="Good")
    assert [bad for _, bad in sentences.rates(worse)] == [False, True]
    assert "marked ▾: above 20%" in sentences.costs(worse, RUN)
    assert sentences.rates(evaluated(TEN)) == []
    assert "--good-class CLASS" in sentences.costs(evaluated(TEN), RUN)


@pytest.mark.parametrize(
    ("warm", "start"),
    [
        (BLIND, "Better than its own warm start"),
        ([0] * 19 + [1], "Better or worse"),  # 9 images against 3
        ([0] * 8 + [1] * 2 + [1] * 9 + [0], "Better or worse"),
        ([0] * 10 + [1] * 10, "Better or worse"),
    ],
)
def test_whether_it_beats_its_warm_start(warm, start):
    other = answers([0] * 10 + [1] * 10, warm)
    assert sentences.paid(evaluated(TEN, other), RUN).startswith(start)


def test_one_image_is_no_gain():
    """Three classes, and the only image of one makes the difference."""
    classes, truth = ("Good", "Rust", "Pit"), [0] * 20 + [1] * 6 + [2]
    first = answers(truth, truth, classes)
    second = answers(truth, [0] * 20 + [1] * 6 + [0], classes)
    text = sentences.paid(evaluated(first, second), RUN)
    assert text.startswith("Better or worse than its own warm start")
    assert "a change of +33.3 points (+0.0 to +66.7)" in text


def test_worse_is_said_too():
    poor = evaluated(answers([0] * 10 + [1] * 10, BLIND), TEN)
    text = sentences.paid(poor, RUN)
    assert text.startswith("Worse than its own warm start (the same network")
    assert "alone is right on 0 images, the warm start alone on 9" in text


def test_without_a_warm_start_nothing_is_claimed():
    assert "is not known" in sentences.paid(evaluated(TEN), RUN)
    texture = replace(RUN, status={"handed_over": "texture"})
    assert "texture teacher" in sentences.paid(evaluated(TEN), texture)
    one = evaluated(TEN)
    network = replace(one, facts={**one.facts, "main_weights": "network"})
    assert "answers of the network" in sentences.paid(network, texture)
    assert "not measured" not in sentences.paid(network, texture)
    handed = replace(RUN, status={"handed_over": "warm start"})
    assert "did not pay" in sentences.paid(evaluated(TEN, TEN), handed)


def test_what_it_rests_on():
    text = sentences.rests_on(evaluated(TEN), replace(RUN, reads=3))
    assert "20 labelled images of 2 classes, 10 of the rarest" in text
    assert "read 3 times" in text
    one = evaluated(TEN)
    views = replace(one, facts={**one.facts, "tta": "d4"})
    assert "mean over views of the image (TTA d4)" in sentences.rests_on(views, RUN)
    assert "flatter" in sentences.rests_on(evaluated(TEN, name="validation"), RUN)


def test_several_labels():
    found = Predictions(
        ["a", "b"], np.array([[1, 0], [1, 1]]),
        np.log(np.float32([[0.9, 0.2], [0.8, 0.3]])), ("Pit", "Rust"), "sigmoid",
    )  # fmt: skip
    main = measure_labels(found, draws=20).to_json()
    facts = {"main_weights": "ema", "weights": {"ema": main}, "images": 2}
    one = Evaluated("test", facts, found)
    assert "100% (2 of 2; 16% to 100%) of Pit" in sentences.answer(one)
    assert "right in 50% (1 of 2;" in sentences.costs(one, RUN)
    assert "2 labelled images" in sentences.rests_on(one, RUN)


def test_percent():
    assert [sentences.percent(v) for v in (0, 0.004, 0.5, 1)] == [
        "0%", "0.4%", "50%", "100%"
    ]  # fmt: skip
    assert sentences.share({"value": None}) == "n/a"


def test_without_trust_nothing_unlabelled_came_in():
    off = replace(RUN, status={"trust": 0.0, "handed_over": "final"})
    better = evaluated(answers([0] * 10 + [1] * 10, [0] * 10 + [1] * 10), TEN)
    assert "no unlabelled image came in" in sentences.paid(better, off)


def test_groups_of_an_evaluation_are_its_own():
    """Nine photos of one part are one witness."""
    blind = answers([0] * 10 + [1] * 10, BLIND)
    grouped = evaluated(TEN, blind)
    grouped.facts["groups"] = [*range(10), *[10] * 10]
    assert sentences.paid(grouped, RUN).startswith("Better or worse")


def test_without_groups_of_other_data_nothing_is_claimed():
    """An evaluation from before they were noted."""
    blind = answers([0] * 10 + [1] * 10, BLIND)
    old = evaluated(TEN, blind, name="data-new")
    del old.facts["groups"]
    assert "run uda evaluate again" in sentences.paid(old, RUN)
