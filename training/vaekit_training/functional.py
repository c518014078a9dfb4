"""Functions that give the same numbers in ONNX as in torch. All are element-wise unless they state shapes.

ONNX has no log1p, expm1, log_sigmoid, logaddexp or logsumexp. While a graph is captured (`exporting`), these functions
use basic operations that are accurate for small arguments and do not overflow. Otherwise they call the functions of
torch, whose gradients are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_MILLS = (
    1.18326191417, -0.242399670422, 0.0350919197375, 0.0716904714467, -0.0807086486538, 0.0449592859481,
    -0.0125351854533, -0.00071690153354, 0.00173021430769, -0.000233939444793, -0.000201911324428, 4.90982727134e-05,
    1.87662118088e-05, -5.41301383467e-06,
)  # fmt: skip  # a table of numbers
_DILOGARITHM = (
    0.896828414299, -0.0858981977591, 0.0137664003162, -0.00271560364704, 0.000600518716339, -0.000142742480275,
    3.51755455981e-05, -9.1126951474e-06, 3.00734331738e-06, -8.26566537203e-07,
)  # fmt: skip  # a table of numbers
GAUSS_LEGENDRE = ((0.0, 0.2844444444444), (0.2692346550528, 0.4786286704994), (0.4530899229693, 0.2369268850562))
# quadrature on (-1/2, 1/2) with five nodes: |u| of the nodes -u and u, and the sum of their weights
_EXPORTING: ContextVar[bool] = ContextVar("exporting", default=False)
OPEN = 1e10  # replaces the infinite edge of a bin: above any residual, with a square that fits in float32


@contextmanager
def exporting() -> Iterator[None]:
    """Context in which the functions of this module, in this thread, use operations that ONNX has."""
    token = _EXPORTING.set(True)
    try:
        yield
    finally:
        _EXPORTING.reset(token)


def is_exporting() -> bool:
    """Whether a graph is being captured in this thread."""
    return _EXPORTING.get()


def log1p(t: Tensor) -> Tensor:
    """log(1 + t) for t > -1, accurate for small t.

    With u = 1 + t it is log(u) - ((u - 1) - t) / u; the second term corrects the rounding of u.

    Source: Kahan's form, as in gsl_log1p of the GNU Scientific Library.
    """
    if not is_exporting():
        return torch.log1p(t)
    u = 1.0 + t
    return torch.log(u) - ((u - 1.0) - t) / u


def expm1(x: Tensor) -> Tensor:
    """exp(x) - 1, accurate for small x: (u - 1) x / log(u) with u = exp(x), and x where u rounds to 1.

    Source: Kahan's form, in Higham (2002), "Accuracy and stability of numerical algorithms", section 1.14.1.
    """
    if not is_exporting():
        return torch.expm1(x)
    u = torch.exp(x)
    plain = (u == 1.0) | (x.abs() > 1.0)  # above 1 nothing cancels
    v = torch.where(plain, 2.0, u)
    return torch.where(plain, torch.where(u == 1.0, x, u - 1.0), (v - 1.0) * x / torch.log(v))


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) = relu(x) + log1p(exp(-|x|)), accurate relative to its value, because scales are logged later."""
    if not is_exporting():
        return F.softplus(x)
    return torch.relu(x) + log1p(torch.exp(-x.abs()))


def softplus_inverse(y: float) -> float:
    """x with softplus(x) = y, for y > 0."""
    return y + math.log(-math.expm1(-y))


