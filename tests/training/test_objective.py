"""Every method of the family in whole runs: trained, stopped, resumed, refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.training.test_loop import StopAt, same, weights
from uda.data.splits import Split
from uda.errors import UsageError
from uda.models.heads import Outputs
from uda.objectives.abc import abc_labeled
from uda.objectives.acr import Acr
from uda.objectives.consistency.by_class import LIMITS
from uda.objectives.consistency.method import Shape
from uda.objectives.focal import focal
from uda.objectives.hierarchy import conditionals
from uda.objectives.supervised import class_weights
from uda.run.bundle import load_bundle
from uda.training import objective, served, targets
from uda.training.cdmad import blank_logits
from uda.training.class_tree import agreed_by_node
from uda.training.configure import build_config
from uda.training.launch import resume
from uda.training.monitor.progress import Progress
from uda.training.presets import METHODS
from uda.training.prior import sampling_prior, stated_prior
from uda.training.second_head import AbcHead, AcrHead
from uda.training.state import load_newest
from uda.training.stop import StopRequest
from uda.training.teacher import agreed
from uda.tree import good_against_rest

PRIOR = {"Good": 0.8, "Rust": 0.1, "Scratch": 0.1}
PLAIN = {"supervised.sampling_power": 1.0}
# The quick run's own keys that a weight of 0 leaves idle.
IDLE = {f"consistency.{key}": None for key in ("start_share", "ramp_share")}
# What remembers something between steps, or makes its targets in its own way.
VARIANTS = {
    **{name: {"method": name} for name in METHODS},
    "aligned": {"consistency.prior": PRIOR},
    "darp": {"consistency.prior": PRIOR, "consistency.refinery": "darp"},
    "by class": {"consistency.class_floor": 0.4},
    "abc": {**PLAIN, "consistency.balanced_head": "abc"},
    "acr": {**PLAIN, "consistency.balanced_head": "acr"},
    "debias": {"consistency.debias": True},
    "quota": {"supervised.tsa_form": "quota", "supervised.tsa_share": 1.0},
    "ldam-drw": {
        **PLAIN,
        "supervised.loss": "ldam",
        "supervised.class_weights": "effective",
        "supervised.reweight_from": 0.5,
    },
    "adjusted": {**PLAIN, "supervised.logit_adjustment": "loss"},
    "post-hoc": {**PLAIN, "supervised.logit_adjustment": "post-hoc"},
    "focal": {"supervised.loss": "focal"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_stopped_and_resumed_equals_uninterrupted(quick, name):
    changes = {**VARIANTS[name], "loop.eval_every": 6}
    if METHODS.get(name, {}).get("consistency.weak_pass"):
        changes["consistency.weak_pass"] = METHODS[name]["consistency.weak_pass"]
    whole, _ = quick(changes)
    folder, summary = quick(changes, stop=StopAt(4))
    assert summary.state == "interrupted"
    resume(folder, workers=2, console=Progress(), stop=StopRequest())
    assert same(weights(whole, "raw"), weights(folder, "raw"))
    assert same(weights(whole, "ema"), weights(folder, "ema"))
    one, _ = load_newest(whole / "checkpoints")
    two, _ = load_newest(folder / "checkpoints")
    assert same(one["objective_state"], two["objective_state"])
    found = load_bundle(folder).model(torch.zeros(2, 1, 16, 16, dtype=torch.uint8))
    assert found.served.shape == (2, 3)
    assert torch.isfinite(found.served).all()


def test_methods_differ_from_each_other(quick):
    plain, _ = quick()
    for name in ("fixmatch", "softmatch", "mean-teacher"):
        changes = {"method": name, "consistency.weight": 1.0}
        if name == "mean-teacher":
            changes["consistency.weak_pass"] = "ema"
        other, _ = quick(changes)
        assert not same(weights(plain, "raw"), weights(other, "raw")), name


def heads(seed):
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randn(8, 3, generator=generator).double() for _ in range(2)]
    return [row.requires_grad_() for row in rows]


def test_a_second_head_leaves_the_loss_of_the_first_alone():
    """Its own loss comes on top: nothing of it is in the leaf's, nor the reverse."""
    built, memory = undecided_run(objective.Uda(0.4, 0.5), abc())
    built = objective.replace(built, abstains=False)
    labels, clock = (
        torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]),
        objective.Clock(3, 0.5, None),
    )
    counts = torch.tensor([6.0, 3.0, 1.0])
    built = objective.replace(built, head=abc(counts))
    leaf, own = heads(0)
    bare, _ = built.on_labeled(Outputs(leaf), labels, clock, memory)
    both, _ = built.on_labeled(Outputs(leaf, auxiliary=own), labels, clock, memory)
    draws = built.head._draws("labeled", labels, 3)
    extra = abc_labeled(own.float(), labels, counts, draws)
    torch.testing.assert_close(both.loss - bare.loss, extra)
    assert extra > 0
    ones = [
        torch.autograd.grad(t.loss, leaf, retain_graph=True)[0] for t in (bare, both)
    ]
    assert torch.equal(*ones)
    strong, strong_own = heads(1)
    index = torch.arange(8)
    alone = objective.replace(built, head=None)
    one, _ = alone.on_unlabeled(Outputs(leaf), Outputs(strong), index, clock, memory)
    two, _ = built.on_unlabeled(
        Outputs(leaf, auxiliary=9 * own),
        Outputs(strong, auxiliary=strong_own),
        index,
        clock,
        memory,
    )
    assert torch.equal(one.loss, two.loss)
    assert one.penalty is None
    assert two.penalty > 0
    assert torch.autograd.grad(two.penalty, strong, allow_unused=True)[0] is None


