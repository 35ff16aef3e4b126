from __future__ import annotations

import torch

from tests.objectives.consistency.family import shape, steps, total
from tests.reference import family as literal
from uda.objectives.consistency.alignment import Aligned, aligned
from uda.objectives.consistency.flexmatch import FlexMatch
from uda.objectives.consistency.method import Shape
from uda.objectives.consistency.uda import Uda
from uda.tree import good_against_rest


def test_rows_sum_to_one_and_equal_the_literal_form():
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(9, 5, generator=generator, dtype=torch.float64)
    probs = probs / probs.sum(1, keepdim=True)
    mean, prior = probs.mean(0), torch.tensor([0.6, 0.1, 0.1, 0.1, 0.1]).double()
    found = aligned(probs, mean, prior)
    torch.testing.assert_close(found.sum(1), torch.ones(9, dtype=torch.float64))
    for row, p in zip(found.tolist(), probs.tolist(), strict=True):
        wanted = literal.align(p, mean.tolist(), prior.tolist())
        assert max(abs(a - b) for a, b in zip(row, wanted, strict=True)) < 1e-12


def test_nothing_happens_where_the_mean_is_the_prior():
    probs = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], dtype=torch.float64)
    mean = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    torch.testing.assert_close(aligned(probs, mean, mean), probs, atol=1e-6, rtol=0)


def test_wraps_any_method_and_remembers_beside_it():
    prior = (0.4, 0.3, 0.2, 0.1)
    method = Aligned(Uda(0.4, 0.5), prior, momentum=0.5)
    memory = method.memory(shape(4))
    mean = None
    for weak, strong, index in steps(8, scale=2.0):
        terms, memory = method(weak, strong, index, memory)
        probs = [literal.softmax(row) for row in weak.tolist()]
        new = [sum(column) / len(probs) for column in zip(*probs, strict=True)]
        mean = (
            new
            if mean is None
            else [0.5 * a + 0.5 * b for a, b in zip(mean, new, strict=True)]
        )
        rows = [literal.align(p, mean, prior) for p in probs]
        plain, _ = Uda(0.4, 0.5)(
            torch.tensor(rows, dtype=torch.float64).log(), strong, index, {}
        )
        torch.testing.assert_close(total(terms), total(plain), atol=1e-9, rtol=0)
        assert terms.mask.tolist() == plain.mask.tolist()
    torch.testing.assert_close(
        memory["alignment"], torch.tensor(mean, dtype=torch.float64)
    )


def test_images_without_an_opinion_leave_the_mean_alone():
    prior = (0.5, 0.3, 0.2)
    method = Aligned(Uda(0.4, 0.5), prior, momentum=0.5)
    weak = torch.tensor([[2.0, 0, 1], [0, 0, 0], [1, 3, 0]], dtype=torch.float64)
    strong, index = torch.zeros_like(weak), torch.arange(3)
    _, memory = method(weak, strong, index, method.memory(shape(3)))
    rows = [literal.softmax(row) for row in (weak[0].tolist(), weak[2].tolist())]
    wanted = [sum(column) / 2 for column in zip(*rows, strict=True)]
    torch.testing.assert_close(
        memory["alignment"], torch.tensor(wanted, dtype=torch.float64)
    )
    undecided = torch.zeros(2, 3, dtype=torch.float64)
    _, after = method(undecided, undecided, torch.arange(2), memory)
    assert torch.equal(after["alignment"], memory["alignment"])
    _, first = method(undecided, undecided, torch.arange(2), method.memory(shape(3)))
    assert first["alignment"].sum() == 0  # still unknown


def test_neither_labelled_images_nor_those_without_an_opinion_are_bent():
    prior = (0.01, 0.99)
    labeled = torch.tensor([False, True, False, False])
    method = Aligned(FlexMatch(0.9), prior, momentum=0.5, labeled=labeled)
    weak = torch.tensor(
        [[0.0, 4.0], [4.0, 0.0], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64
    )
    index = torch.arange(4)
    rows = Shape(2, 4, index, torch.device("cpu"))
    terms, memory = method(weak, weak, index, method.memory(rows))
    # The mean is of the two images of the pile that somebody has an opinion on.
    wanted = weak[[0, 3]].softmax(1).mean(0)
    torch.testing.assert_close(memory["alignment"], wanted, atol=1e-12, rtol=0)
    assert terms.targets.argmax(1).tolist()[:2] == [1, 0]
    assert terms.targets.argmax(1).tolist()[3] == 1  # bent, as the prior asks
    # The labelled one keeps its confidence; the undecided one is sure of nothing.
    assert memory["last_sure"].tolist() == [1, 0, -1, 1]


def test_images_undecided_at_the_root_of_a_tree_leave_the_mean_alone():
    """Half "Good", half shared by three defects is what two teachers leave."""
    tree = good_against_rest("Good", ("Good", "A", "B", "C"))
    sure = torch.tensor([[0.91, 0.05, 0.03, 0.01]], dtype=torch.float64).log()
    split = torch.tensor([[0.5, 1 / 6, 1 / 6, 1 / 6]], dtype=torch.float64).log()
    method = Aligned(Uda(0.4, 0.5), (0.9, 0.05, 0.03, 0.02), tree=tree)
    weak = torch.cat([sure, split])
    memory = method.memory(shape(4))
    _, after = method(weak, torch.zeros_like(weak), torch.arange(2), memory)
    torch.testing.assert_close(after["alignment"], sure[0].exp())


def test_pseudo_labels_of_the_pile_count_in_its_mix_and_are_not_bent():
    known = torch.tensor([True, False])
    prior, weak = (0.01, 0.99), torch.tensor([[4.0, 0.0], [2.0, 0.0]]).double()
    method = Aligned(Uda(0.4, 0.5), prior, momentum=0.5, known=known)
    index = torch.arange(2)
    terms, memory = method(weak, weak, index, method.memory(shape(2)))
    torch.testing.assert_close(memory["alignment"], weak.softmax(1).mean(0))
    plain, _ = Uda(0.4, 0.5)(weak, weak, index, {})
    assert torch.equal(terms.targets[0], plain.targets[0])
    assert terms.targets[1].argmax() == 1  # bent, as the prior asks
