"""The compared detectors: each is trained on normal rows and scores test rows; higher is more anomalous.

Peers get standardised rows and their default settings, from scikit-learn if it has the method, otherwise from PyOD.
They are imported inside functions, so that a run without peers does not need them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.sets import Split

Array = NDArray[Any]
Method = Callable[[Split, int], Array]  # split, seed -> scores of the test rows (m,)

NEIGHBOURS = 5
BATCH_ROWS = 256  # rows per batch when scoring in torch


def _neighbours(split: Split) -> Array:
    """Distances from each test row to its nearest training rows, (m, NEIGHBOURS)."""
    from sklearn.neighbors import NearestNeighbors

    rows = split.standardised()
    found = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rows.train))).fit(rows.train)
    distances: Array = found.kneighbors(rows.test)[0]
    return distances


def knn(split: Split, seed: int) -> Array:  # noqa: ARG001  all methods have the same arguments
    """Distance to the fifth neighbour (Ramaswamy et al. 2000)."""
    return _neighbours(split)[:, -1]


def knn_mean(split: Split, seed: int) -> Array:  # noqa: ARG001
    """Mean squared distance to five neighbours: the ordering of DTE-NP (Livernoche et al. 2024)."""
    return np.asarray((_neighbours(split) ** 2).mean(axis=1))


def mahalanobis(split: Split, seed: int) -> Array:  # noqa: ARG001
    """Squared Mahalanobis distance under a covariance shrunk by Ledoit and Wolf (2004)."""
    from sklearn.covariance import LedoitWolf

    rows = split.standardised()
    return np.asarray(LedoitWolf().fit(rows.train).mahalanobis(rows.test))


def isolation_forest(split: Split, seed: int) -> Array:
    from sklearn.ensemble import IsolationForest

    rows = split.standardised()
    return np.asarray(-IsolationForest(random_state=seed).fit(rows.train).score_samples(rows.test))


def lof(split: Split, seed: int) -> Array:  # noqa: ARG001
    from sklearn.neighbors import LocalOutlierFactor

    rows = split.standardised()
    count = min(20, len(rows.train) - 1)
    return np.asarray(-LocalOutlierFactor(n_neighbors=count, novelty=True).fit(rows.train).score_samples(rows.test))


def ocsvm(split: Split, seed: int) -> Array:  # noqa: ARG001
    """With PyOD's defaults: an RBF kernel with nu = 0.5, gamma = 1 / D."""
    from sklearn.svm import OneClassSVM

    rows = split.standardised()
    return np.asarray(-OneClassSVM(nu=0.5, gamma="auto").fit(rows.train).decision_function(rows.test))


def pca(split: Split, seed: int) -> Array:
    from pyod.models.pca import PCA

    return _pyod(PCA(random_state=seed), split)


def ecod(split: Split, seed: int) -> Array:  # noqa: ARG001
    from pyod.models.ecod import ECOD

    return _pyod(ECOD(), split)


def pyod_vae(split: Split, seed: int) -> Array:
    """PyOD's VAE with its defaults; `capacity = 0` removes the KL term from its loss."""
    from pyod.models.vae import VAE

    return _pyod(VAE(random_state=seed, verbose=0, **_batch(split)), split)


def pyod_vae_kl(split: Split, seed: int) -> Array:
    """PyOD's VAE with an active KL term."""
    from pyod.models.vae import VAE

    return _pyod(VAE(random_state=seed, verbose=0, capacity=1e9, **_batch(split)), split)


def deep_svdd(split: Split, seed: int) -> Array:
    from pyod.models.deep_svdd import DeepSVDD

    return _pyod(DeepSVDD(split.train.shape[1], random_state=seed, verbose=0, **_batch(split)), split)


def _batch(split: Split) -> dict[str, int]:
    return {"batch_size": min(32, len(split.train))}


def _pyod(detector: Any, split: Split) -> Array:
    rows = split.standardised()
    detector.fit(rows.train)
    return np.asarray(detector.decision_function(rows.test))


PEERS: dict[str, Method] = {
    "kNN": knn,
    "kNN-mean": knn_mean,
    "IForest": isolation_forest,
    "LOF": lof,
    "OCSVM": ocsvm,
    "PCA": pca,
    "ECOD": ecod,
    "Mahalanobis": mahalanobis,
    "PyOD VAE": pyod_vae,
    "PyOD VAE, KL": pyod_vae_kl,
    "DeepSVDD": deep_svdd,
}
PYOD_METHODS = ("PCA", "ECOD", "PyOD VAE", "PyOD VAE, KL", "DeepSVDD")


def ours(settings: list[str], *, exported: bool = True) -> Method:
    """vaekit.Detector with its defaults and these settings, on raw rows.

    exported=False scores in torch after the same training, without a bundle: equal to 1e-5, and seconds faster.
    """

    def scores(split: Split, seed: int) -> Array:
        from vaekit import Detector

        detector = Detector(settings=settings, random_state=seed, alpha=0.5, device="cpu").fit(split.train)
        return np.asarray(-detector.score_samples(split.test))

    def scores_in_torch(split: Split, seed: int) -> Array:
        from vaekit.detector_training import config_of
        from vaekit_training.data.load import of_array
        from vaekit_training.run import run

        config = config_of(split.train, settings=settings, seed=seed)
        rows = of_array(split.train, config=config.data, likelihood=config.likelihood)
        return np.asarray(-in_torch(run(config, device="cpu", rows=rows), split.test).elbo.numpy())

    return scores if exported else scores_in_torch


def in_torch(trained: Any, x: Array) -> Any:
    """The bound of rows (m, D) on the default draws of a bundle: vaekit_training.vae.Bound."""
    import torch

    from vaekit.bundle import default_eps
    from vaekit.bundle.draws import NEWEST_RULE
    from vaekit_training.publish import base_draws, default_draws
    from vaekit_training.vae import BoundTerms

    config, vae = trained.config, trained.vae
    base = base_draws(vae.latent_dim, config.draws.maximum, config.training.seed)
    eps = torch.from_numpy(default_eps(base, default_draws(config, trained.rows), NEWEST_RULE)).to(vae.dtype)  # (K, Z)
    with torch.no_grad():
        batches = [torch.from_numpy(x[start : start + BATCH_ROWS]) for start in range(0, len(x), BATCH_ROWS)]
        parts = [vae.bound(batch, eps.expand(len(batch), *eps.shape)) for batch in batches]
    terms: list[Any] = [None if each[0] is None else torch.cat(each) for each in zip(*parts, strict=True)]
    return BoundTerms(*terms)
