"""Policies taken apart, narrowed and written: nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from uda.augment.plan import draw
from uda.augment.policy import OpSpec, Policy, load_policy, packaged_policies
from uda.offline.narrowing import WHOLE, elements, policy_text, without

NATIVE = [name for name, file in packaged_policies().items() if file.suffix != ".py"]


def by_name(policy):
    return {element.name: element for element in elements(policy)}


def reload(policy, tmp_path, comments=()):
    path = tmp_path / "p.yaml"
    path.write_text(policy_text(policy, comments), encoding="utf-8")
    return load_policy(str(path))


def test_each_op_stands_alone_and_always_acts():
    policy = load_policy("uda")
    parts = by_name(policy)
    ops = [spec.name for spec in policy.ops]
    assert list(parts) == [*ops, "hflip", "crop_pad", "cutout", WHOLE]
    plan = draw(
        parts["Rotate"].policy, seed=0, stream="s", counters=range(200), shape=(32, 32)
    )
    assert set(plan.op[:, 0].tolist()) == {14}
    assert set(np.abs(plan.value[:, 0]).tolist()) == {3 * i for i in range(1, 10)}
    assert not plan.hflip.any()
    assert (plan.dy == 0).all()
    assert (plan.cut == 0).all()
    flip = draw(
        parts["hflip"].policy, seed=0, stream="s", counters=range(9), shape=(8, 8)
    )
    assert flip.hflip.all()
    assert parts[WHOLE].policy == policy
    assert "swap" in parts["Invert"].risk


def test_probabilities_make_no_other_op_but_ranges_do():
    policy = Policy(
        "p",
        subpolicies=(
            (OpSpec("Rotate", 5, 5, probability=0.2), OpSpec("Invert")),
            (OpSpec("Rotate", 5, 5, probability=0.9), OpSpec("Rotate", 1, 30)),
        ),
    )
    assert list(by_name(policy)) == ["Rotate 5", "Invert", "Rotate 1..30", WHOLE]
    narrowed = without(policy, ["Rotate 5"])
    assert narrowed.subpolicies == ((OpSpec("Invert"),), (OpSpec("Rotate", 1, 30),))
    empty = without(policy, ["Rotate 5", "Invert"])
    assert empty.subpolicies[0] == (OpSpec("Identity"),)


def test_ops_that_differ_in_levels_signs_or_digits_have_names_of_their_own():
    specs = (
        OpSpec("Contrast", 1.2, 1.5), OpSpec("Contrast", 1.2, 1.5, mirrored=True),
        OpSpec("Contrast", 1.2, 1.5, levels=3), OpSpec("Contrast", 0.5, 0.5),
        OpSpec("TranslateX", 0.1007049345, 0.1007049345),
        OpSpec("TranslateX", 0.1007049, 0.1007049), OpSpec("Invert"),
    )  # fmt: skip
    policy = Policy("p", specs, 1)
    names = list(by_name(policy))[:-1]
    assert names == [
        "Contrast 1.2..1.5", "Contrast 1.2..1.5, mirrored",
        "Contrast 1.2..1.5, 3 levels", "Contrast 0.5", "TranslateX 0.1007049345",
        "TranslateX 0.1007049", "Invert",
    ]  # fmt: skip
    for spec, name in zip(specs, names, strict=True):
        assert set(without(policy, [name]).ops) == set(specs) - {spec}


def test_an_op_that_is_never_applied_is_no_element():
    never, rare = OpSpec("Invert", probability=0.0), OpSpec("Invert", probability=0.1)
    shift = OpSpec("TranslateY", 0.1, 0.1, probability=0.0)
    policy = Policy("p", subpolicies=((never, shift), (rare,)))
    assert list(by_name(policy)) == ["Invert", WHOLE]
    assert "TranslateY 0.100705" not in by_name(load_policy("autoaugment-svhn"))


def test_an_order_that_decides_nothing_any_more_is_not_written(tmp_path):
    policy = Policy("p", (OpSpec("Invert"),), 1, hflip=0.5, order="geometry-last")
    assert reload(policy, tmp_path).order == "geometry-last"
    for gone in ("Invert", "hflip"):
        narrowed = without(policy, [gone])
        assert reload(narrowed, tmp_path).fingerprint() == narrowed.fingerprint()


def test_a_python_policy_is_one_element(tmp_path):
    (tmp_path / "p.py").write_text("def augment(image, rng):\n    return image\n")
    (element,) = elements(load_policy(str(tmp_path / "p.py")))
    assert element.name == WHOLE


def test_without_takes_away_ops_and_keys_alone():
    policy = load_policy("uda")
    narrowed = without(policy, ["Invert", "Solarize", "cutout", "hflip"])
    assert [s for s in policy.ops if s.name not in ("Invert", "Solarize")] == list(
        narrowed.ops
    )
    assert (narrowed.cutout, narrowed.hflip) == (0.0, 0.0)
    assert (narrowed.count, narrowed.probability) == (policy.count, policy.probability)
    assert (narrowed.crop_pad, narrowed.order) == (policy.crop_pad, policy.order)
    bare = without(policy, [spec.name for spec in policy.ops])
    assert (bare.ops, bare.count) == ((), 0)


@pytest.mark.parametrize("name", NATIVE)
def test_every_packaged_policy_can_lose_anything(name, tmp_path):
    policy = load_policy(name)
    names = [element.name for element in elements(policy)][:-1]
    for gone in ([], names[:1], names[1:], names):
        narrowed = without(policy, gone)
        left = [e.name for e in elements(narrowed)]
        assert not {n.split()[0] for n in gone} & set(left) or gone != names
        assert reload(narrowed, tmp_path).fingerprint() == narrowed.fingerprint()


@pytest.mark.parametrize("name", NATIVE)
def test_what_is_written_loads_again(name, tmp_path):
    policy = load_policy(name)
    assert reload(policy, tmp_path).fingerprint() == policy.fingerprint()


def test_every_key_and_odd_names_survive(tmp_path):
    policy = Policy(
        "a: 'b' # Öl", source="x\ny: [", fill="reflect", interpolation="bilinear",
        first=(OpSpec("Contrast", 0.5, 0.8, mirrored=True),),
        ops=(OpSpec("Invert", probability=0.25), OpSpec("Rotate", 4, 1, levels=9)),
        count=2, last=(OpSpec("Gamma", 0.5, 2.0),), quarter_turns=True, vflip=0.125,
        cutout=0.25, order="geometry-last", probability=0.7,
    )  # fmt: skip
    again = reload(policy, tmp_path, ["a comment", "two\nlines"])
    assert again == policy
    assert (tmp_path / "p.yaml").read_text().startswith("# a comment\n# two\n# lines\n")
