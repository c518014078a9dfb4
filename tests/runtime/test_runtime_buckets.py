"""Buckets of rows, the sizes of letters in a signature, and padding."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.bundle.manifest import Tensor
from vaekit.errors import InputError
from vaekit.runtime import buckets as buckets_module
from vaekit.runtime.buckets import bucket, buckets, padded, sizes

COUNTS = st.integers(1, 5000)


@given(COUNTS, COUNTS)
def test_a_bucket_is_less_than_twice_its_rows_and_not_above_the_limit(n, most):
    found = bucket(n, most)
    assert n <= found < 2 * n
    assert found <= max(n, most)


@given(COUNTS, COUNTS)
def test_buckets_lists_exactly_the_buckets_of_all_row_counts(n, most):
    assert buckets(n, most) == tuple(sorted({bucket(rows, most) for rows in range(1, min(n, most) + 1)}))


def test_the_docstring_examples_are_correct():
    assert doctest.testmod(buckets_module) == (0, 2)


def test_padding_repeats_the_last_row_and_does_not_copy_if_there_is_nothing_to_pad():
    a = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(padded(a, 5), [[0, 1], [2, 3], [4, 5], [4, 5], [4, 5]])
    assert padded(a, 3) is a


SIGNATURE = (
    Tensor(name="x", dtype="float64", shape=("N", 3)),
    Tensor(name="eps", dtype="float32", shape=("N", "K", 2)),
)


def feeds(n=4, k=5, d=3, dtype=np.float64, eps_n=None):
    return {"x": np.zeros((n, d), dtype), "eps": np.zeros((eps_n or n, k, 2), np.float32)}


def test_the_sizes_of_letters_are_read_from_the_arrays():
    assert sizes(SIGNATURE, feeds()) == {"N": 4, "K": 5}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (feeds(dtype=np.float32), "x: float32"),
        (feeds(d=2), r"x: float64 \(4, 2\), expected float64 \('N', 3\)"),
        (feeds(eps_n=1), r"eps: float32 \(1, 5, 2\)"),
        ({"x": np.zeros(3), "eps": np.zeros((1, 5, 2), np.float32)}, r"x: float64 \(3,\)"),
        ({"x": np.zeros((1, 3))}, r"inputs: \[x\], expected \[x, eps\]"),
        ({**feeds(), "y": np.zeros(3)}, r"inputs: \[x, eps, y\], expected \[x, eps\]"),
    ],
    ids=["type", "columns", "different numbers of rows", "axes", "missing input", "extra input"],
)
def test_arrays_that_do_not_match_the_signature_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        sizes(SIGNATURE, wrong)
