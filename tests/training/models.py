"""Untrained models and rows for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Kind
from vaekit_training import build
from vaekit_training.config import Config, make_config
from vaekit_training.data.load import Rows
from vaekit_training.features import observed_rows
from vaekit_training.network_rows import network_rows, refresh_prior
from vaekit_training.prior import Aggregate
from vaekit_training.vae import VAE

TABLE = "table"


@dataclass(frozen=True)
class Case:
    """One kind of model, and rows for it."""

    config: Config
    rows: Rows
    vae: VAE

    @property
    def x(self) -> torch.Tensor:
        return torch.from_numpy(self.rows.x)

    @property
    def latent_dim(self) -> int:
        return self.vae.latent_dim


def table(n: int = 40, seed: int = 0, constant: bool = False) -> Rows:
    """Correlated columns in very different units, (n, 5), and a sixth that never changes."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 2))
    x = z @ rng.standard_normal((2, 5)) + 0.3 * rng.standard_normal((n, 5))
    x = x * np.array([1.0, 1e-3, 1e4, 50.0, 2.0]) + np.array([0.0, 5.0, -1e5, 1e9, 3.0])
    if constant:
        x = np.column_stack([x, np.full(n, 7.0)])
    return Rows(x, tuple(f"c{d}" for d in range(x.shape[1])), np.zeros(n, dtype=bool))


def gaps(rows: Rows, share: float = 0.2) -> Rows:
    """The rows with a share of the cells of all columns but the last missing."""
    missing = np.random.default_rng(7).random(rows.x.shape) < share
    missing[:, -1] = False
    may = tuple(bool(any_) for any_ in missing.any(axis=0))
    return replace(rows, x=np.where(missing, np.nan, rows.x), may_be_missing=may)


def bits(n: int = 40, seed: int = 0) -> Rows:
    """Columns of 0 and 1, (n, 6)."""
    x = (np.random.default_rng(seed).random((n, 6)) < 0.3).astype(np.float64)
    return Rows(x, tuple(f"b{d}" for d in range(6)), np.zeros(n, dtype=bool), kinds=("binary",) * 6)


def grades(n: int = 40, seed: int = 0) -> Rows:
    """Columns of shares between 0 and 1, (n, 4)."""
    x = np.random.default_rng(seed).beta(0.7, 2.0, (n, 4))
    return Rows(x, tuple(f"g{d}" for d in range(4)), np.zeros(n, dtype=bool), kinds=("fraction",) * 4)


def counts(n: int = 40, seed: int = 0) -> Rows:
    """Columns of small and of large counts, (n, 3)."""
    x = np.random.default_rng(seed).poisson([2.0, 40.0, 5000.0], (n, 3)).astype(np.float64)
    return Rows(x, tuple(f"n{d}" for d in range(3)), np.zeros(n, dtype=bool), kinds=("count",) * 3)


def levels(n: int = 40, seed: int = 0) -> Rows:
    """Columns of categories with two and four levels, (n, 2)."""
    x = np.random.default_rng(seed).integers(0, [2, 4], (n, 2)).astype(np.float64)
    names: tuple[tuple[str, ...] | None, ...] = (("no", "yes"), ("a", "b", "c", "d"))
    return Rows(x, ("l0", "l1"), np.zeros(n, dtype=bool), kinds=("category",) * 2, levels=names)


MIXED: tuple[Kind, ...] = ("real", "category", "count", "positive", "binary", "fraction", "real")