def test_every_method_is_the_loss_of_its_name():
    wanted = {
        "uda": objective.Uda,
        "fixmatch": objective.FixMatch,
        "flexmatch": objective.FlexMatch,
        "freematch": objective.FreeMatch,
        "softmatch": objective.SoftMatch,
        "pseudo-label": objective.PseudoLabel,
        "pi-model": objective.MeanSquare,
        "mean-teacher": objective.MeanSquare,
    }
    assert set(wanted) == {*METHODS, "uda"}
    for name, kind in wanted.items():
        config = build_config({"method": name})
        assert type(objective._method(config, None, None)) is kind, name


def test_the_supervised_loss_is_the_one_that_was_asked_for():
    counts, cpu = torch.tensor([60, 30, 10]), torch.device("cpu")
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    prior = torch.tensor([0.6, 0.3, 0.1])

    def branch(given):
        return objective._labeled(build_config(given), counts, prior, cpu)

    found = branch({"supervised.loss": "focal", "supervised.focal_gamma": 3.0})
    torch.testing.assert_close(
        found.loss(logits, labels), focal(logits, labels, gamma=3.0)
    )
    found = branch(
        {
            **PLAIN,
            "supervised.loss": "ldam",
            "supervised.class_weights": "effective",
            "supervised.reweight_from": 0.5,
        }
    )
    torch.testing.assert_close(
        found.weights, class_weights(counts, "effective").float()
    )
    assert found.weights_from == 0.5
    found = branch(
        {
            **PLAIN,
            "supervised.logit_adjustment": "loss",
            "supervised.adjustment_tau": 0.5,
        }
    )
    shifted = found.seen(torch.zeros(1, 3), torch.tensor([0]))
    torch.testing.assert_close(shifted, 0.5 * prior.log()[None], atol=1e-5, rtol=0)


