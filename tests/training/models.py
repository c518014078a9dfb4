"""Untrained models and rows for tests. Knows how to make one of every kind; trains nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training import build
from training.config import Config, make_config
from training.data import Rows
from training.vae import VAE

TABLE = "table"


@dataclass(frozen=True)
class Case:
    """One kind of model, and rows it takes."""

    config: Config
    rows: Rows
    vae: VAE

    @property
    def x(self) -> torch.Tensor:
        return torch.from_numpy(self.rows.x)

    @property
    def latent_dim(self) -> int:
        return build.dimension(self.config, self.rows)


def table(n: int = 40, seed: int = 0, constant: bool = False) -> Rows:
    """Correlated columns in very different units, (n, 5), and a sixth that never changes."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 2))
    x = z @ rng.standard_normal((2, 5)) + 0.3 * rng.standard_normal((n, 5))
    x = x * np.array([1.0, 1e-3, 1e4, 50.0, 2.0]) + np.array([0.0, 5.0, -1e5, 1e9, 3.0])
    if constant:
        x = np.column_stack([x, np.full(n, 7.0)])
    return Rows(x, tuple(f"c{d}" for d in range(x.shape[1])), np.zeros(n, dtype=bool))


def bits(n: int = 40, seed: int = 0) -> Rows:
    """Columns of 0 and 1, (n, 6)."""
    x = (np.random.default_rng(seed).random((n, 6)) < 0.3).astype(np.float64)
    return Rows(x, tuple(f"b{d}" for d in range(6)), np.zeros(n, dtype=bool))


def pictures(n: int = 40, seed: int = 0, channels: int = 1) -> Rows:
    """Grey or coloured noise, (n, 4, 3, channels)."""
    x = np.random.default_rng(seed).integers(0, 256, (n, 4, 3, channels), dtype=np.uint8)
    return Rows(x, (), np.zeros(n, dtype=bool))


KINDS: dict[str, tuple[Any, list[str]]] = {
    "gaussian, scale from the network": (table, []),
    "gaussian, a scale for each feature": (table, ['likelihood.scale="feature"']),
    "gaussian, one scale": (table, ['likelihood.scale="shared"']),
    "gaussian, a fixed scale": (table, ["likelihood.scale=0.5"]),
    "gaussian, a constant column": (lambda: table(constant=True), []),
    "bernoulli, columns": (bits, ['likelihood.name="bernoulli"']),
    "bernoulli, grey pictures": (pictures, ['likelihood.name="bernoulli"', 'likelihood.binarize="threshold"']),
    "bernoulli, colour": (
        lambda: pictures(channels=3),
        ['likelihood.name="bernoulli"', 'likelihood.binarize="threshold"'],
    ),
}


def case(kind: str, *more: str) -> Case:
    """An untrained model of a kind, its weights stirred so that no head is at its start."""
    make, overrides = KINDS[kind]
    rows = make()
    tree = {"name": "case", "data": {"source": TABLE}, "network": {"latent_dim": 3, "hidden": [8]}}
    config = make_config(tree, [*overrides, *more])
    vae = build.build(config, rows, np.arange(len(rows.x)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in vae.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return Case(config, rows, vae.eval())


def standard_eps(k: int, z: int, n: int, seed: int = 0) -> torch.Tensor:
    """Independent normals, (n, k, z)."""
    return torch.randn(n, k, z, generator=torch.Generator().manual_seed(seed))


def whitened_eps(z: int, n: int) -> torch.Tensor:
    """2 Z draws with mean 0 and covariance exactly I, (n, 2 Z, Z): what makes quadratics exact."""
    axes = torch.eye(z, dtype=torch.float64) * z**0.5
    return torch.cat([axes, -axes]).expand(n, -1, -1)


def as_array(t: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(t.detach().double().numpy())
