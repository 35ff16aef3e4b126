"""YAML policies: what is read, and how faults are told."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uda.augment.policy import OpSpec, Policy, packaged_policies
from uda.augment.policyfile import read_policy
from uda.errors import DataError


def write(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_keys_are_read(tmp_path):
    text = """
name: ours
source: a trial
count: 1
probability: 0.5
ops:
  - {op: Rotate, low: 3, high: 27, levels: 9}
  - op: Invert
fill: black
hflip: 1
vflip: 0.25
crop_pad: .125
quarter_turns: true
cutout: 0.5
order: geometry-last
"""
    path = write(tmp_path, text)
    assert read_policy(path) == Policy(
        name="ours",
        source="a trial",
        count=1,
        probability=0.5,
        ops=(OpSpec("Rotate", 3.0, 27.0, 9), OpSpec("Invert")),
        fill="black",
        hflip=1.0,
        vflip=0.25,
        crop_pad=0.125,
        quarter_turns=True,
        cutout=0.5,
        order="geometry-last",
    )
    assert read_policy(path).path == path


def test_lists_of_fixed_and_drawn_sequences_are_read(tmp_path):
    text = """
first:
  - {op: Blur, low: 0.2, high: 0.7, probability: 0.3}
subpolicies:
  - - {op: Color, low: 1, high: 1.9, levels: 10, mirrored: true}
    - {op: Rotate, low: 30, high: 30, probability: 0.7}
  - [{op: Invert, probability: 0}]
