"""p-values from order statistics of held-out surprises, compared with exact p-values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.bundle.conftest import npz
from vaekit.bundle import open_bundle, publish
from vaekit.bundle.comparison import tie_floor
from vaekit.bundle.heldout import KEPT_VALUES, HeldOut, RowSample, Surprises
from vaekit.bundle.manifest import SurpriseFile
from vaekit.bundle.write import digest
from vaekit.errors import FormatError

FEW = arrays(np.float64, (7, 3), elements=st.one_of(st.integers(-3, 3).map(float), st.just(np.nan)))


def exact_p_value(held_out: np.ndarray, value: float) -> float:
    """(1 + #{held-out >= value}) / (1 + n), with the tolerance of a comparison."""
    there = held_out[~np.isnan(held_out)]
    return (1 + (there >= tie_floor(value)).sum()) / (1 + len(there))


@given(FEW, st.integers(0, 2), st.floats(-4, 4))
def test_a_few_held_out_values_give_the_exact_p_value_of_each_feature(table, feature, value):
    got = HeldOut.of(table).p_value(value, feature)
    assert np.isnan(got) if np.isnan(table[:, feature]).all() else got == exact_p_value(table[:, feature], value)


def test_the_p_value_of_many_held_out_values_is_close_to_exact_and_never_smaller():
    rng = np.random.default_rng(0)
    table = rng.standard_t(3, (20_000, 2))
    values = np.concatenate([rng.standard_t(3, 500), table[:50, 1]])
    got = HeldOut.of(table).p_value(values, np.ones(len(values), int))
    exact = np.array([exact_p_value(table[:, 1], value) for value in values])
    assert (got >= exact).all()
    assert (got <= 1.13 * exact + 1e-9).all()
    assert HeldOut.of(table).p_value(1e9, 0) == 1 / 20_001


def test_the_number_of_stored_values_does_not_grow_with_the_held_out_rows():
    found = HeldOut.of(np.random.default_rng(0).standard_normal((5000, 40)))
    assert found.largest.shape == (40, KEPT_VALUES)
    np.testing.assert_array_equal(np.sort(found.largest)[:, ::-1], found.largest)


def test_a_missing_cell_has_no_p_value():
    held_out = HeldOut.of([[1.0, np.nan], [2.0, 5.0]])
    np.testing.assert_array_equal(held_out.p_value([np.nan, 9.0], [0, 1]), [np.nan, 0.5])


def test_stored_arrays_are_read_back_unchanged_and_other_arrays_are_refused():
    table = np.random.default_rng(0).standard_normal((30, 4))
    found = Surprises(HeldOut.of(table), HeldOut.of(table[:, :1]), table[3], np.array(1.5))
    again = Surprises.read(found.arrays(), 4)
    for name, want in found.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], want)
    assert again.factor == 1.5
    by_column = replace(found, factor=np.arange(4.0))
    np.testing.assert_array_equal(Surprises.read(by_column.arrays(), 4).factor, np.arange(4.0))
    with pytest.raises(FormatError, match=r"factor: shape \(3,\), expected \(\) or \(4,\)"):
        Surprises.read({**found.arrays(), "factor": np.ones(3)}, 4)
    with pytest.raises(FormatError, match=r"usual: shape \(4,\), expected \(5,\)"):
        Surprises.read(found.arrays(), 5)
    with pytest.raises(FormatError, match=r"features.largest: shape \(30, 4\), expected \(4, 96\)"):
        Surprises.read({**found.arrays(), "features.largest": table}, 4)
    with pytest.raises(FormatError, match=r"no array kl.n"):
        Surprises.read({name: a for name, a in found.arrays().items() if name != "kl.n"}, 4)


def test_the_error_names_the_file_that_has_no_surprises(tiny, tmp_path):
    content = npz(wrong=np.zeros(3))
    signed = SurpriseFile(file="surprise.npz", sha256=digest(content), num_samples=2, n=3)
    publish(tmp_path, tiny.manifest.model_copy(update={"surprise": signed}), {**tiny.files, "surprise.npz": content})
    publish(tmp_path, tiny.manifest, tiny.files)
    with (
        open_bundle(tmp_path / "tiny" / "1") as wrong,
        pytest.raises(FormatError, match=r"^surprise.npz: no array usual"),
    ):
        wrong.surprises()
    with open_bundle(tmp_path / "tiny" / "2") as without:
        assert without.surprises() is None


@pytest.mark.parametrize("sizes", [[100], [1] * 100, [7, 40, 53], [64, 36]])
def test_every_eighth_row_is_kept_whatever_the_batch_sizes(sizes):
    sample, rows, at = RowSample(2, max_cells=40), np.arange(200.0).reshape(100, 2), 0
    for size in sizes:
        sample.add(rows[at : at + size])
        at += size
    np.testing.assert_array_equal(sample.values(), rows[::8])
