"""Turns the base draws of a bundle into the K default draws eps. The rule is part of the bundle format."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError


def default_eps(base: NDArray[np.floating], num_samples: int) -> NDArray[np.float64]:
    """The first K base draws, centred and scaled per dimension: (K, Z) with mean 0 and mean square 1.

    With these draws the average of the sampled log-ratio is the analytic KL,

        (1/K) sum_k [ log q(z_k|x) - log p(z_k) ] = KL( q(z|x) || N(0, I) ),   z_k = mu + sigma eps_k,

    and by Jensen's inequality log_evidence_K >= ELBO holds for every row.

    Args:
        base: quasi-random standard normals, (K_max, Z).
        num_samples: K, 2 <= K <= K_max.

    Raises:
        InputError: K is out of range.
    """
    if not 2 <= num_samples <= len(base):
        raise InputError(f"num_samples: {num_samples} is not between 2 and {len(base)}")
    eps = np.asarray(base[:num_samples], dtype=np.float64)  # (K, Z)
    eps = eps - eps.mean(axis=0)
    scaled: NDArray[np.float64] = eps / np.sqrt(np.square(eps).mean(axis=0))
    return scaled
