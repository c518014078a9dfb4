"""Masses of bins equal those computed with sixty digits: narrow and wide, central and far out, closed and open."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.graphs import exported_session
from vaekit_training.functional import log_logistic_mass, log_normal_mass

WIDTHS = (1e-6, 1e-3, 0.3, 0.97, 1.0, 1.01, 1.9, 2.1, 30.0, 1e3)
CENTRES = (0.0, 1e-4, 0.2, 0.48, 0.5, 0.6, 1.0, 1.7, 6.0, 40.0, 499.0, 501.0, 3e4, 2e7)
Mass = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
MASSES: dict[str, Mass] = {"normal": log_normal_mass, "logistic": log_logistic_mass}


class _Apply(nn.Module):
    def __init__(self, mass: Mass) -> None:
        super().__init__()
        self.mass = mass

    def forward(self, c: Tensor, w: Tensor, below: Tensor, above: Tensor) -> Tensor:
        return self.mass(c, w, below, above)


def _upper(kind: str, x: mpmath.mpf) -> mpmath.mpf:
    """1 - F(x)."""
    return mpmath.ncdf(-x) if kind == "normal" else 1 / (1 + mpmath.exp(x))


def _density(kind: str, x: mpmath.mpf) -> mpmath.mpf:
    return mpmath.npdf(x) if kind == "normal" else _upper(kind, x) * _upper(kind, -x)


def exact(kind: str, c: float, w: float, below: bool, above: bool) -> tuple[float, float, float]:
    """log p and its derivatives by c and w, computed for the bin mirrored to the right tail, where nothing cancels."""
    if c < 0:
        log_p, to_c, to_w = exact(kind, -c, w, above, below)
        return log_p, -to_c, to_w
    with mpmath.workdps(60):
        a, b = mpmath.mpf(c) - mpmath.mpf(w) / 2, mpmath.mpf(c) + mpmath.mpf(w) / 2
        p = (1 if below else _upper(kind, a)) - (0 if above else _upper(kind, b))
        at_a, at_b = (0 if below else _density(kind, a)), (0 if above else _density(kind, b))
        return float(mpmath.log(p)), float((at_b - at_a) / p), float((at_b + at_a) / (2 * p))


def bins(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """c, w, below and above of every bin, (n,) each."""
    signed = [sign * c for c in CENTRES for sign in (1.0, -1.0)]
    table = [(c, w, *ends) for c in signed for w in WIDTHS for ends in ((False, False), (True, False), (False, True))]
    c, w, below, above = (torch.tensor(column) for column in zip(*table, strict=True))
    return c.to(dtype), w.to(dtype), below, above


@pytest.fixture(scope="module", params=MASSES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def wanted(kind: str) -> NDArray[np.float64]:
    """log p and its slopes for the float32 bins, (n, 3)."""
    return np.array(
        [exact(kind, *each) for each in zip(*(column.tolist() for column in bins(torch.float32)), strict=True)]
    )


def _close(got: Tensor | NDArray[np.floating], want: NDArray[np.float64], tolerance: float) -> None:
    np.testing.assert_allclose(np.asarray(got, dtype=np.float64), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-6)])
def test_log_masses_and_their_slopes_are_exact(
    kind: str, wanted: NDArray[np.float64], dtype: torch.dtype, tolerance: float
) -> None:
    c, w, below, above = bins(torch.float32)
    c, w = c.to(dtype).requires_grad_(), w.to(dtype).requires_grad_()
    log_p = MASSES[kind](c, w, below, above)
    to_c, to_w = torch.autograd.grad(log_p.sum(), [c, w])
    _close(log_p.detach(), wanted[:, 0], tolerance)
    _close(to_c, wanted[:, 1], 5 * tolerance)
    _close(to_w, wanted[:, 2], 5 * tolerance)


def test_log_masses_are_exact_in_a_graph(kind: str, wanted: NDArray[np.float64]) -> None:
    feeds = dict(zip(("c", "w", "below", "above"), bins(torch.float32), strict=True))
    session = exported_session(_Apply(MASSES[kind]), feeds, ("log_p",), {name: {0: "N"} for name in feeds})
    (got,) = session.run(None, {name: value.numpy() for name, value in feeds.items()})
    _close(got, wanted[:, 0], 2e-6)


def test_bins_farthest_out_have_finite_masses_and_slopes(kind: str) -> None:
    c = torch.tensor([-1e9, -1e9, 1e9, 1e9, 1e9]).requires_grad_()
    w = torch.tensor([1e-6, 1e3, 1e-6, 1e3, 1e6]).requires_grad_()
    for below, above in ((False, False), (True, False), (False, True), (True, True)):
        log_p = MASSES[kind](c, w, torch.tensor(below), torch.tensor(above))
        assert torch.isfinite(log_p).all()
        assert (log_p <= 0).all()
        assert all(torch.isfinite(slope).all() for slope in torch.autograd.grad(log_p.sum(), [c, w]))
