"""Rows for losses: real ones, and of 0 and 1."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.losses.small import B, D


@pytest.fixture(params=["real", "binary"])
def x(request: pytest.FixtureRequest) -> Tensor:
    torch.manual_seed(1)
    rows = torch.randn(B, D, dtype=torch.float64)
    return rows if request.param == "real" else (rows > 0).double()
