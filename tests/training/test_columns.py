"""Column statistics equal those of numpy, for all rows at once or in chunks, with and without missing cells."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Kind
from vaekit.errors import InputError
from vaekit_training.data.columns import Moments, Statistics, channels
from vaekit_training.data.load import Rows

KINDS: tuple[Kind, ...] = ("real", "positive", "real", "positive", "real", "positive")


def table(n: int = 500) -> NDArray[np.float64]:
    """Positive columns of very different sizes; the last one is constant."""
    x = np.exp(np.random.default_rng(0).standard_normal((n, 6))) * [1, 1e-3, 1e4, 50, 2, 1] + [0, 5, 1e-5, 1e9, 3, 0]
    x[:, 5] = 7.25
    return x


def holes(x: NDArray[np.float64], share: float = 0.3) -> NDArray[np.float64]:
    return np.where(np.random.default_rng(1).random(x.shape) < share, np.nan, x)


def test_mean_and_scale_of_real_columns_equal_numpys_exactly() -> None:
    x = table()
    found = Statistics.of(x, ("real",) * 6)
    assert (found.loc[:5] == x.mean(axis=0)[:5]).all()
    assert (found.scale[:5] == x.std(axis=0)[:5]).all()
    assert found.constant.tolist() == [False] * 5 + [True]
    assert (found.loc[5], found.scale[5], found.value[5], found.resolution[5]) == (7.25, 7.25e-6, 7.25, 0)


def test_statistics_of_positive_columns_are_those_of_their_log() -> None:
    x = table()
    found = Statistics.of(x, KINDS)
    assert found.log.tolist() == [False, True, False, True, False, False]
    assert found.loc[1] == pytest.approx(np.log(x[:, 1]).mean(), rel=1e-14)
    assert found.scale[3] == pytest.approx(np.log(x[:, 3]).std(), rel=1e-14)
    assert found.value[1] == x[0, 1]


def test_missing_cells_are_left_out_of_all_statistics() -> None:
    x = holes(table())
    found = Statistics.of(x, KINDS)
    for d in range(5):
        alone = x[~np.isnan(x[:, d]), d : d + 1]
        lone = Statistics.of(alone, KINDS[d : d + 1])
        for field in dataclasses.fields(Statistics):
            if field.name != "most_missing":
                np.testing.assert_allclose(getattr(found, field.name)[d], getattr(lone, field.name)[0], rtol=1e-13)
    assert found.most_missing == np.isnan(x).sum(axis=1).max()


@pytest.mark.parametrize("chunks", [1, 2, 7, 500])
def test_statistics_in_chunks_equal_those_of_all_rows_at_once(chunks: int) -> None:
    x = holes(table())
    moments = Moments(KINDS)
    for chunk in np.array_split(x, chunks):
        moments.add(chunk)
    found, want = moments.statistics(x), Statistics.of(x, KINDS)
    for field in dataclasses.fields(Statistics):
        np.testing.assert_allclose(getattr(found, field.name), getattr(want, field.name), rtol=1e-7, err_msg=field.name)


def test_statistics_in_chunks_are_accurate_for_columns_far_from_0() -> None:
    x = 1e9 + np.random.default_rng(0).standard_normal((4000, 1))
    moments = Moments(("real",))
    for chunk in np.array_split(x, 40):
        moments.add(chunk)
    assert moments.statistics(x).scale[0] == pytest.approx(x.std(), rel=1e-7)


def test_the_resolution_is_the_grid_of_rounded_values() -> None:
    x = np.round(np.random.default_rng(0).standard_normal((300, 1)), 2)
    assert Statistics.of(x, ("real",)).resolution[0] == pytest.approx(0.01)
    assert Statistics.of(np.exp(x), ("positive",)).resolution[0] == pytest.approx(0.01)


def test_mean_and_deviation_of_channels_are_exact() -> None:
    x = np.random.default_rng(0).integers(0, 256, (50, 4, 3, 3), dtype=np.uint8)
    mean, deviation = channels(np.array_split(x, 7))
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(deviation, x.std(axis=(0, 1, 2)), rtol=1e-13)
    rows = Rows(x, (), np.zeros(50, dtype=bool))
    np.testing.assert_array_equal(rows.channels(np.arange(50))[0], mean)


def test_a_column_without_a_training_value_is_refused() -> None:
    x = table(20)
    x[:15, 2] = np.nan
    rows = Rows(x, tuple("abcdef"), np.zeros(20, dtype=bool), may_be_missing=(True,) * 6)
    assert rows.statistics(np.arange(20)).count[2] == 5
    with pytest.raises(InputError, match="feature 'c': no training row has a value"):
        rows.statistics(np.arange(15))


def test_columns_are_real_and_complete_by_default() -> None:
    x = table(20)
    rows = Rows(x, tuple("abcdef"), np.zeros(20, dtype=bool))
    assert (rows.kinds, rows.levels, rows.observed) == (("real",) * 6, (None,) * 6, None)
    x[3, 1] = np.nan
    rows = Rows(x, tuple("abcdef"), np.zeros(20, dtype=bool), may_be_missing=(True,) * 6)
    assert rows.observed is not None
    assert np.argwhere(~rows.observed).tolist() == [[3, 1]]
