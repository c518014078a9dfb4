"""Values that blind a column, nearly constant columns, and copies of rows."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.test_detector import QUICK
from tests.training.test_inspection import RNG, X, found_in
from vaekit import Detector
from vaekit.errors import InputError
from vaekit_training.config import make_config
from vaekit_training.data.findings import findings
from vaekit_training.data.load import of_array
from vaekit_training.data.split import split


@pytest.mark.parametrize("sentinel", [9.9e9, -999.0, 65535.0, 1e300, -1e300])
def test_a_sentinel_that_blinds_a_column_is_named(sentinel: float) -> None:
    x = np.c_[101_325 + 1000 * RNG.standard_normal(800), RNG.standard_normal(800)]
    column = 1 if abs(sentinel) < 1e5 else 0
    at = [17, 300, 541, 90, 700]
    x[at, column] = sentinel
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (said,) = found_in(x)
    assert said.startswith(f"column 'x{column}': ")
    shown = {9.9e9: "9900000000"}.get(sentinel, f"{sentinel:g}")
    assert f"cells of {shown} (rows 17, " in said
    assert f'set data.missing_values = [{shown}] if they mean "missing"' in said
    assert (said.index("missing_values") < said.index("correct them")) is (sentinel in (-999.0, 65535.0, 1e300, -1e300))


def test_one_cell_far_outside_is_to_be_corrected_first() -> None:
    x = RNG.uniform(0, 10, (800, 2))
    x[17, 0] = 1877.99
    (said,) = found_in(x)
    assert re.sub(r"\(\S+ to \S+\)", "(A to B)", said) == (
        "column 'x0': 1 cell of 1877.99 (row 17) lies far outside the others (A to B) and stretches the column's "
        'scale: correct it if wrong, or set data.missing_values = [1877.99] if it means "missing"'
    )


@pytest.mark.parametrize("sentinel", [-999, -99.0, 9999, 65535, np.float32(-999.9)])
@pytest.mark.parametrize("share", [0.15, 0.4, 0.7])
def test_a_sentinel_in_many_cells_is_named(sentinel: float, share: float) -> None:
    many = np.where(RNG.random(800) < share, sentinel, RNG.standard_normal(800))
    (said,) = found_in(np.c_[many, RNG.standard_normal(800)])
    assert f"set data.missing_values = [{str(sentinel).removesuffix('.0')}]" in said


def test_many_different_cells_far_outside_are_to_be_corrected_one_by_one() -> None:
    x = RNG.standard_normal((800, 2))
    x[:20, 0] = 1e6 * np.arange(1, 21)
    x[:20, 1] = 1e6
    both = found_in(x)
    assert [('empty them if they mean "missing"' in said, "missing_values = [1e+06]" in said) for said in both] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    "values",
    [
        RNG.standard_normal(800),
        np.exp(2 * RNG.standard_normal(800)),
        RNG.standard_cauchy(800).clip(-200, 200),
        RNG.poisson(0.5, 800),
        RNG.integers(0, 100, 800),
        np.where(RNG.random(800) < 0.3, 99.0, RNG.integers(60, 100, 800)),
        np.where(RNG.random(800) < 0.3, 0.0, 1000 + RNG.standard_normal(800)),
        np.where(RNG.random(800) < 0.3, 0.0, RNG.exponential(size=800)),
    ],
    ids=["normal", "lognormal", "heavy tails", "counts", "to 99", "many 99", "off and on", "many zeros"],
)
def test_ordinary_tails_are_not_sentinels(values: NDArray[np.float64]) -> None:
    assert found_in(np.c_[values, RNG.standard_normal(800)]) == []


def test_values_near_the_largest_float_leak_no_warning_of_numpy() -> None:
    x = np.c_[RNG.standard_normal(60), RNG.standard_normal(60)]
    x[:2, 0] = 1e300
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with pytest.raises(InputError, match=r"or name values that mean missing in data\.missing_values"):
            Detector(alpha=0.5, settings=QUICK).fit(x)
    assert [str(one.message)[:13] for one in leaked] == ["column 'x0': "]
    x[:2, 0] = 1e100
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        Detector(alpha=0.5, settings=QUICK).fit(x).predict(x)
    assert [str(one.message)[:13] for one in leaked] == ["column 'x0': "]


def test_infinities_are_refused_with_advice_that_works() -> None:
    x = X.copy()
    x[3, 0], x[5, 0] = np.inf, -np.inf
    with pytest.raises(InputError) as refused:
        Detector(settings=QUICK).fit(x)
    said = str(refused.value)
    assert said.startswith("row 3, feature 'x0': not finite: inf (2 such cells in this column; empty them if the")
    assert "gaussian" not in said
    x[~np.isfinite(x)] = np.nan
    Detector(alpha=0.5, settings=QUICK).fit(x)
    x[3, 0] = np.inf
    Detector(alpha=0.5, settings=[*QUICK, "data.exclude=['x0']"]).fit(x)


def test_columns_of_nearly_one_value_are_named() -> None:
    x = RNG.standard_normal((800, 3))
    x[:, 1] = np.where(np.arange(800) % 150 == 7, x[:, 1], 4.0)
    x[:, 2] = 4.0
    (said,) = found_in(x)
    assert said.startswith("columns of numbers with nearly one value: 'x1' (99.")
    assert "% of its cells are 4)" in said
    assert "data.exclude" in said


def test_copies_across_splits_are_said_because_p_values_do_not_hold() -> None:
    x = np.tile(RNG.standard_normal((50, 3)), (16, 1))
    (said,) = found_in(x)
    assert said.startswith("100% of the calibration rows are copies of rows in the train split")
    assert "p-values do not hold" in said
    assert "data.split = 'group:COLUMN'" in said
    (by_folds,) = found_in(x, folds=3)
    assert "copies of rows in the other folds" in by_folds
    images = np.tile(RNG.integers(0, 255, (20, 4, 4)).astype(np.uint8), (10, 1, 1))
    rows = of_array(images)
    (of_images,) = findings(rows, split(rows, make_config({"name": "a", "data": {"source": "m"}}).data, 0))
    assert "are copies" in of_images


@pytest.mark.parametrize(
    "x",
    [
        RNG.standard_normal((400, 3)),
        RNG.integers(0, 2, (400, 4)).astype(float),
        np.repeat(RNG.integers(0, 2, (400, 1)), 4, axis=1).astype(float),
        np.c_[RNG.integers(0, 3, (400, 3)), RNG.integers(0, 12, 400)].astype(float),
    ],
    ids=["reals", "bits", "one bit four times", "few values"],
)
def test_equal_rows_of_discrete_data_are_expected(x: NDArray[np.float64]) -> None:
    assert [said for said in found_in(x) if "copies" in said] == []


def test_a_detector_says_what_it_found() -> None:
    x = np.tile(RNG.standard_normal((40, 2)), (4, 1))
    with pytest.warns(UserWarning, match="are copies of rows in the train split"):
        Detector(alpha=0.5, settings=QUICK).fit(x)
