"""Cores that a process may use, where it was granted fewer than there are."""

from __future__ import annotations

import os

import pytest

from uda import cores


def test_only_granted_cores_count(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7, 9}, raising=False)
    assert (cores.usable_cores(), cores.reading_threads()) == (3, 3)


@pytest.mark.parametrize(("known", "cores_of_it"), [(4, 4), (None, 1)])
def test_where_grants_are_unknown_all_count(monkeypatch, known, cores_of_it):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: known)
    assert cores.usable_cores() == cores_of_it


def test_one_core_reads_with_two_threads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert cores.reading_threads() == 2
