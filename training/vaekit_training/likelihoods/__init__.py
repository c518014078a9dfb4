"""Likelihoods p(x|z), one class each, normalised per data dimension, in model units (the units of t)."""

from vaekit_training.likelihoods.base import LARGEST_RESIDUAL, DecoderHead, Likelihood, ScaleKind
from vaekit_training.likelihoods.bernoulli import Bernoulli, ContinuousBernoulli
from vaekit_training.likelihoods.bins import BinnedGaussian, DiscretizedLogistic, Grid
from vaekit_training.likelihoods.categorical import Categorical
from vaekit_training.likelihoods.location_scale import Gaussian, Laplace, LocationScale, StudentT
from vaekit_training.likelihoods.mixed import Mixed

__all__ = [
    "LARGEST_RESIDUAL",
    "Bernoulli",
    "BinnedGaussian",
    "Categorical",
    "ContinuousBernoulli",
    "DecoderHead",
    "DiscretizedLogistic",
    "Gaussian",
    "Grid",
    "Laplace",
    "Likelihood",
    "LocationScale",
    "Mixed",
    "ScaleKind",
    "StudentT",
]
