"""Everything a strategy says is checked before anything is trained."""

from __future__ import annotations

import pytest

from uda.cli.compare_plan import plan_of
from uda.data.records import scan
from uda.data.splits import Split
from uda.errors import UsageError
from uda.study.plan import check_plan, configuration, length_of
from uda.study.request import Request
from uda.study.strategies import Strategy


@pytest.fixture
def check(home):
    catalog = scan(home / "data", unlabeled=[home / "more"])
    split = Split.load(home / "split.csv")

    def run(*strategies, steps=10, split=split):
        request = Request.of(
            home / "data", home / "split.csv", [home / "more"], folds=2, repeats=1,
            steps=steps, budget=None, seed=0,
        )  # fmt: skip
        plan = plan_of(strategies)
        check_plan(plan, request, catalog, split)
        return request, plan

    return run


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--lern", "3"), "lern"),
        (("--method", "texture", "--lr", "0.1"), "no effect"),
        (("--method", "supervised", "--threshold", "0.9"), "no unlabelled branch"),
        (("--seed", "3"), "said by --seed of the study"),
        (("--split", "x.csv"), "said by --split of the study"),
        (("--labels-per-class", "3"), "said by the split"),
        (("--threads", "2"), "one thread"),
        (("--set", "loop.steps=9"), "said by --steps"),
        (("--set", "loop.lenght=9"), "unknown configuration key"),
        (("--set", "nonsense"), "section.key=value"),
        (("--multi-label",), "one label per image"),
        (("--strong", "no-such-policy"), "no-such-policy"),
        (("--weights", "nowhere.safetensors"), "no such file"),
        (("--good-class", "Gold"), "Gold"),
        (("--method", "supervised", "--sizes", "12:0.05,16:0.95"), "leave none"),
        (("--sampling-power", "0", "--class-weights", "inverse"), "correct"),
    ],
)
def test_a_strategy_that_cannot_be_trained_is_named(check, flags, told):
    with pytest.raises(UsageError, match="strategy 'mine'") as caught:
        check(Strategy("fine", ("--method", "texture")), Strategy("mine", flags))
    assert told in str(caught.value)


def test_the_unlabelled_branch_needs_unlabelled_images(check, home):
    split = Split.load(home / "split.csv")
    bare = Split(tuple(row for row in split.rows if row.part != "unlabeled"))
    check(Strategy("plain", ("--method", "supervised")), split=bare)
    with pytest.raises(UsageError, match=r"strategy 'UDA'.*no unlabelled image"):
        check(Strategy("UDA"), split=bare)


def test_turned_views_need_square_images(check):
    wide = Strategy("wide", ("--method", "texture", "--imgsz", "16x24"))
    check(wide, Strategy("views", of="wide", tta="flips"))
    with pytest.raises(UsageError, match=r"strategy 'views'.*not square"):
        check(wide, Strategy("views", of="wide", tta="d4"))


def test_a_configuration_has_the_study_s_data_length_and_one_thread(check, tmp_path):
    request, plan = check(Strategy("UDA"), Strategy("t", ("--method", "texture")))
    config = configuration(plan[0], request, split=tmp_path / "f.csv", seed=7)
    assert (config.seed, config.loop.threads) == (7, 1)
    assert config.data.split == str(tmp_path / "f.csv")
    assert length_of(request, config).steps == 10
    texture = configuration(plan[1], request, split=tmp_path / "f.csv", seed=7)
    assert not length_of(request, texture).given
