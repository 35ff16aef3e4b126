"""The audit on cases where the truth is known: polarity, a mark at the edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from uda.augment.kernels import render
from uda.augment.policy import OpSpec, Policy, load_policy
from uda.models.heads import Outputs
from uda.offline.audit import MIN_GROUPS, Images, audit_policy, unseen
from uda.offline.narrowing import WHOLE, elements

SIDE = 16
_HARDLY = (
    "the model gives it 0.21 on untouched images and so does not know it: no verdict; "
    "train longer, or label more of it"
)
CLASSES = ("Chip", "Inclusion", "Pit")
POLICY = Policy(
    "mixed",
    ops=(
        OpSpec("Identity"), OpSpec("Invert"), OpSpec("Brightness", 0.98, 1.02),
        OpSpec("TranslateX", 0.3, 0.4), OpSpec("TranslateX", 0.0, 0.01),
    ),
    count=2, hflip=0.5,
)  # fmt: skip


class Rule(nn.Module):
    """Chip: a bright left edge. Pit: dark in the middle. Inclusion: bright there."""

    def forward(self, images):
        x = images.float().mean(dim=1) - 128
        edge = x[:, :, :2].mean(dim=(1, 2))
        middle = x[:, 6:10, 6:10].mean(dim=(1, 2))
        return Outputs(leaf=torch.stack([edge - 20, middle, -middle], dim=1) / 10)


def make(per_class=12, per_group=1):
    rng = np.random.default_rng(4)
    pixels = rng.normal(128, 3, (3 * per_class, SIDE, SIDE, 1))
    targets = np.repeat(np.arange(3), per_class)
    strength = rng.uniform(30, 90, len(targets))[:, None, None, None]
    pixels[targets == 0, :, :2] += strength[targets == 0]
    pixels[targets == 1, 6:10, 6:10] += strength[targets == 1]
    pixels[targets == 2, 6:10, 6:10] -= strength[targets == 2]
    groups = [f"{t}/{i // per_group}" for i, t in enumerate(targets)]
    fill = np.array([128], dtype=np.uint8)
    return Images(np.clip(pixels, 0, 255).astype(np.uint8), targets, groups, fill)


def probabilities(pixels, targets):
    with torch.no_grad():
        leaf = Rule()(torch.from_numpy(pixels).permute(0, 3, 1, 2)).leaf
    return leaf.softmax(dim=1).double().numpy()[np.arange(len(targets)), targets]


@pytest.fixture(scope="module")
def audit():
    return audit_policy(Rule(), POLICY, make(), CLASSES, draws=4, batch=10)


def cell(audit, element, label):
    (found,) = [c for c in audit.row(element) if c.label == label]
    return found


def test_the_ops_that_destroy_are_named_and_the_others_not(audit):
    harmful = {(c.element, c.label) for c in audit.harmful if c.element != WHOLE}
    assert {("Invert", "Inclusion"), ("Invert", "Pit")} <= harmful
    assert ("TranslateX 0.3..0.4", "Chip") in harmful
    assert ("hflip", "Chip") in harmful  # the left edge becomes the right one
    assert not any(name in ("Brightness", "TranslateX 0..0.01") for name, _ in harmful)
    assert ("hflip", "Pit") not in harmful
    falls = [c.fall for c in audit.harmful]
    assert falls == sorted(falls, reverse=True)


def test_falls_equal_a_direct_computation(audit):
    images = make()
    before = probabilities(images.pixels, images.targets)
    inverted = probabilities(255 - images.pixels, images.targets)
    for number, label in enumerate(CLASSES):
        mine = images.targets == number
        found = cell(audit, "Invert", label)
        assert found.fall == pytest.approx((before - inverted)[mine].mean(), abs=1e-6)
        assert found.before == pytest.approx(before[mine].mean(), abs=1e-6)
        assert (found.images, found.groups) == (12, 12)
    part = next(p for p in elements(POLICY) if p.name == "TranslateX 0.3..0.4")
    views = [
        render(
            part.policy, images.pixels, seed=0, stream=f"audit/{part.name}",
            counters=np.arange(36) * 4 + draw, fill=[128],
        )
        for draw in range(4)
    ]  # fmt: skip
    after = np.mean([probabilities(v, images.targets) for v in views], axis=0)
    expected = (before - after)[images.targets == 0].mean()
    assert cell(audit, part.name, "Chip").fall == pytest.approx(expected, abs=1e-6)


def test_intervals_equal_a_bootstrap_written_out():
    images = make(per_class=12, per_group=2)
    audit = audit_policy(Rule(), POLICY, images, CLASSES, draws=1)
    before = probabilities(images.pixels, images.targets)
    after = probabilities(255 - images.pixels, images.targets)
    mine = images.targets == 2
    by_group = (before - after)[mine].reshape(6, 2).mean(axis=1)  # groups of 2 images
    rng = np.random.default_rng(1)
    means = by_group[rng.integers(0, 6, (100_000, 6))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    found = cell(audit, "Invert", "Pit").interval
    width = high - low
    assert found.low == pytest.approx(low, abs=0.1 * width + 1e-6)
    assert found.high == pytest.approx(high, abs=0.1 * width + 1e-6)
    assert cell(audit, "Invert", "Pit").groups == 6


def test_the_share_that_leaves_counts_images_that_were_right(audit):
    assert cell(audit, "Invert", "Pit").left == 1.0
    assert cell(audit, "Brightness", "Pit").left == 0.0

    class Wrong(nn.Module):
        def forward(self, images):
            leaf = torch.zeros(len(images), 3)
            leaf[:, 0] = 1.0
            return Outputs(leaf=leaf)

    wrong = audit_policy(Wrong(), POLICY, make(), CLASSES, draws=1)
    assert cell(wrong, "Invert", "Pit").left is None
    assert any(note == f"Inclusion, Pit: {_HARDLY}" for note in wrong.notes)


class Weak(nn.Module):
    """A rule that is right, and sure of Chip alone: of the others it guesses."""

    def forward(self, images):
        leaf = Rule()(images).leaf
        one = (leaf[:, 0] > 0)[:, None]
        return Outputs(leaf=torch.where(one, leaf, leaf.sign() * 0.1))


def test_no_verdict_where_the_model_hardly_knows_the_class():
    audit = audit_policy(Weak(), POLICY, make(), CLASSES, draws=2)
    assert audit.judged == ["Chip"]
    assert {c.label for c in audit.harmful} == {"Chip"}
    pit = cell(audit, "Invert", "Pit")
    assert (pit.known, pit.interval, pit.harmful) == (False, None, False)
    assert 1 / 3 < pit.before < 0.5  # right, but hardly
    (note,) = [n for n in audit.notes if "Pit" in n]
    assert "does not know it: no verdict; train longer" in note


def test_few_images_are_said_to_be_few():
    few = audit_policy(Rule(), POLICY, make(MIN_GROUPS - 1), CLASSES, draws=1)
    assert few.harmful == []
    assert all(c.interval is None for c in few.cells)
    assert any(
        note.startswith("Chip, Inclusion, Pit: 4 images: too few") for note in few.notes
    )
    seven = audit_policy(Rule(), POLICY, make(7), CLASSES, draws=1)
    assert any("7 images: a fall under 0.35 cannot" in note for note in seven.notes)
    # Exact: seven parts of a population of which 35 % are destroyed are all intact
    # with probability 5 %.
    assert (1 - unseen(7)) ** 7 == pytest.approx(0.05)


def test_classes_without_images_are_told_and_have_no_column():
    images = make()
    some = np.flatnonzero(images.targets != 1)
    rest = Images(
        images.pixels[some], images.targets[some],
        [images.groups[i] for i in some], images.fill,
    )  # fmt: skip
    audit = audit_policy(Rule(), POLICY, rest, CLASSES, draws=1)
    assert audit.classes == ("Chip", "Pit")
    assert any(note.startswith("Inclusion: no labelled image") for note in audit.notes)


def test_same_seed_same_numbers_whatever_the_batch(audit):
    again = audit_policy(Rule(), POLICY, make(), CLASSES, draws=4, batch=7)
    assert [c.fall for c in again.cells] == pytest.approx(
        [c.fall for c in audit.cells], abs=1e-6
    )


def test_python_policies_are_audited_as_a_whole(tmp_path):
    (tmp_path / "invert.py").write_text(
        "def augment(image, rng):\n    return 255 - image\n"
    )
    policy = load_policy(str(tmp_path / "invert.py"))
    audit = audit_policy(Rule(), policy, make(), CLASSES, draws=1)
    assert [part.name for part in audit.elements] == [WHOLE]
    assert {c.label for c in audit.harmful} == set(CLASSES)