last: [{op: Jpeg, low: 40, high: 95}]
fill: reflect
interpolation: bilinear
"""
    assert read_policy(write(tmp_path, text)) == Policy(
        name="mine",
        first=(OpSpec("Blur", 0.2, 0.7, probability=0.3),),
        subpolicies=(
            (
                OpSpec("Color", 1.0, 1.9, 10, mirrored=True),
                OpSpec("Rotate", 30.0, 30.0, probability=0.7),
            ),
            (OpSpec("Invert", probability=0.0),),
        ),
        last=(OpSpec("Jpeg", 40.0, 95.0),),
        fill="reflect",
        interpolation="bilinear",
    )


def test_name_defaults_to_the_files(tmp_path):
    assert read_policy(write(tmp_path, "hflip: 0.5")).name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hflip: 0.5\ncutuot: 0.5", "mine.yaml:2: unknown key 'cutuot' .did you"),
        ("hflip: 0.5\nhflip: 0.6", "mine.yaml:2: the key 'hflip' is given twice"),
        ("hflip: 0.5\n\nvflip: often", "mine.yaml:3: vflip must be a number"),
        ("hflip: true", "hflip must be a number, not True"),
        ("count: 1.5", "count must be a whole number, not 1.5"),
        ("hflip: [1]", "hflip must be a number, not a nested value"),
        ("quarter_turns: 1", "quarter_turns must be true or false"),
        ("hflip: 0.5\nvflip: 7", "mine.yaml:2: vflip is 7"),
        ("hflip: .nan", "mine.yaml:1: hflip is nan"),
        ("fill: meen", "choose mean"),
        ("ops:\n  - {op: Rotat, low: 1, high: 2}", "mine.yaml:2: unknown op 'Rotat'"),
        ("ops:\n  - {op: Rotate, hi: 2}", "mine.yaml:2: unknown key 'hi'"),
        ("ops:\n  - {low: 1}", "mine.yaml:2: an entry of ops needs"),
        ("ops:\n  - Rotate", "mine.yaml:2: expected a mapping"),
        ("ops:\n  - Rotate", "write - {op: Rotate, low: LOW, high: HIGH}, in degrees"),
        ("ops:\n  - Invert", "write - {op: Invert}"),
        ("ops:\n  - {op: Rotate, low: -30, high: 30}", "sign: write 30$"),
        ("ops:\n  - {op: Rotate, magnitude: 5}", "give low and high, the same for one"),
        ("probability: 0,5", "must be a number, not '0,5' .in YAML write 0.5,"),
        ("probability: 80%", "must be a number, not '80%' .in YAML write 0.8,"),
        ("count:2", "mine.yaml:1: .*a space after the colon, count: 2"),
        ("hflip: 0\ncount:2\nvflip: 0", "not YAML .*line 2: a space after the colon"),
        ("ops:\n  - {op:Rotate, low: 3}", "a space after the colon, op: Rotate"),
        ("ops:\n\t- {op: Rotate}", "mine.yaml:2: is not YAML .*begins with a tab"),
        ("ops:\n  - {op: Rotate", "is not YAML .*see to the indentation"),
        ("ops:\n  - {op: RandomBrightnessContrast}", "mean 'Brightness' or 'Contrast'"),
        ("ops: Rotate", "ops must be a list"),
        ("count: 2", "mine.yaml:1: count is 2, but there are no ops"),
        ("- hflip", "expected a mapping"),
        ("hflip: 1e-1", "hflip must be a number, not '1e-1' .in YAML write 0.1"),
        ("hflip:", "hflip must be a number, not None .nothing is written"),
        ("hflip: !!float ''", "mine.yaml:1: hflip must be a number, not ''"),
        ("hflip: !!timestamp x", "mine.yaml:1: hflip must be a number, not 'x'"),
        ("count: !!int '-'", "mine.yaml:1: count must be a whole number, not '-'"),
        ("quarter_turns: !!bool x", "quarter_turns must be true or false, not 'x'"),
        (f"hflip: 1{'0' * 400}", "mine.yaml:1: hflip is far too large"),
        ("name: [1]", "name must be text, not a nested value"),
        ("ops: []", "mine.yaml:1: ops has an empty list"),
        ("first:\n  - {op: Invert}\nlast: []", "mine.yaml:3: last has an empty list"),
        ("subpolicies:\n  - [{op: Invert}]\n  - []", "mine.yaml:3: subpolicies has an"),
        ("subpolicies:\n  - {op: Invert}", "mine.yaml:2: subpolicies must be a list"),
        ("subpolicies: Invert", "subpolicies must be a list of lists"),
        ("subpolicies:\n  - - {op: Invert}\n    - {op: Rotate}", "mine.yaml:3: Rotate"),
        ("subpolicies:\n  - - {op: Invert}\n    - {po: 1}", "3: unknown key 'po'"),
        ("subpolicy: []", "unknown key 'subpolicy' .did you mean 'subpolicies'"),
        ("last:\n  - {low: 1}", "mine.yaml:2: an entry of last needs 'op"),
        ("interpolation: cubic", "mine.yaml:1: interpolation is 'cubic'"),
        ("ops:\n  - op: Rotate\n    low: 1\n    high: 900", "4: Rotate: 900.0 is out"),
        ("ops:\n  - op: Rotate\n    low: .inf\n    high: 9", "3: Rotate: inf is out"),
        ("ops:\n  - op: Rotate\n    low: 1\n    high: .nan", "4: Rotate: nan is out"),
        (
            "ops:\n  - op: Rotate\n    low: 1\n    high: 2\n    levels: 0",
            "mine.yaml:5: Rotate: levels must be at least 1",
        ),
        (
            "ops:\n  - op: Invert\n    probability: 1.5",
            "mine.yaml:3: Invert: probability is 1.5",
        ),
        (
            "ops:\n  - op: Rotate\n    low: 1\n    high: 2\n    mirrored: true",
            "mine.yaml:5: Rotate: mirrored is for factors only",
        ),
        ("last:\n" + "  - {op: Invert}\n" * 17, "2: last has a list of 17; at most 16"),
        (
            "".join(f"{k}:\n" + "  - {op: Invert}\n" * 9 for k in ("first", "last")),
            "would pass 18 ops",
        ),
        ("hflip: [1", "mine.yaml:1: is not YAML"),
        ("hflip: 1\nx: *nobody", "mine.yaml:2: is not YAML"),
        ("hflip: 1\n---\nhflip: 1", "is not YAML"),
        ("hflip: \x07", "is not YAML"),
        ("", "is empty"),
    ],
)  # fmt: skip
def test_faults_name_file_and_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_policy(write(tmp_path, text))


INVERT = "ops: [{op: Invert}]"
ROTATE = "ops: [{op: Rotate, low: 1, high: 2}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (INVERT, "1: ops has no effect: count is 0"),
        (f"count: 0\n{ROTATE}", "2: ops has no effect: count is 0"),
        (
            "subpolicies: [[{op: Invert}]]\ncount: 0",
            "2: count has no effect: one of the subpolicies",
        ),
        ("subpolicies: [[{op: Invert}]]\ncount: 1", "1: subpolicies draws whole"),
        (f"subpolicies: [[{{op: Invert}}]]\n{INVERT}", "take away ops and count"),
        (
            "subpolicies: [[{op: Invert}]]\nprobability: 0.5",
            "2: probability has no effect: it is that of the ops drawn from 'ops'",
        ),
        ("hflip: 1\nprobability: 1", "2: probability has no effect"),
        (
            "count: 1\nprobability: .5\nops: [{op: Invert, probability: .2}]",
            "2: probability has no effect: each of the ops has",
        ),
        (f"count: 1\n{INVERT}\nfill: mean", "3: fill has no effect: neither cutout"),
        (
            "cutout: 0.5\nfill: reflect",
            "2: fill has no effect: only ShearX, ShearY, TranslateX, TranslateY and",
        ),
        (
            f"count: 1\n{INVERT}\norder: geometry-last",
            "3: order has no effect: it is that of turns, flips and crop",
        ),
        (
            f"count: 1\n{INVERT}\ninterpolation: nearest",
            "3: interpolation has no effect: none of ShearX, ShearY and Rotate",
        ),
        (
            "count: 1\nops:\n  - op: Rotate\n    low: 3\n    high: 3\n    levels: 9",
            "6: Rotate: levels has no effect: low and high are the same",
        ),
        (
            "last:\n  - {op: Rotate, low: 3, high: 9, levels: 1}",
            "2: Rotate: levels has no effect: one level",
        ),
        (
            "last:\n  - {op: Color, low: 1, high: 1, mirrored: true}",
            "2: Color: mirrored has no effect",
        ),
    ],
)
def test_keys_without_effect_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_policy(write(tmp_path, text))


LONG = 6000


@pytest.mark.parametrize("text", [
    f"count: {'1' * LONG}", f"count: {'1' * 4000}", f"count: -{'1' * 4000}",
    f"hflip: {'1' * LONG}", f"hflip: {'x' * LONG}", f"fill: {'x' * LONG}",
    f"{'x' * LONG}: 1", f"last: [{{op: {'x' * LONG}}}]",
    f"last: [{{op: Rotate, low: 1, high: 2, levels: {'1' * 4000}}}]",
])  # fmt: skip
def test_what_is_far_too_long_is_not_printed_whole(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_policy(path)
    assert len(str(caught.value).removeprefix(str(path))) < 700
    assert str(caught.value).startswith(f"{path}:1: ")


def test_lists_nested_without_end_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"mine\.yaml: lists are nested too deeply"):
        read_policy(write(tmp_path, "ops: " + "[" * 20_000))
    with pytest.raises(DataError, match=r"mine\.yaml:1: expected a mapping"):
        read_policy(write(tmp_path, "ops: &a [*a]"))


def test_a_list_that_aliases_multiply_is_refused_before_it_is_made(tmp_path):
    """Three thousand words that each stand for three thousand ops."""
    listed = "[" + "{op: Invert}, " * 3000 + "]"
    begin = time.perf_counter()
    for text, message in (
        (f"ops: &a {listed}\nsubpolicies: [{'*a, ' * 3000}]", "1: ops has a list of"),
        (f"subpolicies: [&a {listed}, {'*a, ' * 900}]", "1: subpolicies has a list of"),
        (f"subpolicies: [&a {listed}, {'*a, ' * 3000}]", "list of 3001; at most 1000"),
    ):
        with pytest.raises(DataError, match=message):
            read_policy(write(tmp_path, text))
    assert time.perf_counter() - begin < 20  # reading the words takes most of it


def test_undecodable_file_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(DataError, match=r"mine\.yaml: cannot be read"):
        read_policy(path)


def test_a_tag_cannot_run_code(tmp_path):
    path = write(tmp_path, "name: !!python/object/apply:os.getcwd []")
    with pytest.raises(DataError, match="name must be text"):
        read_policy(path)


ODD = [
    ".nan", "-.inf", "1e999", "-1", "0", "999999999999999999999", "null", "~", "yes",
    "[]", "{}", "[[]]", "{op: Invert}", "'", '"x"', "&a", "*a", "!!set", "!!int x",
    "2001-01-01", "0x1F", "1_0", "<<: {}", "? x", "\t", "\ufeff", "é", "%", "@", "#",
]  # fmt: skip


@settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(data=st.data())
def test_any_slip_in_a_preset_is_a_policy_or_a_named_fault(tmp_path, data):
    files = sorted(f for f in packaged_policies().values() if f.suffix == ".yaml")
    text = data.draw(st.sampled_from(files)).read_text(encoding="utf-8")
    words = re.split(r"(\s+|[{}\[\],:])", text)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(words) - 1))
        words[place] = data.draw(st.sampled_from(ODD) | st.text(max_size=4))
    path = write(tmp_path, "".join(words))
    try:
        outcome = read_policy(path)
    except DataError as error:
        outcome = str(error)
    assert isinstance(outcome, Policy) or outcome.startswith(f"{path}:")


def test_another_encoding_names_the_way_out(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes("# für Kratzer\nhflip: 0.5\n".encode("latin-1"))
    with pytest.raises(DataError, match="save it as UTF-8"):
        read_policy(path)
