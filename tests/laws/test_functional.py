"""Every exported function equals float64 references from -200 to 200, in torch and in ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, nn

from tests.graphs import exported_session
from vaekit_training import functional

GRID = np.unique(np.concatenate([np.linspace(-200, 200, 4001), np.linspace(-1, 1, 801), np.geomspace(1e-8, 200, 400)]))
Reference = Callable[[float], float]


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def logaddexp(x: float) -> float:
    a, b = x, 0.5 * x - 3
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def log_sinhc(x: float) -> float:
    w = min(max(x, -1.0), 1.0)
    return math.log1p(sum(w ** (2 * i) / (4**i * math.factorial(2 * i + 1)) for i in range(1, 9)))


def log_ndtr(x: float) -> float:
    return float(special.log_ndtr(x)) if x < 0 else math.log1p(-special.ndtr(-x))


def softplus_integral(y: float) -> float:
    """-Li2(-exp(y)); scipy's spence is Li2(1 - z)."""
    q = math.exp(-abs(y))
    below = q - q * q / 4 + q**3 / 9 if q < 1e-6 else -special.spence(1 + q)
    return math.pi**2 / 6 + y * y / 2 - below if y > 0 else below


def log1m_exp(x: float) -> float:
    w = max(abs(x), 1e-8)
    return math.log(-math.expm1(-w)) if w < 1 else math.log1p(-math.exp(-w))


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Reference]] = {
    "softplus": (functional.softplus, softplus),
    "log1p of exp(-|x|)": (lambda x: functional.log1p(torch.exp(-x.abs())), lambda x: math.log1p(math.exp(-abs(x)))),
    "log p(1) of Bernoulli": (lambda x: functional.bernoulli_log_prob(torch.ones_like(x), x), lambda x: -softplus(-x)),
    "log p(0) of Bernoulli": (lambda x: functional.bernoulli_log_prob(torch.zeros_like(x), x), lambda x: -softplus(x)),
    "expm1": (lambda x: functional.expm1(x.clamp(max=80)), lambda x: math.expm1(min(x, 80))),
    "log(1 - exp(-w))": (lambda x: functional.log1m_exp(x.abs().clamp(min=1e-8)), log1m_exp),
    "log sinh(w/2) / (w/2)": (lambda x: functional.log_sinhc(x.clamp(-1, 1)), log_sinhc),
    "Mills's ratio": (
        lambda x: functional.mills(x.abs()),
        lambda x: math.sqrt(math.pi / 2) * special.erfcx(abs(x) / math.sqrt(2)),
    ),
    "integral of softplus": (functional.softplus_integral, softplus_integral),
    "log of the normal distribution function": (functional.log_ndtr, log_ndtr),
    "logaddexp": (lambda x: functional.logaddexp(x, 0.5 * x - 3), logaddexp),
}
ABSOLUTE = ("logaddexp", "log(1 - exp(-w))")  # results are in nats, so that absolute errors matter


class _Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.fixture(scope="module", params=FUNCTIONS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _exact(name: str) -> NDArray[np.float64]:
    return np.array([FUNCTIONS[name][1](float(x)) for x in GRID.astype(np.float32)])


def _relative_error(got: NDArray[np.floating], want: NDArray[np.float64]) -> float:
    """Largest relative error; below the smallest normal float32 number it is relative to that number."""
    return float((np.abs(got.astype(np.float64) - want) / np.maximum(np.abs(want), np.finfo(np.float32).tiny)).max())


def test_torch_gives_the_float64_value(name: str) -> None:
    got = FUNCTIONS[name][0](torch.from_numpy(GRID.astype(np.float32))).numpy()
    off = np.abs(got - _exact(name)).max() if name in ABSOLUTE else _relative_error(got, _exact(name))
    assert off < 1e-5


def test_onnx_gives_the_float64_value(name: str) -> None:
    x = torch.from_numpy(GRID.astype(np.float32))
    session = exported_session(_Apply(FUNCTIONS[name][0]), {"x": x}, ("y",), {"x": {0: "N"}})
    got = session.run(None, {"x": x.numpy()})[0]
    off = np.abs(got - _exact(name)).max() if name in ABSOLUTE else _relative_error(got, _exact(name))
    assert off < 1e-5


def test_gradients_are_finite_everywhere(name: str) -> None:
    x = torch.from_numpy(GRID.astype(np.float32)).requires_grad_()
    FUNCTIONS[name][0](x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_log_mean_exp_is_exact_where_exp_overflows() -> None:
    x = torch.tensor([[1000.0, 1000.0, -1000.0], [-5e17, -5e17, -6e17]], dtype=torch.float64)
    got = functional.log_mean_exp(x)
    assert got.tolist() == pytest.approx([1000 + math.log(2 / 3), -5e17 + math.log(2 / 3)])


def test_normal_cdf_equals_scipys() -> None:
    from scipy.stats import norm

    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    np.testing.assert_allclose(functional.normal_cdf(x).numpy(), norm.cdf(x.numpy()), atol=1e-15)


def test_softplus_inverse_inverts_softplus() -> None:
    for y in (1e-6, 0.5, 1.0, 30.0):
        assert softplus(functional.softplus_inverse(y)) == pytest.approx(y, rel=1e-9)
