"""Buckets of rows, what the letters of a signature stand for, and rows that are padded."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.bundle.manifest import Tensor
from vaekit.errors import InputError
from vaekit.runtime import buckets as room
from vaekit.runtime.buckets import bucket, buckets, padded, sizes

COUNTS = st.integers(1, 5000)


@given(COUNTS, COUNTS)
def test_a_bucket_holds_its_rows_wastes_less_than_half_and_exceeds_no_limit(n, most):
    found = bucket(n, most)
    assert n <= found < 2 * n
    assert found <= max(n, most)


@given(COUNTS, COUNTS)
def test_the_buckets_are_all_that_rows_go_into_and_nothing_else(n, most):
    assert buckets(n, most) == tuple(sorted({bucket(rows, most) for rows in range(1, min(n, most) + 1)}))


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(room) == (0, 2)


def test_padding_repeats_the_last_row_and_copies_nothing_where_there_is_none():
    a = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(padded(a, 5), [[0, 1], [2, 3], [4, 5], [4, 5], [4, 5]])
    assert padded(a, 3) is a


SIGNATURE = (
    Tensor(name="x", dtype="float64", shape=("N", 3)),
    Tensor(name="eps", dtype="float32", shape=("N", "K", 2)),
)


def feeds(n=4, k=5, d=3, dtype=np.float64, eps_n=None):
    return {"x": np.zeros((n, d), dtype), "eps": np.zeros((eps_n or n, k, 2), np.float32)}


def test_letters_are_read_off_the_arrays():
    assert sizes(SIGNATURE, feeds()) == {"N": 4, "K": 5}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (feeds(dtype=np.float32), "x: float32"),
        (feeds(d=2), r"x: float64 \(4, 2\), expected float64 \('N', 3\)"),
        (feeds(eps_n=1), r"eps: float32 \(1, 5, 2\)"),
        ({"x": np.zeros(3), "eps": np.zeros((1, 5, 2), np.float32)}, r"x: float64 \(3,\)"),
        ({"x": np.zeros((1, 3))}, r"inputs: \[x\], expected \[x, eps\]"),
        ({**feeds(), "y": np.zeros(3)}, r"inputs: \[x, eps, y\], expected \[x, eps\]"),
    ],
    ids=["type", "columns", "rows that differ", "axes", "an input too few", "one too many"],
)
def test_arrays_that_are_not_those_of_the_signature_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        sizes(SIGNATURE, wrong)
