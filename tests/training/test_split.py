"""Splits are disjoint, respect time and groups, and contain no anomalies."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.errors import InputError
from vaekit_training.data.load import Rows
from vaekit_training.data.split import Splits, split
from vaekit_training.sections import DataConfig, Fractions


def rows(n: int, key: np.ndarray | None = None, odd: int = 0) -> Rows:
    anomaly = np.zeros(n, dtype=bool)
    anomaly[:odd] = True
    return Rows(np.zeros((n, 1)), ("a",), anomaly, key)


def everything(parts: Splits) -> list[int]:
    return [*parts.train, *parts.validation, *parts.calibration, *parts.test, *parts.anomalies]


@given(n=st.integers(30, 300), odd=st.integers(0, 9), seed=st.integers(0, 99))
def test_every_row_is_in_exactly_one_split(n: int, odd: int, seed: int) -> None:
    parts = split(rows(n, odd=odd), DataConfig(source="-"), seed)
    assert sorted(everything(parts)) == list(range(n))
    assert parts.anomalies.tolist() == list(range(odd))
    assert abs(len(parts.train) - 0.6 * (n - odd)) <= 1


def test_a_split_by_time_trains_on_the_earliest_rows_and_tests_on_the_latest() -> None:
    when = np.random.default_rng(0).permutation(100)
    parts = split(rows(100, when), DataConfig(source="-", split="time:when"), seed=0)
    ends = [when[getattr(parts, p)] for p in ("train", "validation", "calibration", "test")]
    assert all(a.max() < b.min() for a, b in pairwise(ends))


def test_all_rows_of_a_group_are_in_one_split() -> None:
    group = np.repeat(np.array([f"g{i}" for i in range(25)]), 8)
    parts = split(rows(200, group), DataConfig(source="-", split="group:g"), seed=0)
    seen = [set(group[getattr(parts, p)]) for p in ("train", "validation", "calibration", "test")]
    assert sum(map(len, seen)) == 25
    assert len(set().union(*seen)) == 25


def test_another_seed_gives_another_split() -> None:
    a, b = (split(rows(100), DataConfig(source="-"), seed) for seed in (0, 1))
    assert a.train.tolist() != b.train.tolist()
    assert a.train.tolist() == split(rows(100), DataConfig(source="-"), 0).train.tolist()


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(InputError, match="too few rows: 15 normal ones"):
        split(rows(20, odd=5), DataConfig(source="-"), 0)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(InputError, match="too few groups"):
        split(rows(40, np.zeros(40)), DataConfig(source="-", split="group:g"), 0)


def test_an_empty_split_is_refused() -> None:
    tiny = Fractions(train=0.97, validation=0.01, calibration=0.01, test=0.01)
    with pytest.raises(InputError, match="the calibration split would be empty"):
        split(rows(20), DataConfig(source="-", fractions=tiny), 0)