def logaddexp(a: Tensor, b: Tensor) -> Tensor:
    """log(exp(a) + exp(b)) = max(a, b) + log1p(exp(-|a - b|))."""
    if not is_exporting():
        return torch.logaddexp(a, b)
    return torch.maximum(a, b) + log1p(torch.exp(-(a - b).abs()))


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x) of x in {0, 1} for logits l: x log sigmoid(l) + (1 - x) log sigmoid(-l) = -softplus((1 - 2 x) l)."""
    if not is_exporting():
        return F.logsigmoid((2.0 * x - 1.0) * logits)  # -softplus(-y) in fewer operations
    return -softplus((1.0 - 2.0 * x) * logits)


def log_mean_exp(x: Tensor) -> Tensor:
    """log (1/K) sum_k exp(x_k), (..., K) -> (...), computed relative to the largest term."""
    peak = x.amax(dim=-1, keepdim=True)
    mean = torch.exp(x - peak).mean(dim=-1, keepdim=True)
    return (peak + torch.log(mean)).squeeze(-1)


def log_mean_exp_of_many(x: Tensor) -> Tensor:
    """log (1/K) sum_k exp(x_k), (..., K) -> (...), for large K, where passes over the terms take most of the time.

    In a graph it is max_k x_k - max_k log softmax(x)_k - log K, which does not write exponentials to memory.
    """
    if not is_exporting():
        return torch.logsumexp(x, dim=-1) - math.log(x.shape[-1])
    return x.amax(dim=-1) - F.log_softmax(x, dim=-1).amax(dim=-1) - math.log(x.shape[-1])


def log_sinhc(w: Tensor) -> Tensor:
    """log( sinh(w/2) / (w/2) ) for |w| < 1, by the series of sinh."""
    v = w * w
    return log1p(v / 24.0 * (1.0 + v / 80.0 * (1.0 + v / 168.0 * (1.0 + v / 288.0 * (1.0 + v / 440.0)))))


def log1m_exp(w: Tensor) -> Tensor:
    """log(1 - exp(-w)) for w > 0:  log w - w/2 + log( sinh(w/2) / (w/2) ) for w < 1, else log1p(-exp(-w))."""
    if not is_exporting():
        return torch.log(-torch.expm1(-w))
    small = w < 1.0
    below, above = torch.where(small, w, 1.0), torch.where(small, 1.0, w)  # each branch only gets valid arguments
    return torch.where(small, below.log() - 0.5 * below + log_sinhc(below), log1p(-torch.exp(-above)))


def normal_cdf(x: Tensor) -> Tensor:
    """Phi(x) = (1 + erf(x / sqrt(2))) / 2, the distribution function of the standard normal."""
    return 0.5 * (1.0 + torch.erf(x * math.sqrt(0.5)))


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """sum_i c_i x^i by Horner's rule."""
    total = torch.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total * x + c
    return total


def mills(x: Tensor) -> Tensor:
    """R(x) = (1 - Phi(x)) / phi(x) for x >= 0, the Mills ratio of the standard normal.

    (1 + x) R(x) is a polynomial in (x - 4) / (x + 4), fitted at Chebyshev nodes to a relative error of 4e-10. The
    substitution is from Shepherd and Laframboise (1981), "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x". It is
    faster than torch's erfcx and the same in a graph.
    """
    return _polynomial((x - 4.0) / (x + 4.0), _MILLS) / (1.0 + x)


def softplus_integral(y: Tensor) -> Tensor:
    """G(y) = int_{-inf}^y softplus(u) du = -Li2(-exp(y)); for y > 0 it is pi^2 / 6 + y^2 / 2 - G(-y).

    -Li2(-q) / q on [0, 1] is a polynomial in 2 q - 1, fitted at Chebyshev nodes to a relative error of 7e-10.
    """
    q = torch.exp(-y.abs())
    below = q * _polynomial(2.0 * q - 1.0, _DILOGARITHM)
    return torch.where(y > 0, math.pi**2 / 6.0 + 0.5 * y * y - below, below)


def log_ndtr(x: Tensor) -> Tensor:
    """log Phi(x):  log R(-x) + log phi(x) for x <= 0, else log1p(-R(x) phi(x)), with R as in `mills`."""
    r, log_phi = mills(x.abs()), -0.5 * x * x - HALF_LOG_2PI
    tail = torch.where(x > 0, r * torch.exp(log_phi), 0.0)  # 1 - Phi(x)
    return torch.where(x > 0, log1p(-tail), r.log() + log_phi)


def _mean_over_bin(w: Tensor, cw: Tensor) -> Tensor:
    """int_{-1/2}^{1/2} exp(-c w u - (w u)^2 / 2) du for w <= 1 and c w <= 1, by quadrature with five nodes."""
    v, total = -0.5 * w * w, GAUSS_LEGENDRE[0][1] * torch.ones_like(w)
    for u, weight in GAUSS_LEGENDRE[1:]:
        tilt = torch.exp(cw * u)
        total = total + 0.5 * weight * torch.exp(v * u**2) * (tilt + 1.0 / tilt)
    return total


