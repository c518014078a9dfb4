"""Builds an untrained VAE from a config and rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.bundle.tolerance import wrong_column
from vaekit.errors import ConfigError, InputError
from vaekit_training import mirror, networks
from vaekit_training.config import Config
from vaekit_training.data import kinds
from vaekit_training.data.columns import Statistics
from vaekit_training.data.rows import Rows
from vaekit_training.features import MASSES, AnyFeatures, Binarize, Pixels, Standardize
from vaekit_training.folds import AnyVAE
from vaekit_training.kernel_fit import kernel_vae
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.kernels.search import ignore
from vaekit_training.prior import Aggregate, Normal, Prior
from vaekit_training.recipe import OF_KERNELS
from vaekit_training.rows_likelihood import LEVELS, likelihood_of
from vaekit_training.sections.model import MOST_LATENT
from vaekit_training.seeded import Seeded
from vaekit_training.vae import VAE


def check(rows: Rows, config: Config) -> None:
    """Refuse rows that the configured likelihood cannot model.

    Raises:
        ConfigError, InputError: the message names the setting, or row, feature and value.
    """
    likelihood = config.likelihood
    if problem := wrong_column(config.ignore, dict(zip(rows.columns, rows.kinds, strict=True))):
        raise ConfigError(problem)
    if config.network.latent_dim is None and not rows.is_image and not rows.columns:
        raise InputError("data: no columns, expected at least 1")
    if likelihood.binarize != "none":
        return _check_range(rows, likelihood.binarize)
    if rows.is_image:
        return _check_images(rows, config)
    if config.network.scaling != "standardize":
        raise ConfigError(
            f"network.scaling: {config.network.scaling!r} is for images, but the rows are columns, which are always "
            "standardised: set network.scaling = 'standardize'"
        )
    refused = next(kinds.impossible(dict(zip(rows.columns, rows.kinds, strict=True)), likelihood), None)
    if refused is not None:
        raise ConfigError(refused)
    return None


def kernel_columns(rows: Rows, train: Sequence[NDArray[np.intp]]) -> NDArray[np.bool_] | None:
    """The columns of z in a VAE with a kernel prior, (D,); None if such a prior cannot model these rows.

    They vary in the training rows of every fold model, so that all fold models have the same z. Binary columns and
    categories are always in z.

    Args:
        rows: all rows.
        train: indices of the training rows of each fold model, or of the only model.
    """
    if not rows.columns or not set(rows.kinds) <= OF_KERNELS:
        return None
    varies = ~np.any([rows.statistics(index).constant for index in train], axis=0)
    varies |= np.array([kind in MASSES for kind in rows.kinds])
    return varies if 1 <= varies.sum() <= MOST_LATENT else None


def _check_range(rows: Rows, binarize: str) -> None:
    high = LEVELS if rows.is_image else 1
    if any(rows.may_be_missing):
        raise ConfigError(f"likelihood.binarize: {binarize!r} allows no missing cells: set data.missing = 'refuse'")
    outside = rows.first(lambda x: (x < 0) | (x > high))
    if outside is not None:
        where, value = _cell(rows, outside)
        raise InputError(f"{where}: {value} is not between 0 and {high}, which likelihood.binarize requires")


def _check_images(rows: Rows, config: Config) -> None:
    name = config.likelihood.name
    if config.data.folds is not None:
        raise ConfigError(f"data.folds: {config.data.folds} is for columns, but the rows are images: leave it out")
    if name in ("categorical", "mixed"):
        raise ConfigError(f"likelihood.name: {name!r} is for columns, but the rows are images: set another likelihood")
    if name != "bernoulli":
        return
    grey = rows.first(lambda x: (x != 0) & (x != LEVELS))
    if grey is not None:
        where, value = _cell(rows, grey)
        raise InputError(
            f"{where}: {value} is neither 0 nor {LEVELS}, the values that bernoulli takes: set likelihood.binarize "
            "= 'threshold' or 'dynamic', or likelihood.name = 'discretized_logistic', 'gaussian' or "
            "'continuous_bernoulli'"
        )


def _cell(rows: Rows, at: tuple[int, ...]) -> tuple[str, Any]:
    """A description of a cell for error messages, and its value."""
    row, *index = at
    what = f"pixel {tuple(index)}" if rows.is_image else f"feature {rows.columns[index[0]]!r}"
    return f"row {row}, {what}", rows.x[(row, *index)]


def dimension(config: Config, rows: Rows) -> int:
    """The number of latent dimensions Z: from the config, or the default described at network.latent_dim."""
    if config.network.latent_dim is not None:
        return config.network.latent_dim
    if rows.is_image:
        return 16
    count = len(rows.columns)
    return min(32, max(2, count)) if config.prior.name == "aggregate" else min(16, max(2, count // 2))


def build(
    config: Config,
    rows: Rows,
    train: NDArray[np.intp],
    varies: NDArray[np.bool_] | None = None,
    say: Callable[[str], None] = ignore,
) -> VAE:
    """An untrained VAE, standardised by the rows at the indices train (n,); its weights depend only on the seed.

    A VAE with a kernel prior is complete. varies (D,): the columns of its z; None: those that vary in these rows. say
    gets lines on its progress.

    Raises:
        InputError, ConfigError: a column cannot be standardised, or a network or likelihood does not accept the rows.
    """
    found = None if rows.is_image else rows.statistics(train)
    if config.prior.name == "kernel":
        varies = kernel_columns(rows, [train]) if varies is None else varies
        if varies is None:
            raise ConfigError(
                f"prior.name: 'kernel' is for columns of kind {', '.join(sorted(OF_KERNELS))}, of which 1 to "
                f"{MOST_LATENT} vary: set 'aggregate' or 'normal'"
            )
        features = _features(config, rows, train, found)
        assert isinstance(features, Standardize)
        features.leave_out(~torch.from_numpy(varies))
        scale = config.likelihood.scale
        assert isinstance(scale, float)  # checked by the config
        counts = [len(levels or ()) for levels in rows.levels]
        components, seed = config.prior.components, config.training.seed
        return kernel_vae(features, rows.x, train, components, seed, scale, rows.kinds, counts, say, rows.place)
    z, members = dimension(config, rows), config.network.members
    with Seeded(config.training.seed) as draws:
        features = _features(config, rows, train, found)
        likelihood = likelihood_of(config, rows, features, found)
        shape = tuple(rows.x.shape[1:]) if rows.is_image else None
        encoder = networks.encoder(config.network, shape or features.width, z)
        decoder = networks.decoder(config.network, z, shape or features.dim, likelihood.width)
        prior = _prior(config, len(train), z, draws.generator)
    likelihood.initialize(decoder.head)
    vae = VAE(features, encoder, decoder, likelihood, latent_dim=z, members=members, prior=prior)
    return mirror.canonical(vae, rows.kinds, rows.x[train[: mirror.ROWS]])


def width(vae: AnyVAE) -> int:
    """Number of values per row in the widest layer over all members, or of any fold model; limits a call's memory."""
    return max(cost.widest for cost in costs(vae))


