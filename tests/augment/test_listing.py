"""The list of policies: every name, its origin, and no silent omission."""

from __future__ import annotations

import pytest

from uda.augment import listing
from uda.augment.listing import list_policies
from uda.augment.policy import load_policy, packaged_policies


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").mkdir()
    return tmp_path / "policies"


def test_packaged_policies_are_all_listed_and_say_what_they_are(own):
    found = {entry.name: entry for entry in list_policies()}
    assert set(packaged_policies()) <= set(found)
    for name in packaged_policies():
        assert found[name].origin == "uda"
        assert len(found[name].about) > 10, name
        assert "\n" not in found[name].about
    assert found["weak"].kind == "YAML"
    assert found["example_gamma"].kind == "Python"
    assert found["example_gamma"].about.startswith("A Python policy")


def test_own_files_come_first_and_hide(own):
    (own / "weak.yaml").write_text("# Mine. It does little.\nhflip: 0.5\n")
    first, *others = list_policies()
    assert (first.name, first.origin, first.about) == ("weak", "./policies", "Mine")
    (hidden,) = [entry for entry in others if entry.name == "weak"]
    assert hidden.fault == "the name means that of ./policies"
    assert load_policy("weak").vflip == 0  # as the list says


def test_two_files_of_one_name_are_shown_as_a_fault(own):
    (own / "mine.yaml").write_text("hflip: 0.5\n")
    (own / "mine.py").write_text('"""Mine."""\n')
    (own / "other.yaml").write_text("hflip: 0.5\n")
    found = [(entry.name, entry.kind, entry.fault) for entry in list_policies()[:3]]
    fault = (
        "policies/mine.py and policies/mine.yaml have this name: rename one, or give "
        "one by its path"
    )
    assert found == [
        ("mine", "Python", fault), ("mine", "YAML", fault), ("other", "YAML", ""),
    ]  # fmt: skip


def test_broken_files_are_shown_with_the_reason(own):
    (own / "a.yaml").write_text("hflipp: 0.5\n")
    (own / "b.py").write_text("def augment(image, rng)\n    return image\n")
    (own / "c.py").write_text("import no_such_module_here.deep\n")
    (own / "d.yaml").write_text("")
    (own / "e.py").write_bytes(b"\x00")
    (own / "notes.txt").write_text("no policy")
    faults = {entry.name: entry.fault for entry in list_policies()}
    assert "a.yaml:1: unknown key 'hflipp' (did you mean 'hflip'?)" in faults["a"]
    assert "b.py:1: " in faults["b"]
    assert faults["c"] == "needs no_such_module_here, which is not installed"
    assert "is empty" in faults["d"]
    assert faults["e"]
    assert "notes" not in faults


def test_python_files_are_not_run(own):
    (own / "mine.py").write_text('"""Mine: it tells."""\nraise SystemExit(3)\n')
    entry = list_policies()[0]
    assert (entry.name, entry.about, entry.fault) == ("mine", "Mine: it tells", "")


def test_entry_points_are_listed_without_import(own, monkeypatch):
    from importlib.metadata import EntryPoint

    points = {
        "plant": (EntryPoint("plant", "no_such_module:make", "uda.policies"),),
        "both": tuple(
            EntryPoint("both", f"module{i}:augment", "uda.policies") for i in (1, 2)
        ),
    }
    monkeypatch.setattr(listing, "installed_policies", lambda: points)
    found = {entry.name: entry for entry in list_policies()}
    assert found["plant"].about == "entry point no_such_module:make"
    assert not found["plant"].fault
    assert found["both"].fault == "offered twice: module1:augment, module2:augment"