def test_post_hoc_adjustment_takes_off_tau_times_the_log_of_the_samplers_shares():
    config = build_config(
        {
            **PLAIN,
            "method": "supervised",
            "supervised.logit_adjustment": "post-hoc",
            "supervised.adjustment_tau": 0.5,
        }
    )
    parts = SimpleNamespace(class_counts=np.array([10, 60, 30]))
    found = served._offset(SimpleNamespace(config=config, parts=parts), None, None)
    wanted = 0.5 * torch.tensor([0.1, 0.6, 0.3]).log()
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_each_head_asks_texture_under_its_own_mix(quick, monkeypatch):
    """The leaf answers for the labels' mix, the balanced head for an even one."""
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: 0.9)
    monkeypatch.setattr(targets, "teaching_prior", lambda *_: (0.8, 0.15, 0.05))
    monkeypatch.setattr(targets, "opinion_metrics", lambda *_: {})  # nobody is ahead
    plain, seen, judged = targets._agreed, [], targets.balanced_accuracy

    def spy(trainer, table, accuracy, *, balanced=False):
        found, alone = plain(trainer, table, accuracy, balanced=balanced)
        prior = (1 / 3,) * 3 if balanced else (0.8, 0.15, 0.05)
        asked = (trainer.opinion + torch.tensor(prior).log()).log_softmax(1)
        seen.append((balanced, accuracy))
        torch.testing.assert_close(found, agreed(table, asked, 0.5))
        return found, alone

    def by_head(trainer, model):
        judged(trainer, model)  # it can be asked like any other
        return (0.3 if isinstance(model, served.MainHead) else 0.7), 0.1

    monkeypatch.setattr(targets, "_agreed", spy)
    monkeypatch.setattr(targets, "balanced_accuracy", by_head)
    quick(
        {**PLAIN, "consistency.balanced_head": "abc", "consistency.texture_weight": 0.5}
    )
    assert set(seen) == {(False, 0.3), (True, 0.7)}


def test_without_the_auxiliary_head_a_model_answers_by_the_main_one(quick):
    folder, _ = quick({**PLAIN, "consistency.balanced_head": "abc"})
    model = load_bundle(folder).model
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    assert torch.equal(served.MainHead(model)(images).served, model(images).leaf)


def test_thresholds_per_class_are_read_off_the_pile_alone(quick, monkeypatch):
    asked, plain = [], targets.class_thresholds

    def spy(said, **more):
        asked.append(len(said))
        return plain(said, **more)

    monkeypatch.setattr(targets, "class_thresholds", spy)
    folder, _ = quick({"consistency.class_floor": 0.4})
    split = Split.load(folder / "split.csv")
    assert set(asked) == {len(split.part("unlabeled"))}


def test_without_weight_nobody_makes_a_table(quick):
    folder, _ = quick({"consistency.weight": 0.0, **IDLE})
    saved, _ = load_newest(folder / "checkpoints")
    assert "teacher" not in saved["objective_state"]


def test_the_auxiliary_head_decides(quick):
    folder, _ = quick({**PLAIN, "consistency.balanced_head": "abc"})
    bundle = load_bundle(folder)
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    found = bundle.model(images)
    assert torch.equal(found.served, found.auxiliary)
    assert not torch.allclose(found.leaf, found.auxiliary)
    assert torch.equal(Outputs(found.leaf).served, found.leaf)


def test_post_hoc_adjustment_takes_the_prior_off_at_the_end_alone(quick):
    plain, _ = quick({**PLAIN, "method": "supervised"})
    after, _ = quick(
        {**PLAIN, "method": "supervised", "supervised.logit_adjustment": "post-hoc"}
    )
    one, two = load_bundle(plain).model, load_bundle(after).model
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    offset = one(images).leaf - two(images).leaf
    torch.testing.assert_close(offset, offset[:1].expand(4, 3))
    torch.testing.assert_close(offset[0].exp().sum(), torch.tensor(1.0))


def test_post_hoc_adjustment_is_not_in_the_targets(quick, monkeypatch):
    """Else the network would learn it, and the next targets would have it twice."""
    uneven = {**PLAIN, "consistency.threshold": 0.2}
    monkeypatch.setattr(
        "uda.training.served.sampling_prior", lambda *_: (0.8, 0.15, 0.05)
    )
    plain, _ = quick(uneven)
    after, _ = quick({**uneven, "supervised.logit_adjustment": "post-hoc"})
    one, _ = load_newest(plain / "checkpoints")
    two, _ = load_newest(after / "checkpoints")
    assert same(one["objective_state"], two["objective_state"])
    raw, adjusted = weights(plain, "raw"), weights(after, "raw")
    assert not torch.equal(raw.pop("logit_offset"), adjusted.pop("logit_offset"))
    assert same(raw, adjusted)


