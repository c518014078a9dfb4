"""Every kind of model gives in ONNX what it gives in torch in float64, row by row and feature by feature."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from tests.training.models import KINDS, case
from training.export import double, evaluate, export_graph, graph_inputs
from training.features import Standardize


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_is_torch_on_rows_near_and_far(kind: str) -> None:
    one = case(kind)
    x = one.x[:12].clone()
    if isinstance(one.vae.features, Standardize):
        x[0] += 50 * one.vae.features.scale
        x[1], x[2] = 1e300, -1.7e308
    feeds = graph_inputs(one.vae, x, one.latent_dim, num_samples=5, seed=3)["surprise"]
    graph = export_graph(one.vae, "surprise", graph_inputs(one.vae, x[:3], one.latent_dim, 2, 0)["surprise"])
    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    names = [out.name for out in graph.outputs]
    got = dict(zip(names, session.run(names, {name: a.numpy() for name, a in feeds.items()}), strict=True))
    want = evaluate(double(one.vae), "surprise", feeds)
    for name in names:
        exact = want[name].numpy()
        dim = 1 if name == "feature_log_likelihood" else one.vae.features.dim
        assert np.isfinite(got[name]).all()
        assert (np.abs(got[name] - exact) <= 1e-4 * np.maximum(dim, np.abs(exact))).all(), name


def test_graphs_are_free_of_paths_and_of_operators_of_other_domains() -> None:
    import onnx

    one = case("gaussian, a constant column")
    graph = export_graph(one.vae, "elbo", graph_inputs(one.vae, one.x[:3], one.latent_dim, 2, 0)["elbo"])
    model = onnx.load_from_string(graph.data)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert b"/training/" not in graph.data
    assert not any(node.op_type.startswith("Random") for node in model.graph.node)


def test_the_same_model_exports_to_the_same_bytes() -> None:
    one = case("bernoulli, columns")
    feeds = graph_inputs(one.vae, one.x[:3], one.latent_dim, 2, 0)["encode"]
    assert export_graph(one.vae, "encode", feeds) == export_graph(one.vae, "encode", feeds)


def test_tracing_leaves_torch_as_it_was() -> None:
    state = torch.random.get_rng_state()
    one = case("bernoulli, columns")
    export_graph(one.vae, "prior", graph_inputs(one.vae, one.x[:3], one.latent_dim, 2, 0)["prior"])
    assert torch.equal(torch.random.get_rng_state(), state)
