"""What is counted where, and what can be learned from it."""

from __future__ import annotations

from pathlib import Path

from uda.data.records import Catalog, Record
from uda.inspect import counts, numbers
from uda.inspect.advice import Facts, advise


def test_the_data_own_test_part_is_counted_by_itself():
    """Ten training and three test images: not thirteen of either."""
    kinds = [("train", "A", 10), ("train", "B", 2), ("test", "A", 3), ("test", "B", 3)]
    records = tuple(
        Record(f"{part}/{label}/{i}.png", Path(), label, part=part)
        for part, label, count in kinds
        for i in range(count)
    )
    catalog = Catalog(Path(), records, ("A", "B"), "parts")
    assert counts.training_counts(catalog) == {"A": 10, "B": 2}
    one, two = counts.support_of(catalog, [record.path for record in records])
    assert (one.images, one.test_units) == (13, 3)
    assert (two.images, two.test_units) == (5, 3)
    assert (one.train_groups, two.train_groups) == (10, 2)


def test_what_can_be_learned_is_judged_without_the_test_part():
    kinds = [
        ("train", "A", 40),
        ("train", "B", 7),
        ("test", "A", 30),
        ("test", "B", 30),
    ]
    records = tuple(
        Record(f"{part}/{label}/{i}.png", Path(), label, part=part)
        for part, label, count in kinds
        for i in range(count)
    )
    catalog = Catalog(Path(), records, ("A", "B"), "parts")
    one, two = counts.support_of(catalog, [record.path for record in records])
    assert (one.verdict, two.verdict) == ("enough", "too low")
    assert "7 images to learn from, 30 in the data's own test part" in two.reason
    assert not counts.claims([one, two])["per_class_thresholds"]
    assert counts.own_test(catalog, [one, two]) == {"A": 30, "B": 30}
    facts = Facts({"A": 70, "B": 37}, {"A": 40, "B": 7}, tested={"A": 30, "B": 30})
    (more,) = (a for a in advise(facts) if a.title.startswith("Collect more of"))
    assert "7 independent units of B to learn from; the 30 of the test" in more.reason
    assert f"{numbers.best_recall_low(30):.2f}" in more.reason
