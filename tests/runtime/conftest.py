"""Fixtures for each committed bundle and its rows, and the comparison of two results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit.runtime import Model

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=["breast_cancer", "digits"])
def loaded(request) -> Model:
    return request.getfixturevalue(request.param)


@pytest.fixture
def rows(loaded, benign_rows, digit_images) -> NDArray[Any]:
    return benign_rows if loaded.spec.kind == "vector" else digit_images[:400]


def assert_same(a: Any, b: Any) -> None:
    for name, got in a.arrays().items():
        want = getattr(b, name)
        assert (got is None) == (want is None), name
        if got is not None:
            np.testing.assert_allclose(got, want, **CLOSE, err_msg=name)
