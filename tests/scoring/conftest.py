"""A scorer that needs no model: its scores can be checked by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.manifest import Column
from vaekit.scoring import Scores

ABC = VectorSpec(columns=(Column(name="b"), Column(name="a"), Column(name="c", kind="binary")))


@dataclass
class Squares:
    """elbo = -sum x^2 - 1; a row is an anomaly where that exceeds 100."""

    spec: VectorSpec | ImageSpec = ABC
    model: str = "squares@1"
    alpha: float = 0.05
    reason: str | None = None
    batch_rows: int = 4
    seen: list[NDArray[Any]] = field(default_factory=list)

    def score(self, x: NDArray[Any]) -> Scores:
        self.seen.append(x)
        log_likelihood = -np.square(x.reshape(len(x), -1).astype(np.float64)).sum(axis=1)
        elbo, kl = log_likelihood - 1.0, np.ones(len(x))
        if self.reason is not None:
            return Scores(elbo, log_likelihood, kl, None, None)
        p_value = np.where(elbo < -100.0, 0.01, 0.5)
        return Scores(elbo, log_likelihood, kl, p_value, p_value <= self.alpha)

    @property
    def rows(self) -> NDArray[Any]:
        """All rows that were scored."""
        return np.concatenate(self.seen)


@pytest.fixture
def scorer() -> Squares:
    return Squares()


@pytest.fixture
def image_scorer() -> Squares:
    return Squares(ImageSpec(height=2, width=2, channels=1, two_valued=True))
