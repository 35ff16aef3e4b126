"""The random streams against published vectors and their own promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda import rng

# Random123's known answers for philox4x32-10: counter, key, result.
KNOWN = [
    ([0, 0, 0, 0], (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    (
        [0xFFFFFFFF] * 4,
        (0xFFFFFFFF, 0xFFFFFFFF),
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        (0xA4093822, 0x299F31D0),
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_equals_published_vectors(counter, key, expected):
    words = rng.philox4x32(np.array([counter], dtype=np.uint64), key)
    assert words[0].tolist() == expected


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    counters=st.lists(st.integers(0, 2**60), min_size=1, max_size=20),
    num=st.integers(1, 9),
)
def test_rows_do_not_depend_on_their_neighbours(seed, counters, num):
    together = rng.uniforms(seed, "view", counters, num)
    alone = np.concatenate([rng.uniforms(seed, "view", [c], num) for c in counters])
    np.testing.assert_array_equal(together, alone)
    longer = rng.uniforms(seed, "view", counters, num + 5)
    np.testing.assert_array_equal(together, longer[:, :num])


def test_uniforms_are_uniform_and_streams_differ():
    draws = rng.uniforms(3, "strong", np.arange(20000), 3)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts, _ = np.histogram(draws, bins=20, range=(0, 1))
    expected = draws.size / 20
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 43.8  # 99.9 % quantile with 19 degrees of freedom
    other = rng.uniforms(3, "weak", np.arange(20000), 3)
    assert abs(np.corrcoef(draws.ravel(), other.ravel())[0, 1]) < 0.02


def test_permutation_and_generator_repeat():
    first = rng.permutation(1, "order", 4, 50)
    assert sorted(first.tolist()) == list(range(50))
    np.testing.assert_array_equal(first, rng.permutation(1, "order", 4, 50))
    assert (first != rng.permutation(1, "order", 5, 50)).any()
    assert rng.generator(1, "a", 2).random() == rng.generator(1, "a", 2).random()