@pytest.mark.parametrize("frozen", [6, 2])
def test_a_frozen_trunk_keeps_its_statistics_in_the_answers(quick, frozen):
    """Its head has learnt from features that are normalised with them."""
    folder, _ = quick({"method": "supervised", "model.frozen_steps": frozen})
    raw, ema = weights(folder, "raw"), weights(folder, "ema")
    means = [name for name in ema if name.endswith("running_mean")]
    kept = [name for name in means if not ema[name].any() and not raw[name].any()]
    assert means
    assert bool(kept) == (frozen == 6)  # as they were built: zeros


def test_without_bias_a_white_image_is_undecided(quick):
    folder, _ = quick({"consistency.debias": True})
    model = load_bundle(folder).model
    torch.testing.assert_close(
        blank_logits(model, (16, 16, 1)), torch.zeros(3), atol=1e-4, rtol=0
    )


def test_priors_are_of_the_sampler_and_of_the_user():
    config = build_config({"supervised.sampling_power": 0.5})
    found = sampling_prior(config, torch.tensor([100, 25, 1]).numpy())
    assert found == pytest.approx((10 / 16, 5 / 16, 1 / 16))
    assert stated_prior(config, ("a", "b")) is None
    stated = build_config({"consistency.prior": {"a": 3.0, "b": 1.0}})
    assert stated_prior(stated, ("a", "b")) == pytest.approx((0.75, 0.25))
    with pytest.raises(UsageError, match="'a'"):
        stated_prior(stated, ("c", "b"))
    with pytest.raises(UsageError, match="no share to c"):
        stated_prior(stated, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"supervised.class_weights": "inverse"}, "both correct the class prior"),
        ({"supervised.loss": "ldam"}, "both correct"),
        ({"consistency.balanced_head": "abc"}, "both correct"),
        (
            {**PLAIN, "supervised.loss": "ldam", "supervised.logit_adjustment": "loss"},
            "both correct",
        ),
        ({"supervised.logit_adjustment": "loss"}, "no prior to adjust"),
        (
            {**PLAIN, "consistency.balanced_head": "abc", "consistency.prior": PRIOR},
            "other head's targets",
        ),
        (
            {"consistency.class_floor": 0.5, "consistency.prior": PRIOR},
            "before --prior aligns",
        ),
        ({"supervised.focal_gamma": 2.0}, "no effect"),
        ({"supervised.reweight_from": 0.5}, "no class weights"),
        ({"method": "freematch", "consistency.threshold": 0.9}, "no fixed threshold"),
        ({"method": "fixmatch", "consistency.temperature": 0.5}, "does not sharpen"),
        ({"method": "flexmatch", "consistency.class_floor": 0.5}, "its own way"),
        ({"consistency.refinery": "darp"}, "no prior to bend"),
        ({"consistency.weak_pass": "joint", "consistency.debias": True}, "averaged"),
        ({"method": "supervised", "consistency.debias": True}, "no unlabelled branch"),
        ({"supervised.tsa": "none", "supervised.tsa_form": "quota"}, "--tsa is none"),
        ({"supervised.tsa_form": "prior"}, "draws every class alike"),
        ({"consistency.class_floor": 0.8}, "rises above --threshold 0.8"),
        ({"consistency.weight": 0.0, "consistency.prior": PRIOR}, "weight is 0"),
        (
            {"loop.batch_norm": "frozen", "loop.clean_statistics": True},
            "the weights came with",
        ),
        (
            {
                **PLAIN,
                "supervised.loss": "ldam",
                "supervised.allow_double_correction": True,
                "consistency.balanced_head": "abc",
            },
            "margins belong to cosines",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_starts(keys, message):
    with pytest.raises(UsageError, match=message):
        build_config(keys)


def test_one_correction_in_two_parts_is_allowed_and_two_when_told():
    build_config(
        {"supervised.sampling_power": 0.5, "supervised.logit_adjustment": "loss"}
    )
    build_config(
        {
            "supervised.class_weights": "inverse",
            "supervised.allow_double_correction": True,
        }
    )


def test_two_corrections_that_are_asked_for_are_both_made():
    config = build_config(
        {
            **PLAIN,
            "supervised.loss": "ldam",
            "supervised.logit_adjustment": "loss",
            "supervised.allow_double_correction": True,
        }
    )
    counts, prior = torch.tensor([16, 1]), torch.tensor([0.8, 0.2])
    branch = objective._labeled(config, counts, prior, torch.device("cpu"))
    logits, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    seen = branch.seen(logits, labels)
    # Margins 0.25 and 0.5 at scale 30, then log π.
    wanted = torch.tensor([[-7.5, 0.0], [0.0, -15.0]]) + prior.log()
    torch.testing.assert_close(seen, wanted.to(seen), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["uda", "fixmatch", "pseudo-label"])
def test_thresholds_per_class_replace_the_common_one(method):
    """An image between floor and threshold counts once its class allows it."""
    config = build_config({"method": method, "consistency.class_floor": 0.3})
    gated = objective._method(config, None, None)
    shape = Shape(2, 4, torch.arange(4), torch.device("cpu"))
    memory = {**gated.memory(shape), LIMITS: torch.tensor([0.5, 0.9])}
    weak = torch.tensor([[0.6, 0.4], [0.4, 0.6]]).log()
    terms, _ = gated(weak, torch.zeros(2, 2), torch.arange(2), memory)
    assert terms.mask.tolist() == [1.0, 0.0]


def abc(counts=None):
    counts = torch.ones(3) if counts is None else counts
    return AbcHead(0, drawn=counts, counts=counts)


def undecided_run(method, head=None):
    """Return an objective whose table may abstain, and its memory of 8 images."""
    built = objective.Objective(objective.Labeled(), method, head, abstains=True)
    shape = Shape(3, 8, torch.arange(8), torch.device("cpu"))
    return built, built.memory(shape)


@pytest.mark.parametrize(
    "keys",
    [
        {"method": "softmatch"},
        {"method": "flexmatch"},
        {"method": "freematch"},
        {"consistency.prior": PRIOR},
    ],
)
def test_images_that_two_teachers_disagree_about_count_under_no_method(keys):
    """A moving threshold takes 1/C for sure, and a prior makes a sure answer of it."""
    config = build_config(keys)
    prior = (0.98, 0.01, 0.01) if "consistency.prior" in keys else None
    built, memory = undecided_run(objective._method(config, prior, None))
    weak = torch.zeros(8, 3).log_softmax(1)
    weak[4:] = torch.tensor([0.01, 0.01, 0.98]).log()
    views = Outputs(weak), Outputs(torch.randn(8, 3))
    bare = objective.replace(built, abstains=False)
    clock = objective.Clock(0, 0.0, None)
    counted, _ = bare.on_unlabeled(*views, torch.arange(8), clock, memory)
    if keys.get("method") == "flexmatch":
        assert counted.mask[:4].max() > 0.9  # what is to be prevented
    terms, _ = built.on_unlabeled(*views, torch.arange(8), clock, memory)
    assert terms.mask[:4].tolist() == terms.loss[:4].tolist() == [0.0] * 4
    assert torch.equal(terms.mask[4:], counted.mask[4:])
    assert torch.equal(terms.loss[4:], counted.loss[4:])


def test_the_balanced_head_learns_nothing_from_a_disagreement():
    """Without an opinion the adjusted target would be the rarest class, surely."""
    head = AcrHead(Acr((0.9, 0.09, 0.01)), torch.zeros(3))
    built, memory = undecided_run(objective.Uda(), head)
    weak = Outputs(torch.zeros(8, 3), auxiliary=torch.zeros(8, 3))
    strong = Outputs(torch.randn(8, 3), auxiliary=torch.randn(8, 3))
    clock = objective.Clock(0, 0.0, None)
    bare = objective.replace(built, abstains=False)
    terms, _ = bare.on_unlabeled(weak, strong, torch.arange(8), clock, memory)
    assert terms.penalty > 0
    terms, _ = built.on_unlabeled(weak, strong, torch.arange(8), clock, memory)
    assert terms.penalty == 0
    assert terms.mask.sum() == 0


def test_a_stated_prior_is_put_into_softmatch_once():
    config = build_config({"method": "softmatch", "consistency.prior": PRIOR})
    method = objective._method(config, (0.8, 0.1, 0.1), None)
    assert isinstance(method, objective.Aligned)
    assert isinstance(method.method, objective.SoftMatch)


@pytest.mark.parametrize(("recipe", "wanted"), [("small", 0.99), ("paper", 0.999)])
def test_averages_of_a_method_remember_no_longer_than_the_averaged_network(
    recipe, wanted
):
    keys = {"recipe": recipe, "consistency.prior": PRIOR}
    for name in ("softmatch", "freematch"):
        method = objective._method(
            build_config({**keys, "method": name}), (0.8, 0.1, 0.1), None
        )
        assert method.momentum == method.method.momentum == wanted


@pytest.mark.parametrize(
    ("undecided", "one", "two"),
    [
        (0, [0.9, 0.09, 0.01], [0.1, 0.8, 0.1]),  # of a defect both say rust
        (1, [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]),  # both say that there is a defect
    ],
)
def test_a_prior_settles_no_question_that_two_teachers_answer_differently(
    undecided, one, two
):
    tree = good_against_rest("Good", tuple(PRIOR))
    table = agreed_by_node(
        torch.tensor([one]).log(), torch.tensor([two]).log(), 0.5, tree
    )
    prior = (0.98, 0.0005, 0.0195)
    config = build_config(
        {"model.good_class": "Good", "consistency.prior": PRIOR, "method": "fixmatch"}
    )
    method = objective._method(config, prior, tree)
    shape = Shape(3, 1, torch.arange(1), torch.device("cpu"))
    memory = {**method.memory(shape), "alignment": torch.ones(3).double() / 3}
    terms, _ = method(table, torch.zeros(1, 3), torch.arange(1), memory)
    assert terms.by_node is not None
    assert [*terms.by_node.values()][undecided][1] == 0
    bare = objective.replace(method, tree=None)
    counted, _ = bare(table, torch.zeros(1, 3), torch.arange(1), memory)
    assert counted.by_node is not None
    reached, kept = [*counted.by_node.values()][undecided]
    assert kept == reached > 0  # what is to be prevented
    again = targets._refined(table.expand(4, 3), prior, tree)
    node = conditionals(again, tree)[undecided]
    torch.testing.assert_close(node, torch.full_like(node, 0.5).log())


def test_draws_of_abc_are_fresh_in_each_step_and_stream_and_repeat():
    head = abc()
    labels = torch.zeros(8, dtype=torch.int64)
    drawn = [
        tuple(head._draws(stream, labels, step).tolist())
        for stream in ("labeled", "unlabeled")
        for step in range(50)
    ]
    numbers = np.array(drawn)
    assert len(set(drawn)) == len(drawn)
    assert abs(numbers.mean() - 0.5) < 0.05
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert drawn[3] == tuple(head._draws("labeled", labels, 3).tolist())
    # Neither stream is the other one shifted.
    assert abs(np.corrcoef(numbers[:50].ravel(), numbers[50:].ravel())[0, 1]) < 0.2


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_abc_leaves_more_of_the_commoner_class_out_as_the_run_goes_on(progress):
    """The chance 1 - s (1 - n_min/n_c), with s the share of the run that is done."""
    built, memory = undecided_run(objective.Uda(0.4, 0.5), abc())
    built = objective.replace(built, head=abc(torch.tensor([10.0, 1.0, 1.0])))
    sure = torch.tensor([[9.0, 0.0, 0.0]]).expand(64, 3)
    both, clock = Outputs(sure, auxiliary=sure), objective.Clock
    kept = [
        built.on_unlabeled(
            both, both, torch.arange(64), clock(step, progress, None), memory
        )[0].head_mask.mean()
        for step in range(60)
    ]
    assert abs(float(np.mean(kept)) - (1 - 0.9 * progress)) < 0.03
