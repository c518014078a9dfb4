"""Config and rows -> an untrained VAE and its input spec. Knows how the pieces fit; not the loop or the graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.config import Config
from training.data import Rows
from training.features import Binarize, Features, Standardize, resolution
from training.likelihoods import Bernoulli, Gaussian, Likelihood
from training.networks import mlp
from training.vae import VAE
from vaekit.bundle.manifest import Column, Constant, ImageSpec, VectorSpec
from vaekit.bundle.manifest import Likelihood as LikelihoodSpec
from vaekit.errors import ConfigError, InputError

ROUNDING = 12.0**-0.5  # standard deviation of a value rounded to a grid of gap 1


def check(rows: Rows, config: Config) -> None:
    """Refuse rows that the likelihood is not one over.

    Raises:
        ConfigError: gaussian on pictures.
        InputError: grey values under bernoulli without a threshold; the message names row, feature and value.
    """
    if config.likelihood.name == "gaussian":
        if rows.is_image:
            raise ConfigError("likelihood.name: 'gaussian' is not offered for pictures; take 'bernoulli'")
        return
    high = 255 if rows.is_image else 1
    if config.likelihood.binarize == "threshold":
        outside = (rows.x < 0) | (rows.x > high)
        if outside.any():
            where, value = _first(rows, outside)
            raise InputError(f"{where}: {value} is not between 0 and {high}, the range that is cut in half")
        return
    grey = (rows.x != 0) & (rows.x != high)
    if grey.any():
        where, value = _first(rows, grey)
        raise InputError(
            f"{where}: {value} is neither 0 nor {high}, and bernoulli is one of two values: "
            "set likelihood.binarize = 'threshold'"
            + ("" if rows.is_image else ", or take likelihood.name = 'gaussian'")
        )


def _first(rows: Rows, bad: NDArray[np.bool_]) -> tuple[str, Any]:
    """Where the first such cell is, and what it holds."""
    row, *place = (int(i) for i in np.argwhere(bad)[0])
    what = f"pixel {tuple(place)}" if rows.is_image else f"feature {rows.columns[place[0]]!r}"
    return f"row {row}, {what}", rows.x[(row, *place)]


def dimension(config: Config, rows: Rows) -> int:
    """Z: the config's, or half the columns, between 2 and 16, and 16 for pictures."""
    if config.network.latent_dim is not None:
        return config.network.latent_dim
    return 16 if rows.is_image else min(16, max(2, len(rows.columns) // 2))


def build(config: Config, rows: Rows, train: NDArray[np.intp]) -> VAE:
    """An untrained VAE, standardised on the training rows; its weights follow from the seed alone."""
    features = _features(config, rows, train)
    dim, z = features.dim, dimension(config, rows)
    hidden, activation = config.network.hidden, config.network.activation
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        likelihood = _likelihood(config, rows, train, features)
        encoder = mlp([dim, *hidden, 2 * z], activation)
        decoder = mlp([z, *reversed(hidden), likelihood.width], activation)
    head = decoder[-1]
    assert isinstance(head, torch.nn.Linear)
    likelihood.initialize(head)
    return VAE(features, encoder, decoder, likelihood)


def _features(config: Config, rows: Rows, train: NDArray[np.intp]) -> Features:
    if config.likelihood.name == "gaussian":
        features = Standardize.fit(rows.x[train])
        scale = features.scale.numpy()
        bad = ~(np.isfinite(features.loc.numpy()) & np.isfinite(scale) & (scale > 0))
        if bad.any():
            d = int(bad.argmax())
            raise InputError(
                f"feature {rows.columns[d]!r}: mean {float(features.loc[d])}, scale {scale[d]}: too large or too "
                "small for float64 to standardise; give the column in another unit"
            )
        return features
    high = 255.0 if rows.is_image else 1.0
    return Binarize(rows.x.shape[1:], threshold=high / 2, high=high)


def _likelihood(config: Config, rows: Rows, train: NDArray[np.intp], features: Features) -> Likelihood:
    if isinstance(features, Binarize):
        return Bernoulli(features.dim)
    x = rows.x[train]
    rounding = resolution(x) * ROUNDING / features.scale.numpy()
    floor = np.maximum(config.likelihood.scale_floor, np.minimum(rounding, 1.0))  # in standard deviations
    return Gaussian(config.likelihood.scale, torch.from_numpy(floor), features.active)


def input_spec(config: Config, rows: Rows, vae: VAE) -> VectorSpec | ImageSpec:
    """What the manifest says that the model takes."""
    two_valued = config.likelihood.name == "bernoulli" and config.likelihood.binarize == "none"
    if rows.is_image:
        height, width, channels = rows.x.shape[1:]
        return ImageSpec(height=height, width=width, channels=channels, two_valued=two_valued)
    kind = "binary" if two_valued else "real"
    columns = [Column(name=name, kind=kind, constant=_constant(vae, d)) for d, name in enumerate(rows.columns)]
    return VectorSpec(columns=tuple(columns))


def constants(vae: VAE, columns: tuple[str, ...]) -> list[str]:
    """Names of the columns that never changed in training."""
    return [name for d, name in enumerate(columns) if _constant(vae, d) is not None]


def _constant(vae: VAE, d: int) -> Constant | None:
    features = vae.features
    if isinstance(features, Binarize) or features.active[d]:
        return None
    return Constant(value=float(features.loc[d]), scale=float(features.scale[d]))


def likelihood_spec(config: Config, rows: Rows, vae: VAE) -> LikelihoodSpec:
    """What the manifest says of p(x|z)."""
    parameters = vae.likelihood.parameters_in_raw_units
    if isinstance(vae.likelihood, Gaussian):
        scale = config.likelihood.scale
        return LikelihoodSpec(
            name="gaussian", parameters=parameters, scale=scale if isinstance(scale, str) else "fixed"
        )
    assert isinstance(vae.features, Binarize)
    binarize = config.likelihood.binarize
    return LikelihoodSpec(
        name="bernoulli",
        parameters=parameters,
        binarize=binarize,
        threshold=vae.features.threshold if binarize == "threshold" else None,
        bits_per_dim_of="binarised pixels" if rows.is_image else None,
    )