def log_logistic_mass(c: Tensor, w: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """log mass of a standard logistic on [c - w/2, c + w/2]; the masks `below`, `above` mark bins open on that side.

    With a = c - w/2 and b = c + w/2 it is log(F(b) - F(a)) = -softplus(a) - softplus(-b) + log(1 - exp(-(b - a))). The
    terms of an open side are 0.
    """
    left, right = softplus(c - 0.5 * w), softplus(-c - 0.5 * w)
    closed = ~(below | above)
    return closed * log1m_exp(w) - ~below * left - ~above * right


def log_normal_mass(c: Tensor, w: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """log mass of a standard normal on [c - w/2, c + w/2]; the masks `below`, `above` mark bins open on that side.

    It is log(Phi(c + w/2) - Phi(c - w/2)), computed as described at `_Bin`.
    """
    if is_exporting() or not torch.is_grad_enabled():
        return _log_mass(_bin(c, w, below, above))
    return _LogNormalMass.apply(c, w, below, above)


class _LogNormalMass(torch.autograd.Function):
    """log_normal_mass with gradients in closed form, because automatic differentiation subtracts nearly equal numbers.

    d log p / dc = (phi(b) - phi(a)) / p,  d log p / dw = (phi(b) + phi(a)) / (2 p)
    """

    @staticmethod
    def forward(ctx: Any, c: Tensor, w: Tensor, below: Tensor, above: Tensor) -> Tensor:
        part = _bin(c, w, below, above)
        log_p = _log_mass(part)
        ctx.save_for_backward(*_slopes(part, log_p))
        ctx.shapes = c.shape, w.shape
        return log_p

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        to_c, to_w = ctx.saved_tensors
        c_shape, w_shape = ctx.shapes
        return (grads[0] * to_c).sum_to_size(c_shape), (grads[0] * to_w).sum_to_size(w_shape), None, None


class _Bin(NamedTuple):
    """The bin [a, b] = [c - w/2, c + w/2], mirrored so that a + b >= 0, and three forms of its mass p; one is used.

    narrow   b - a < 1 and c w < 1:  p = w phi(c) A,  A = int_{-1/2}^{1/2} exp(-c w u - (w u)^2 / 2) du
    tail     0 <= a:                 p = phi(a) g,  g = R(a) - exp(-c w) R(b)
    central  a < 0:                  p = 1 - q,  q = 1 - Phi(-a) + 1 - Phi(b)

    All forms are computed for every bin, because selecting one costs less than branching. R is as in `mills`.
    """

    c: Tensor
    w: Tensor
    cw: Tensor  # |c| w = (b^2 - a^2) / 2
    side: Tensor  # sign of a + b before mirroring
    log_phi_a: Tensor
    narrow: Tensor  # mask of bins whose mass has the narrow form
    tail: Tensor  # mask of bins whose mass has the tail form
    mean: Tensor  # A
    g: Tensor
    q: Tensor


def _bin(c: Tensor, w: Tensor, below: Tensor, above: Tensor) -> _Bin:
    low, high = c - 0.5 * w - OPEN * below, c + 0.5 * w + OPEN * above
    wide = OPEN * (below | above)
    w, cw = w + wide, (c.abs() + wide) * (w + wide)
    a, b = torch.maximum(low, -high), torch.maximum(high, -low)
    log_phi_a, log_phi_b = -0.5 * a * a - HALF_LOG_2PI, -0.5 * b * b - HALF_LOG_2PI
    r_a, r_b = mills(a.abs()), mills(b)
    return _Bin(
        c,
        w,
        cw,
        torch.sign(low + high),
        log_phi_a,
        narrow=(w < 1.0) & (cw < 1.0),
        tail=a >= 0,
        mean=_mean_over_bin(w.clamp(max=1.0), cw.clamp(max=1.0)),
        g=(r_a - torch.exp(-cw) * r_b).clamp(min=1e-12),  # never reached in the tail form
        q=(r_a * torch.exp(log_phi_a) + r_b * torch.exp(log_phi_b)).clamp(max=0.9),  # never reached in the central form
    )


def _log_mass(p: _Bin) -> Tensor:
    """log p of each bin, by its form."""
    narrow = (p.w * p.mean).log() - 0.5 * p.c * p.c - HALF_LOG_2PI
    return torch.where(p.narrow, narrow, torch.where(p.tail, p.log_phi_a + p.g.log(), log1p(-p.q)))


def _slopes(p: _Bin, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """d log p / dc and d log p / dw, from phi(a) / p and phi(b) = phi(a) exp(-c w)."""
    narrow = torch.exp(0.5 * p.cw.clamp(max=1.0) - 0.125 * p.w * p.w) / (p.w * p.mean)  # phi(a) / p
    central = torch.exp(p.log_phi_a - log_p)
    ratio = torch.where(p.narrow, narrow, torch.where(p.tail, 1.0 / p.g, central))
    return ratio * p.side * torch.expm1(-p.cw), 0.5 * ratio * (1.0 + torch.exp(-p.cw))
