"""Splits of images with several labels: balanced, grouped, nested."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

from uda.cli.split import command
from uda.data.multilabel import join_names, members
from uda.data.partition import choose_units
from uda.data.records import scan
from uda.data.splits import make_split
from uda.errors import UsageError
from uda.rng import generator

RATES = {"Dent": 0.5, "Rust": 0.25, "Scratch": 0.08}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """120 images in 40 groups; about a third shows nothing."""
    folder = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(5)
    lines = ["path,label,group"]
    for number in range(120):
        names = [name for name, rate in RATES.items() if rng.random() < rate]
        (folder / f"{number:03d}.png").write_bytes(f"{number}".encode())
        label = join_names(names) if number % 20 else ""
        lines.append(f"{number:03d}.png,{label},g{number // 3}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


def split_of(data, **options):
    catalog = scan(data, multi_label=True)
    split, notes = make_split(catalog, catalog.groups(), **options)
    return split, notes, catalog


def counts(split, part):
    names = Counter()
    for row in split.part(part):
        names.update(row.label.split("|"))
    return names


def test_each_part_holds_each_class_at_about_its_share(data):
    split, _, catalog = split_of(data, test=0.25, validation=0.2, seed=3)
    assert split.crossings() == []
    total = Counter(catalog.class_counts)
    total["none"] = sum(r.label == "none" for r in catalog.records)
    assert total["none"] > 20
    for part, share in (("test", 0.25), ("validation", 0.2)):
        found = counts(split, part)
        for name, number in total.items():
            assert abs(found[name] - share * number) <= max(2, 0.1 * number), name
    assert {row.label for row in split.part("unlabeled")} == {None}


def test_more_labels_hold_fewer_and_reach_every_class(data):
    before: set[str] = set()
    for k in (1, 2, 4, 6):
        split, _, _ = split_of(data, labels_per_class=k, seed=1)
        paths = {row.path for row in split.part("labeled")}
        found = counts(split, "labeled")
        for name in (*RATES, "none"):
            assert found[name] >= k or name == "Scratch"
        assert before <= paths
        before = paths
        assert len(paths) <= 4 * k  # never more than one new image per class and round


def sechidis(table, shares, rng):
    """Iterative stratification of single items, literally (Sechidis 2011, alg. 1)."""
    rows = list(range(len(table)))
    size = [share * len(table) for share in shares]
    want = [share * table.sum(0).astype(float) for share in shares]
    parts = [[] for _ in shares]
    while rows:
        left = table[rows].sum(0)
        positive = np.flatnonzero(left)
        if not positive.size:
            for row in rows:
                best = int(np.argmax(size))
                parts[best].append(row)
                size[best] -= 1
            break
        label = int(positive[left[positive].argmin()])
        for row in [r for r in rows if table[r, label]]:
            asked = np.array([w[label] for w in want])
            ties = np.flatnonzero(asked == asked.max())
            room = np.array([size[t] for t in ties])
            ties = ties[room == room.max()]
            best = int(rng.choice(ties))
            parts[best].append(row)
            want[best] -= table[row]
            size[best] -= 1
            rows.remove(row)
    return parts


@pytest.mark.parametrize("seed", range(4))
def test_stratification_is_no_worse_than_iterative_stratification(seed):
    rng = np.random.default_rng(seed)
    table = (rng.random((150, 6)) < [0.6, 0.4, 0.2, 0.1, 0.06, 0.03]).astype(np.int64)
    table = table[table.any(1)]
    total = table.sum(0)
    chosen = choose_units(
        table, 0.2 * total, keep=np.ones(6, np.int64),
        rng=generator(seed, "t"), rarest_first=True,
    )  # fmt: skip
    other = np.zeros(len(table), bool)
    other[sechidis(table, (0.2, 0.8), rng)[0]] = True

    def error(mask):
        return float((((table[mask].sum(0) - 0.2 * total) / total) ** 2).sum())

    assert error(chosen) <= error(other) + 1e-12
    assert (table[chosen].sum(0) > 0)[total > 1].all()
    assert (table[~chosen].sum(0) > 0).all()


def test_rarest_first_changes_nothing_for_one_class_per_unit():
    rng = np.random.default_rng(0)
    table = np.eye(3, dtype=np.int64)[rng.integers(0, 3, 40)]
    wanted, keep = 0.3 * table.sum(0), np.ones(3, np.int64)
    sizes = []
    for first in (False, True):
        rng = generator(1, "t")
        chosen = choose_units(table, wanted, keep=keep, rng=rng, rarest_first=first)
        sizes.append(table[chosen].sum(0).tolist())
    assert sizes[0] == sizes[1]


def test_the_command_counts_classes(data, tmp_path):
    out = tmp_path / "split.csv"
    words = [str(data), "--multi-label", "--labels-per-class", "3", "--out", str(out)]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for name in (*RATES, "none", "(no label)"):
        assert name in done.output
    assert "--multi-label --split" in done.output.replace("\n", " ")


def test_members_refuse_a_class_that_is_not_listed():
    with pytest.raises(KeyError):
        members(["Rust|Odd"], ("Rust",))


def test_numbers_by_name_that_cannot_be_had_are_refused(data):
    wanted = dict.fromkeys(RATES, 1)
    split, _, _ = split_of(data, labels_per_class=wanted)
    assert counts(split, "labeled")["Scratch"] >= 1
    # Images that show nothing are as many as the most; too few of them are no error.
    split_of(data, labels_per_class=wanted | {"Dent": 38})
    with pytest.raises(UsageError, match="Scratch=5000: outside of test"):
        split_of(data, labels_per_class=wanted | {"Scratch": 5000})
