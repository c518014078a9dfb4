"""p(x|z), one class each, fully normalised per data dimension, in the units the networks see. Knows no networks."""

from training.likelihoods.base import LARGEST_RESIDUAL, Head, Likelihood, ScaleKind
from training.likelihoods.bernoulli import Bernoulli, ContinuousBernoulli
from training.likelihoods.bins import BinnedGaussian, DiscretizedLogistic, Grid
from training.likelihoods.categorical import Categorical
from training.likelihoods.location_scale import Gaussian, Laplace, LocationScale, StudentT
from training.likelihoods.mixed import Mixed

__all__ = [
    "LARGEST_RESIDUAL",
    "Bernoulli",
    "BinnedGaussian",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "Gaussian",
    "Grid",
    "Head",
    "Laplace",
    "Likelihood",
    "LocationScale",
    "Mixed",
    "ScaleKind",
    "StudentT",
]
