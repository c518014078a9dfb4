"""Rounding does not decide how the ELBO of a mixture far from the training data divides into its terms."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.models import case
from vaekit_training.export import double, evaluate, export_graphs, graph_inputs
from vaekit_training.folds import FoldModels
from vaekit_training.vae import TIED, VAE, BoundTerms, mixture

SIZES = (1.0, 1e2, 1e4, 1e6, 1e9, 1e12)  # of rows, in standard deviations
FLOAT32 = 2e-7  # relative rounding error of an ELBO that is computed in float32


def terms(elbo: torch.Tensor, kl: torch.Tensor) -> BoundTerms:
    """The bounds of M members, (M, 1), with these ELBOs and KLs, (M,) each."""
    elbo, kl = elbo[:, None], kl[:, None]
    return BoundTerms(elbo, elbo + kl, kl, elbo, (elbo + kl)[..., None])


@given(
    exponent=st.floats(0.0, 20.0),
    apart=st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3),
    spread=st.floats(-9.0, 0.0),
    rounding=st.lists(st.floats(-FLOAT32, FLOAT32), min_size=3, max_size=3),
)
def test_rounding_moves_every_term_of_a_mixture_by_little(
    exponent: float, apart: list[float], spread: float, rounding: list[float]
) -> None:
    elbo = -(10.0**exponent) * (1.0 + 10.0**spread * torch.tensor(apart, dtype=torch.float64))
    kl = torch.tensor([10.0, 200.0, 3000.0], dtype=torch.float64)
    exact = mixture(terms(elbo, kl))
    rounded = mixture(terms(elbo * (1.0 + torch.tensor(rounding, dtype=torch.float64)), kl))
    assert abs(float(rounded.kl - exact.kl)) <= 0.05 * 3000.0
    assert abs(float(rounded.elbo - exact.elbo)) <= 1e-5 * max(1.0, abs(float(exact.elbo)))


@given(
    exponent=st.floats(-3.0, 20.0),
    apart=st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=6),
    spread=st.floats(-9, 0),
)
def test_the_elbo_of_a_mixture_is_a_bound_and_almost_the_log_mean_exp(
    exponent: float, apart: list[float], spread: float
) -> None:
    elbo = -(10.0**exponent) * (1.0 + 10.0**spread * torch.tensor(apart, dtype=torch.float64))
    got = mixture(terms(elbo, torch.ones_like(elbo)))
    best, largest = torch.logsumexp(elbo, 0) - np.log(len(elbo)), float(elbo.abs().max())
    rounding = 1e-12 * max(1.0, largest)
    assert float(got.elbo - best) <= rounding
    lost = TIED * largest * np.log(len(elbo)) if largest > 1.0 / TIED else 0.0
    assert float(best - got.elbo) <= lost + rounding
    torch.testing.assert_close(got.elbo, got.log_likelihood - got.kl, rtol=1e-12, atol=1e-12)


def ensemble() -> VAE:
    return case("gaussian, a fixed scale", "network.members=3").vae


def fold_models() -> FoldModels:
    seeds = [case("gaussian, a fixed scale", f"training.seed={seed}").vae for seed in range(3)]
    return FoldModels(seeds).eval()


@pytest.mark.parametrize("made", [ensemble, fold_models])
def test_graphs_split_the_elbo_of_far_rows_as_float64_does(made: object) -> None:
    vae = made()  # type: ignore[operator]  # one of the two functions above
    rows = case("gaussian, a fixed scale").rows.x
    middle, size = rows.mean(axis=0), rows.std(axis=0)
    direction = np.random.default_rng(0).standard_normal((8, rows.shape[1])) * size
    x = torch.from_numpy(np.concatenate([middle + far * direction for far in SIZES]))
    feeds = graph_inputs(vae, x, num_samples=5, seed=3)["surprise"]
    graph = export_graphs(vae, torch.from_numpy(rows[:3]), ["surprise"])["surprise"]
    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    names = [out.name for out in graph.outputs]
    got = dict(zip(names, session.run(names, {name: a.numpy() for name, a in feeds.items()}), strict=True))
    want = {name: values.numpy() for name, values in evaluate(double(vae), "surprise", feeds).items()}
    for name, share in (("elbo", 1e-6), ("log_likelihood", 1e-6), ("kl", 0.02), ("feature_log_likelihood", 0.02)):
        off = np.abs(got[name] - want[name]) / np.maximum(1.0, np.abs(want[name]))
        assert off.max() <= share, name
