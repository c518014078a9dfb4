"""Builds the likelihood of rows from a config."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.bundle.input_spec import Kind
from vaekit.bundle.manifest import LikelihoodName
from vaekit.errors import ConfigError
from vaekit_training.config import LOCATION_SCALE, Config
from vaekit_training.data.columns import Statistics
from vaekit_training.data.rows import Rows
from vaekit_training.features import AnyFeatures, Binarize, Pixels, Standardize
from vaekit_training.likelihoods import (
    Bernoulli,
    BinnedGaussian,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Gaussian,
    Grid,
    Laplace,
    Likelihood,
    LocationScale,
    Mixed,
    ScaleKind,
    StudentT,
)

ROUNDING = 12.0**-0.5  # standard deviation of the rounding error on a grid with gap 1
LEVELS = 255  # largest value of a pixel
FLOAT32 = 2.0**-22  # four steps of float32: smallest ratio of half a bin to |lowest| at which bins stay distinct
FAMILIES: dict[str, type[LocationScale]] = {"gaussian": Gaussian, "student_t": StudentT, "laplace": Laplace}


def family(config: Config, kind: Kind) -> LikelihoodName:
    """The likelihood of a column of this kind."""
    own: dict[Kind, LikelihoodName] = {
        "real": config.likelihood.real,
        "positive": config.likelihood.real,
        "count": config.likelihood.count,
        "fraction": "continuous_bernoulli",
        "binary": "bernoulli",
        "category": "categorical",
    }
    return own[kind] if config.likelihood.name == "mixed" else config.likelihood.name


def likelihood_of(config: Config, rows: Rows, features: AnyFeatures, found: Statistics | None) -> Likelihood:
    """The likelihood of the rows, in model units; found: statistics of the training rows, None for images."""
    if isinstance(features, Binarize):
        return Bernoulli(features.dim)
    if isinstance(features, Pixels):
        return _of_pixels(config, features)
    assert found is not None
    groups: dict[tuple[LikelihoodName, bool], list[int]] = {}
    for d, kind in enumerate(rows.kinds):
        groups.setdefault((family(config, kind), kind == "count"), []).append(d)
    parts = [
        (index, _of_columns(config, name, bins, index, rows, features, found)) for (name, bins), index in groups.items()
    ]
    return parts[0][1] if len(parts) == 1 else Mixed(parts)


def _members(config: Config) -> int | None:
    return config.network.members if config.network.members > 1 else None


def _of_columns(
    config: Config,
    name: LikelihoodName,
    bins: bool,
    index: list[int],
    rows: Rows,
    features: Standardize,
    found: Statistics,
) -> Likelihood:
    """The likelihood of some columns, in standardised units."""
    members = _members(config)
    if bins:
        gap = (1.0 / features.scale)[index]
        lowest = ((0.0 - features.loc) / features.scale)[index]
        wide = (0.5 * gap < FLOAT32 * lowest.abs()).tolist()
        if any(wide):
            column = rows.columns[index[wide.index(True)]]
            raise ConfigError(
                f"data.kinds.{column}: the counts vary too much for float32 to distinguish neighbouring counts: set "
                "'positive' (after adding 1 to each count) or 'real'"
            )
        return _of_bins(config, name, Grid(gap, lowest, torch.full_like(gap, torch.inf)))
    if name in FAMILIES:
        rounding = torch.from_numpy(found.resolution[index] * ROUNDING) / features.scale[index]
        return FAMILIES[name](
            _scale(config),
            _floor(config, rounding),
            features.active[index],
            output=config.network.output,
            members=members,
        )
    if name == "categorical":
        return Categorical(tuple(len(rows.levels[d] or ()) for d in index))
    if name == "continuous_bernoulli":
        return ContinuousBernoulli(len(index))
    return Bernoulli(len(index))


def _of_bins(config: Config, name: LikelihoodName, grid: Grid) -> Likelihood:
    """The likelihood of integers on a grid, as probability masses of bins."""
    active = torch.ones(grid.dim, dtype=torch.bool)
    if name == "discretized_logistic":
        return DiscretizedLogistic(grid, active, components=config.likelihood.components)
    return BinnedGaussian(_scale(config), grid, active, output=config.network.output, members=_members(config))


def _of_pixels(config: Config, features: Pixels) -> Likelihood:
    name = config.likelihood.name
    if name == "continuous_bernoulli":
        return ContinuousBernoulli(features.dim)
    lowest, highest = ((edge - features.loc) / features.scale for edge in (0.0, float(LEVELS)))
    if name in ("gaussian", "discretized_logistic"):
        return _of_bins(config, name, Grid(1.0 / features.scale, lowest, highest))
    assert name in LOCATION_SCALE
    floor = _floor(config, ROUNDING / features.scale)  # a pixel is rounded to whole grey levels
    return FAMILIES[name](
        _scale(config), floor, features.active, output=config.network.output, members=_members(config)
    )


def _scale(config: Config) -> ScaleKind:
    scale = config.likelihood.scale
    return scale[0] if isinstance(scale, tuple) and config.network.members == 1 else scale


def _floor(config: Config, rounding: Tensor) -> Tensor:
    """Lower limits of the scales, in standard deviations of the columns: (D,), or by member, (M, 1, 1, D)."""
    least = config.likelihood.scale_floor
    if isinstance(least, tuple) and config.network.members > 1:
        return rounding.clamp_max(1.0).maximum(torch.tensor(least, dtype=rounding.dtype).view(-1, 1, 1, 1))
    return rounding.clamp_max(1.0).clamp_min(least[0] if isinstance(least, tuple) else least)
