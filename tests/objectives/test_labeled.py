"""The supervised branch as a whole against loops and against its parts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from uda.objectives.annealing import mean_over_kept, tsa_mask
from uda.objectives.labeled import Annealing, Labeled
from uda.objectives.priors import adjust_logits
from uda.objectives.supervised import cross_entropy

COUNTS = torch.tensor([90, 7, 3])
PRIOR = COUNTS / COUNTS.sum()


def draw(seed=0, num=12):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num, 3, generator=generator, dtype=torch.float64) * 2
    return logits, torch.randint(3, (num,), generator=generator)


def annealing(form="common", exempt=0):
    return Annealing("log", form, PRIOR, COUNTS, exempt)


def test_plain_is_the_mean_cross_entropy():
    logits, labels = draw()
    terms, memory = Labeled()(logits, labels, {}, progress=0.5, annealed=None)
    torch.testing.assert_close(terms.loss, cross_entropy(logits, labels).mean())
    assert memory == {}
    assert terms.kept.all()


def test_the_common_form_is_published_annealing():
    logits, labels = draw(1)
    branch = Labeled(annealing=annealing())
    terms, _ = branch(logits, labels, {}, progress=0.0, annealed=0.2)
    mask = tsa_mask(logits, labels, 1 / 3 + 2 / 3 * (1 - math.exp(-1)))
    assert torch.equal(terms.kept, mask)
    wanted = mean_over_kept(cross_entropy(logits, labels), mask)
    torch.testing.assert_close(terms.loss, wanted)
    ended, _ = branch(logits, labels, {}, progress=0.0, annealed=None)
    assert ended.kept.all()


def test_annealing_looks_at_what_the_loss_sees():
    logits, labels = torch.zeros(3, 3).double(), torch.tensor([0, 1, 2])
    branch = Labeled(
        seen=lambda z, _: adjust_logits(z, PRIOR), annealing=annealing("prior")
    )
    terms, _ = branch(logits, labels, {}, progress=0.0, annealed=0.01)
    assert terms.kept.tolist() == [1.0, 1.0, 1.0]
    common = Labeled(seen=branch.seen, annealing=annealing())
    assert common(logits, labels, {}, progress=0.0, annealed=0.0)[0].kept[0] == 0


@pytest.mark.parametrize("form", ["common", "prior", "quota"])
def test_rare_classes_can_be_exempt(form):
    branch = Labeled(annealing=annealing(form, exempt=20))
    memory = branch.memory()
    for seed in range(20):
        logits, labels = draw(seed, 30)
        logits[torch.arange(30), labels] += 6  # everything is known
        terms, memory = branch(logits, labels, memory, progress=0.0, annealed=0.0)
        assert terms.kept[labels > 0].all()
    assert not terms.kept[labels == 0].all()


def test_deferred_weights_start_when_they_should():
    logits, labels = draw(2)
    weights = torch.tensor([0.1, 1.0, 1.9]).double()
    branch = Labeled(weights=weights, weights_from=0.8)
    before, _ = branch(logits, labels, {}, progress=0.79, annealed=None)
    after, _ = branch(logits, labels, {}, progress=0.8, annealed=None)
    losses = cross_entropy(logits, labels)
    torch.testing.assert_close(before.loss, losses.mean())
    wanted = (losses * weights[labels]).sum() / weights[labels].sum()
    torch.testing.assert_close(after.loss, wanted)


def test_few_survivors_do_not_weigh_more_than_the_floor_allows():
    logits, labels = draw(3, 40)
    logits[torch.arange(40), labels] = 9.0
    logits[0] = torch.tensor([0.0, 0.0, 0.0])
    labels[0] = 0
    free = Labeled(annealing=annealing())
    bound = Labeled(annealing=annealing(), min_share=0.25)
    one, _ = free(logits, labels, {}, progress=0.0, annealed=0.5)
    two, _ = bound(logits, labels, {}, progress=0.0, annealed=0.5)
    torch.testing.assert_close(two.loss * 10, one.loss * float(one.kept.sum()))


@pytest.mark.parametrize("form", ["common", "prior", "quota"])
def test_labels_of_several_classes_never_wait_and_leave_the_others_alone(form):
    logits, labels = draw(5, num=20)
    coarse = torch.arange(20) % 4 == 0
    mixed = torch.where(coarse, 3, labels)  # 3 and more are no classes
    plain, both = annealing(form), replace(annealing(form), coarse=True)
    one, memory_one = plain(logits[~coarse], labels[~coarse], 0.1, plain.memory())
    two, memory_two = both(logits, mixed, 0.1, both.memory())
    assert torch.equal(two[~coarse], one)
    assert bool(two[coarse].all())
    assert all(torch.equal(memory_one[k], memory_two[k]) for k in memory_one)
    nothing, _ = both(logits[coarse], mixed[coarse], 0.1, both.memory())
    assert bool(nothing.all())


def test_the_floor_on_the_number_kept_holds_with_class_weights_too():
    """One survivor of four, by hand: its weight over a half of all weights."""
    logits = torch.tensor([[9.0, 0, 0], [9, 0, 0], [9, 0, 0], [0, 0, 9]]).double()
    labels = torch.tensor([0, 0, 0, 1])
    weights = torch.tensor([1.0, 3.0, 5.0])
    branch = Labeled(annealing=annealing(), weights=weights, min_share=0.5)
    terms, _ = branch(logits, labels, {}, progress=0.5, annealed=0.0)
    assert terms.kept.tolist() == [0, 0, 0, 1]
    wrong = 9 + math.log1p(2 * math.exp(-9))
    assert terms.loss.item() == pytest.approx(wrong * 3 / (0.5 * 6))
    few = replace(branch, min_share=0.1)
    terms, _ = few(logits, labels, {}, progress=0.5, annealed=0.0)
    assert terms.loss.item() == pytest.approx(wrong)
