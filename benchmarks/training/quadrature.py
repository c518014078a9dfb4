"""Checks that every likelihood integrates, or sums, to 1 over raw values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.plan import Plan
from benchmarks.report import Figure, Measured
from vaekit.bundle.input_spec import Kind
from vaekit_training.build import build
from vaekit_training.config import make_config
from vaekit_training.data.load import Rows
from vaekit_training.vae import VAE

Array = NDArray[np.float64]
Grid = tuple[Array, Array]  # nodes and weights, (G,) each

TARGET = 1e-6  # |integral - 1|
ROWS = 200
NODES = 500  # Gauss-Legendre nodes per panel
PANELS = 40
LARGEST_COUNT = 20_000
LARGEST_LOG = 690.0  # exp of more overflows float64
NOISE = 0.3  # standard deviation of the noise added to every weight, so that no parameter keeps its initial value


@dataclass(frozen=True)
class Case:
    """One likelihood on one kind of values."""

    likelihood: str
    kind: Kind | None  # None: images
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.likelihood} on {self.kind or 'pixels'}"


CASES = (
    *(Case(name, kind) for name in ("gaussian", "student_t", "laplace") for kind in ("real", "positive")),
    Case("gaussian", "count"),
    Case("discretized_logistic", "count"),
    Case("continuous_bernoulli", "fraction"),
    Case("bernoulli", "binary"),
    Case("categorical", "category"),
    Case("gaussian", None),
    Case("discretized_logistic", None),
    Case("bernoulli", None, {"binarize": "threshold"}),
)


def measure(plan: Plan) -> Measured:
    """The largest |integral - 1| over latents, for each case."""
    latents = plan.pick(20, 5)
    figures = [
        Figure(f"integral - 1, {case.name}", worst_error(case, latents), "absolute", target=TARGET) for case in CASES
    ]
    return Measured(figures, {"latents": latents, "nodes": NODES * PANELS})


def worst_error(case: Case, latents: int, seed: int = 0) -> float:
    """The largest |integral - 1| over random latents; the integral is over the first column or pixel."""
    vae, rows = untrained(case, seed)
    x, weights = grid(case, rows.x[:, 0] if case.kind else rows.x)
    t = vae.features(torch.from_numpy(_with_first(rows.x[0], x)))  # (G, D)
    jacobian = vae.features.log_jacobian(t).expand(len(t), -1)[:, 0]  # (G,)
    generator = torch.Generator().manual_seed(seed)
    worst = 0.0
    for _ in range(latents):
        z = 2.0 * torch.randn(1, 1, vae.latent_dim, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            h = vae.decoder(z).expand(len(t), 1, -1)  # (G, 1, width)
            log_p = vae.likelihood.log_prob(t[:, None], h)[:, 0, 0] + jacobian  # (G,)
        total = float((torch.from_numpy(weights) * log_p.exp()).sum())
        worst = max(worst, abs(total - 1.0))
    return worst


def untrained(case: Case, seed: int) -> tuple[VAE, Rows]:
    """An untrained model of the case in float64 with noise on its weights, and the rows that standardise it."""
    rows = _rows(case.kind, np.random.default_rng(seed))
    config = make_config(
        {
            "name": "quadrature",
            "data": {"source": "generated"},
            "network": {"hidden": [8], "latent_dim": 2},
            "likelihood": {"name": case.likelihood, **case.settings},
            "training": {"seed": seed},
        }
    )
    vae = build(config, rows, np.arange(ROWS)).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(NOISE * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return vae, rows


def grid(case: Case, values: Array) -> Grid:
    """Nodes over all possible values, and their weights; for a binarised pixel one node for each of its two values."""
    if case.kind is None and case.likelihood == "bernoulli":
        return np.array([0.0, 255.0]), np.ones(2)
    makers: dict[Kind | None, Callable[[], Grid]] = {
        "real": lambda: _line(float(values.mean()), float(values.std())),
        "positive": lambda: _half_line(float(np.log(values).mean()), float(np.log(values).std())),
        "fraction": lambda: _panels(np.linspace(0.0, 1.0, PANELS + 1)),
        "count": lambda: _points(LARGEST_COUNT),
        "binary": lambda: _points(2),
        "category": lambda: _points(3),
        None: lambda: _points(256),
    }
    return makers[case.kind]()


def _points(n: int) -> Grid:
    return np.arange(n, dtype=np.float64), np.ones(n)


def _panels(edges: Array) -> Grid:
    """Gauss-Legendre on each panel between edges."""
    node, weight = np.polynomial.legendre.leggauss(NODES)
    half, middle = np.diff(edges)[:, None] / 2, (edges[:-1] + edges[1:])[:, None] / 2
    return (middle + half * node).ravel(), (half * weight).ravel()


def _line(loc: float, scale: float) -> Grid:
    """The real line by x = loc + scale tan(u), dx = scale / cos^2(u) du, which covers power-law tails."""
    u, weight = _panels(np.linspace(-np.pi / 2, np.pi / 2, PANELS + 1))
    return loc + scale * np.tan(u), weight * scale / np.cos(u) ** 2


def _half_line(loc: float, scale: float) -> Grid:
    """x = exp(y), dx = x dy, with y over the real line as far as exp(y) is a float64."""
    y, weight = _line(loc, scale)
    inside = np.abs(y) < LARGEST_LOG
    return np.exp(y[inside]), weight[inside] * np.exp(y[inside])


def _with_first(row: NDArray[np.generic], values: Array) -> NDArray[np.generic]:
    """Copies of a row with these values in its first column."""
    x = np.repeat(row[None], len(values), axis=0)
    x.reshape(len(x), -1)[:, 0] = values
    return x


def _rows(kind: Kind | None, rng: np.random.Generator) -> Rows:
    """Two columns of a kind in units far from 1, or images of 2 x 2 pixels."""
    if kind is None:
        return Rows(rng.integers(0, 256, (ROWS, 2, 2, 1), dtype=np.uint8), (), np.zeros(ROWS, dtype=bool))
    normal = rng.standard_normal((ROWS, 2))
    values: dict[Kind, Array] = {
        "real": 1e4 + 50.0 * normal,
        "positive": np.exp(3.0 + normal),
        "count": rng.poisson(30.0, (ROWS, 2)).astype(np.float64),
        "fraction": rng.beta(0.7, 2.0, (ROWS, 2)),
        "binary": rng.integers(0, 2, (ROWS, 2)).astype(np.float64),
        "category": rng.integers(0, 3, (ROWS, 2)).astype(np.float64),
    }
    levels = (("a", "b", "c"),) * 2 if kind == "category" else (None, None)
    return Rows(values[kind], ("a", "b"), np.zeros(ROWS, dtype=bool), kinds=(kind,) * 2, levels=levels)