def mixed(n: int = 40, seed: int = 0, missing: bool = False) -> Rows:
    """A column of every kind and a second real one, (n, 7); if requested, three of them have missing cells."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n)
    x = np.stack(
        [
            1e4 + 50 * (z + 0.3 * rng.standard_normal(n)),
            rng.integers(0, 3, n),
            rng.poisson(np.exp(1 + z)),
            np.exp(2 * z + rng.standard_normal(n)),
            z + rng.standard_normal(n) > 0,
            1 / (1 + np.exp(-z)),
            1e-3 * rng.standard_normal(n),
        ],
        axis=1,
    ).astype(np.float64)
    may = [missing and d in (1, 3, 6) for d in range(7)]
    if missing:
        x[:, may] = np.where(rng.random((n, 3)) < 0.3, np.nan, x[:, may])
    names = tuple(f"m{d}" for d in range(7))
    known = tuple(("red", "green", "blue") if kind == "category" else None for kind in MIXED)
    return Rows(x, names, np.zeros(n, dtype=bool), kinds=MIXED, levels=known, may_be_missing=tuple(may))


def of_levels(n: int = 40, seed: int = 0, missing: bool = False) -> Rows:
    """The columns of `mixed` that a kernel prior can model, (n, 5)."""
    whole = mixed(n, seed, missing)
    kept = [d for d, kind in enumerate(whole.kinds) if kind not in ("count", "fraction")]

    def of(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[d] for d in kept)

    return replace(
        whole,
        x=whole.x[:, kept],
        columns=of(whole.columns),
        kinds=of(whole.kinds),
        levels=of(whole.levels),
        may_be_missing=of(whole.may_be_missing),
    )


def images(n: int = 40, seed: int = 0, channels: int = 1) -> Rows:
    """Images of noise, (n, 4, 3, channels)."""
    x = np.random.default_rng(seed).integers(0, 256, (n, 4, 3, channels), dtype=np.uint8)
    return Rows(x, (), np.zeros(n, dtype=bool))


def big(n: int = 6) -> Rows:
    """Colour images with an odd side, for convolutions, (n, 9, 8, 3)."""
    x = np.random.default_rng(0).integers(0, 256, (n, 9, 8, 3), dtype=np.uint8)
    return Rows(x, (), np.zeros(n, dtype=bool))


KINDS: dict[str, tuple[Any, list[str]]] = {
    "gaussian, scale from the network": (table, []),
    "gaussian, a scale for each feature": (table, ['likelihood.scale="feature"']),
    "gaussian, one scale": (table, ['likelihood.scale="shared"']),
    "gaussian, a fixed scale": (table, ["likelihood.scale=0.5"]),
    "gaussian, a constant column": (lambda: table(constant=True), []),
    "gaussian, counts": (counts, []),
    "gaussian, images": (lambda: images(channels=3), ["network.output='tanh'", "network.scaling='symmetric'"]),
    "student_t": (table, ['likelihood.name="student_t"']),
    "laplace, a scale for each feature": (table, ['likelihood.name="laplace"', 'likelihood.scale="feature"']),
    "laplace, images": (
        images,
        ['likelihood.name="laplace"', "network.scaling='unit'", "network.output='sigmoid'"],
    ),
    "bernoulli, columns": (bits, ['likelihood.name="bernoulli"']),
    "bernoulli, grey images": (images, ['likelihood.name="bernoulli"', 'likelihood.binarize="threshold"']),
    "bernoulli, dithered images": (images, ['likelihood.name="bernoulli"', 'likelihood.binarize="dynamic"']),
    "bernoulli, colour": (
        lambda: images(channels=3),
        ['likelihood.name="bernoulli"', 'likelihood.binarize="threshold"'],
    ),
    "continuous_bernoulli, columns": (grades, ['likelihood.name="continuous_bernoulli"']),
    "continuous_bernoulli, images": (images, ['likelihood.name="continuous_bernoulli"']),
    "discretized_logistic, counts": (counts, ['likelihood.name="discretized_logistic"']),
    "discretized_logistic, images": (
        images,
        ['likelihood.name="discretized_logistic"', "likelihood.components=3"],
    ),
    "categorical": (levels, ['likelihood.name="categorical"']),
    "mixed": (mixed, ['likelihood.name="mixed"', 'likelihood.real="student_t"']),
    "mixed, missing cells": (lambda: mixed(missing=True), ['likelihood.name="mixed"']),
    "conv": (big, ["network.name='conv'", "network.channels=[4, 6]", 'likelihood.name="gaussian"']),
    "resnet": (
        big,
        ["network.name='resnet'", "network.channels=[4]", "network.blocks=1", 'likelihood.name="discretized_logistic"'],
    ),
    "residual, layer norm": (table, ["network.hidden=[6, 6]", "network.residual=true", "network.layer_norm=true"]),
    "members": (table, ["network.members=3"]),
    "members, mixed, missing cells": (
        lambda: mixed(missing=True),
        ['likelihood.name="mixed"', "network.members=2", "network.layer_norm=true"],
    ),
    "members, student_t, a scale for each feature": (
        table,
        ['likelihood.name="student_t"', 'likelihood.scale="feature"', "network.members=2"],
    ),
    "members, student_t, scales of their own": (
        table,
        [
            'likelihood.name="student_t"',
            'likelihood.scale=["network", "feature"]',
            "likelihood.scale_floor=[0.3, 0.01]",
            "network.members=2",
        ],
    ),
    "aggregate prior": (table, ['prior.name="aggregate"', "prior.components=12"]),
    "kernel prior": (table, ['prior.name="kernel"']),
    "kernel prior, a constant column, a positive one": (
        lambda: replace(table(constant=True), kinds=("real", "positive") + ("real",) * 4),
        ['prior.name="kernel"', "prior.components=20"],
    ),
    "kernel prior, whole numbers": (
        lambda: replace(counts(), kinds=("real",) * 3),
        ['prior.name="kernel"'],
    ),
    "kernel prior, missing cells": (lambda: gaps(table(constant=True)), ['prior.name="kernel"']),
    "kernel prior, whole numbers, missing cells": (
        lambda: gaps(replace(counts(), kinds=("real",) * 3)),
        ['prior.name="kernel"'],
    ),
    "kernel prior, mixed": (of_levels, ['prior.name="kernel"', 'likelihood.name="mixed"']),
    "kernel prior, mixed, missing cells": (
        lambda: of_levels(missing=True),
        ['prior.name="kernel"', 'likelihood.name="mixed"'],
    ),
    "kernel prior, categories": (levels, ['prior.name="kernel"', 'likelihood.name="mixed"']),
    "kernel prior, binary columns": (bits, ['prior.name="kernel"', 'likelihood.name="mixed"']),
    "aggregate prior, members": (table, ['prior.name="aggregate"', "prior.components=7", "network.members=2"]),
}

OF_NETWORKS = [kind for kind in KINDS if not kind.startswith("kernel")]  # kinds with networks, which are trained


def case(kind: str, *more: str) -> Case:
    """An untrained model of a kind, with random changes of all weights, so that no head is as initialised."""
    make, overrides = KINDS[kind]
    rows = make()
    tree: dict[str, Any] = {"name": "case", "data": {"source": TABLE}}
    if not kind.startswith("kernel"):
        tree["network"] = {"latent_dim": 3, "hidden": [8]}
    config = make_config(tree, [*overrides, *more])
    vae = build.build(config, rows, np.arange(len(rows.x)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in vae.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    if isinstance(vae.prior, Aggregate):
        refresh_prior(vae, network_rows(vae, rows.x))
    return Case(config, rows, vae.eval())


def far(one: Case) -> torch.Tensor:
    """A few ordinary rows, and rows with the smallest and largest values of each kind of column."""
    if one.rows.is_image:
        edges = [np.zeros_like(one.rows.x[0]), np.full_like(one.rows.x[0], 255)]
        return torch.from_numpy(np.concatenate([one.rows.x[:3], edges]))
    ends: dict[Kind, list[float]] = {
        "real": [1e300, -1.7e308, 5e-324],
        "positive": [1e300, 5e-324, 1.0],
        "count": [2.0**53, 0.0, 1.0],
        "fraction": [1.0, 0.0, 5e-324],
        "binary": [1.0, 0.0, 1.0],
        "category": [1.0, 0.0, 1.0],
    }
    columns = [ends[kind] for kind in one.rows.kinds]
    return torch.from_numpy(np.concatenate([one.rows.x[:3], np.array(columns).T]))


def raw_rows(vae: VAE, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """x and the mask of observed cells, as the inputs of graphs."""
    return observed_rows(x) if vae.features.may_be_missing else (x, None)


def standard_eps(k: int, z: int, n: int, seed: int = 0) -> torch.Tensor:
    """Independent normals, (n, k, z)."""
    return torch.randn(n, k, z, generator=torch.Generator().manual_seed(seed))


def whitened_eps(z: int, n: int) -> torch.Tensor:
    """2 Z draws with mean 0 and covariance exactly I, (n, 2 Z, Z), so that means of quadratics are exact."""
    axes = torch.eye(z, dtype=torch.float64) * z**0.5
    return torch.cat([axes, -axes]).expand(n, -1, -1)


def as_array(t: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(t.detach().double().numpy())


def of_member(parameter: torch.Tensor, m: int) -> torch.Tensor:
    """A member's parameter as a single network has it: matrices are transposed."""
    return parameter[m].T if parameter.ndim == 3 else parameter[m]