def _prior(config: Config, n: int, z: int, draws: torch.Generator) -> Prior:
    """The prior; the components of an aggregate prior are a random sample of the n training rows."""
    if config.prior.name == "normal":
        return Normal()
    some = torch.randperm(n, generator=draws)[: config.prior.components].sort().values
    return Aggregate(some, z, config.network.members)


def _features(config: Config, rows: Rows, train: NDArray[np.intp], found: Statistics | None) -> AnyFeatures:
    if config.likelihood.binarize != "none":
        high = float(LEVELS if rows.is_image else 1)
        redraws, seed = config.likelihood.binarize == "dynamic", config.training.seed
        dither = torch.Generator().manual_seed(seed) if redraws else None
        return Binarize(tuple(rows.x.shape[1:]), threshold=high / 2, high=high, dither=dither)
    if found is None:
        return _pixels(config, rows, train)
    counts = [len(levels) if levels else 0 for levels in rows.levels]
    features = Standardize.of(found, rows.kinds, counts, rows.may_be_missing)
    scale = features.scale.numpy()
    bad = ~(np.isfinite(features.loc.numpy()) & np.isfinite(scale) & (scale > 0))
    if bad.any():
        d = int(bad.argmax())
        raise InputError(
            f"feature {rows.columns[d]!r}: mean {float(features.loc[d])}, scale {scale[d]}: float64 cannot standardise "
            "values this large or small; convert the column to another unit, or name values that mean missing in "
            "data.missing_values"
        )
    return features


def _pixels(config: Config, rows: Rows, train: NDArray[np.intp]) -> AnyFeatures:
    name, shape = config.likelihood.name, tuple(rows.x.shape[1:])
    channels = shape[-1]
    if name == "bernoulli":
        return Binarize(shape, threshold=LEVELS / 2, high=float(LEVELS))
    if name == "continuous_bernoulli" or config.network.scaling == "unit":
        loc, scale = [0.0] * channels, [float(LEVELS)] * channels
    elif config.network.scaling == "symmetric":
        loc, scale = [LEVELS / 2] * channels, [LEVELS / 2] * channels
    else:
        mean, spread = rows.channels(train)
        loc, scale = mean.tolist(), np.where(spread > 0, spread, 1.0).tolist()
    return Pixels(shape, loc, scale, mass=name in ("gaussian", "discretized_logistic"))


def costs(vae: AnyVAE) -> tuple[networks.Cost, networks.Cost]:
    """Cost of the encoder and of the decoder; for fold models the total of each."""
    if isinstance(vae, KernelVAE):
        return vae.costs()
    if isinstance(vae, VAE):
        return networks.cost(vae.encoder), networks.cost(vae.decoder)
    encoders, decoders = zip(*map(costs, vae.each), strict=True)
    return networks.total_cost(encoders), networks.total_cost(decoders)
