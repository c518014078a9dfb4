"""Turns the base draws of a bundle into the K default draws eps. The rules are part of the bundle format."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError

Floats = NDArray[np.float64]
DrawsRule = Literal["first-k-centred-unit-moment", "first-k-whitened"]
NEWEST_RULE: DrawsRule = "first-k-whitened"  # of the bundles that this version writes


def default_eps(base: NDArray[np.floating], num_samples: int, rule: DrawsRule) -> Floats:
    """The first K base draws, transformed to mean 0 and mean square 1 per dimension, (K, Z).

    Under "first-k-whitened" they are also uncorrelated if K > Z:

        (1/K) sum_k eps_k = 0,   (1/K) sum_k eps_k eps_k^T = I

    so that the mean over draws is exact for every quadratic function of z. With fewer draws, and under
    "first-k-centred-unit-moment", only the diagonal of the second equation holds. In all cases the average of the
    sampled log-ratio is the analytic KL,

        (1/K) sum_k [ log q(z_k|x) - log p(z_k) ] = KL( q(z|x) || N(0, I) ),   z_k = mu + sigma eps_k,

    and by Jensen's inequality log_evidence_K >= ELBO holds for every row.

    Args:
        base: quasi-random standard normals, (K_max, Z).
        num_samples: K, 2 <= K <= K_max.
        rule: the rule that the bundle's manifest names.

    Raises:
        InputError: K is out of range.
    """
    if not 2 <= num_samples <= len(base):
        raise InputError(f"num_samples: {num_samples} is not between 2 and {len(base)}")
    eps = np.asarray(base[:num_samples], dtype=np.float64)  # (K, Z)
    if rule == "first-k-whitened" and num_samples > eps.shape[1]:
        eps = _whitened(eps)
    return _centred_unit_moment(eps)  # after whitening too: it removes rounding errors


def _whitened(e: Floats) -> Floats:
    """(e - mean) C^(-1/2), (K, Z), with C = (1/K) sum_k e_k e_k^T of the centred draws: the closest whitened draws."""
    e = e - e.mean(axis=0)
    variances, axes = np.linalg.eigh(e.T @ e / len(e))  # (Z,), (Z, Z): C = axes diag(variances) axes^T
    whitened: Floats = e @ (axes / np.sqrt(variances)) @ axes.T
    return whitened


def _centred_unit_moment(e: Floats) -> Floats:
    e = e - e.mean(axis=0)
    scaled: Floats = e / np.sqrt(np.square(e).mean(axis=0))
    return scaled
