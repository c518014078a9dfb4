"""If a column x becomes a x + b and is standardised again, the ELBO changes by -log|a| and the KL does not change."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from tests.training.models import Case, case, standard_eps
from vaekit_training.build import build
from vaekit_training.data.load import Rows
from vaekit_training.export import export_graphs
from vaekit_training.vae import VAE

Array = NDArray[np.float64]
MAPS = {
    "units": (np.array([1000.0, 1e-6, 3.6, 1 / 25.4, 0.01]), np.zeros(5)),
    "offsets of 1e9": (np.array([1.0, 1e4, 1.0, 3.0, 2.0]), np.array([1e9, -1e9, 1e9, 0.0, 1e9])),
    "signs": (np.array([-1.0, 1.0, -30.0, 1.0, -0.5]), np.array([0.0, 1.0, 10.0, -5.0, 0.0])),
}
KINDS = ["gaussian, scale from the network", "gaussian, a scale for each feature", "gaussian, a fixed scale"]


def _base(kind: str) -> Case:
    """The case with columns of ordinary size, so that adding 1e9 loses few digits."""
    one = case(kind)
    x = (one.rows.x - one.rows.x.mean(axis=0)) / one.rows.x.std(axis=0) * np.array([1.0, 0.5, 2.0, 5.0, 1.0])
    return _rebuilt(one, Rows(x, one.rows.columns, one.rows.anomaly), np.ones(5))


def _rebuilt(one: Case, rows: Rows, a: Array) -> Case:
    """A VAE with the same weights for the mapped rows, with new standardisation and floors; a < 0 mirrors a column."""
    vae = build(one.config, rows, np.arange(len(rows.x)))
    floors = dict(vae.likelihood.named_buffers())
    vae.encoder.load_state_dict(one.vae.encoder.state_dict())
    vae.decoder.load_state_dict(one.vae.decoder.state_dict())
    vae.likelihood.load_state_dict({**one.vae.likelihood.state_dict(), **floors})
    sign = torch.from_numpy(np.sign(a)).float()
    with torch.no_grad():
        first, last = vae.encoder[0], vae.decoder[-1]  # type: ignore[index]  # Sequentials
        first.weight.mul_(sign)
        last.weight[: len(a)].mul_(sign[:, None])
        last.bias[: len(a)].mul_(sign)
    return Case(one.config, rows, vae.eval())


def _exported(vae: VAE, rows: Rows, z: int) -> dict[str, Array]:
    x = torch.from_numpy(rows.x)
    graph = export_graphs(vae, x, ["elbo"])["elbo"]
    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    names = [out.name for out in graph.outputs]
    eps = standard_eps(4, z, len(x)).numpy()
    return dict(zip(names, session.run(names, {"x": rows.x, "eps": eps}), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_an_affine_map_shifts_the_exported_elbo_by_its_log_determinant(kind: str) -> None:
    one = _base(kind)
    before = _exported(one.vae, one.rows, one.latent_dim)
    tolerance = 1e-5 * (1 + np.abs(before["log_likelihood"]) + np.abs(before["kl"]))
    for name, (a, b) in MAPS.items():
        mapped = _rebuilt(one, Rows(a * one.rows.x + b, one.rows.columns, one.rows.anomaly), a)
        after = _exported(mapped.vae, mapped.rows, mapped.latent_dim)
        shift = -np.log(np.abs(a)).sum()
        for term in ("elbo", "log_likelihood", "log_evidence"):
            assert (np.abs(after[term] - before[term] - shift) <= tolerance).all(), (name, term)
        assert (np.abs(after["kl"] - before["kl"]) <= tolerance).all(), name
