"""ONNX graphs of every kind of model give the same as torch in float64, by row and by feature."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from tests.training.models import KINDS, Case, case, far
from vaekit.bundle.manifest import Operation
from vaekit_training.evaluate import settled_exemplars
from vaekit_training.export import ExportedGraph, double, evaluate, export_graphs, graph_inputs
from vaekit_training.export.reference import EXEMPLAR, WEIGHT

REPRESENTATIVES = (
    "gaussian, scale from the network",
    "bernoulli, grey images",
    "mixed, missing cells",
    "aggregate prior",
)


@pytest.mark.parametrize(
    "kind", [kind if kind in REPRESENTATIVES else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_onnx_equals_torch_on_normal_and_extreme_rows(kind: str) -> None:
    one = case(kind)
    x = torch.cat([one.x[3:12], far(one)])
    if not one.rows.is_image and "real" in one.rows.kinds:
        real = torch.tensor([kind == "real" for kind in one.rows.kinds])
        x[0] += torch.where(real, 50 * torch.from_numpy(np.nanstd(one.rows.x, axis=0)), 0.0)
    feeds = graph_inputs(one.vae, x, num_samples=5, seed=3)["surprise"]
    graphs = export_graphs(one.vae, one.x)
    each_takes_its_own_inputs_alone_and_any_number_of_rows(one, graphs)
    graph = graphs["surprise"]
    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    names = [out.name for out in graph.outputs]
    got = dict(zip(names, session.run(names, {name: a.numpy() for name, a in feeds.items()}), strict=True))
    want = evaluate(double(one.vae), "surprise", feeds)
    for name in names:
        if name == EXEMPLAR:  # an index: equal, unless rounding decides between several
            settled = settled_exemplars(want[WEIGHT].numpy())
            np.testing.assert_array_equal(got[name][settled], want[name].numpy()[settled])
            continue
        exact = want[name].numpy()
        size = np.maximum(1 if name == "feature_log_likelihood" else one.vae.features.dim, np.abs(exact))
        if one.vae.members > 1:  # their weights depend on ELBOs, with relative rounding errors
            size = np.maximum(size, np.abs(want["elbo"].numpy()).reshape(-1, *[1] * (exact.ndim - 1)))
        assert np.isfinite(got[name]).all()
        assert (np.abs(got[name] - exact) <= 1e-4 * size).all(), name


def each_takes_its_own_inputs_alone_and_any_number_of_rows(one: Case, graphs: dict[Operation, ExportedGraph]) -> None:
    feeds = graph_inputs(one.vae, one.x[3:10], num_samples=5, seed=3)
    assert list(graphs) == list(feeds)
    for operation, graph in graphs.items():
        assert [value.name for value in graph.inputs] == list(feeds[operation])
        session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        found = session.run(None, {name: a.numpy() for name, a in feeds[operation].items()})
        want = evaluate(one.vae, operation, feeds[operation])
        assert [value.name for value in graph.outputs] == list(want)
        assert [a.shape for a in found] == [a.shape for a in want.values()]


def test_graphs_contain_no_paths_and_only_standard_operators() -> None:
    import onnx

    one = case("gaussian, a constant column")
    graph = export_graphs(one.vae, one.x, ["elbo"])["elbo"]
    model = onnx.load_from_string(graph.data)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert b"/vaekit_training/" not in graph.data
    assert not any(node.op_type.startswith("Random") for node in model.graph.node)


def test_the_same_model_exports_to_the_same_bytes() -> None:
    one = case("bernoulli, columns")
    assert export_graphs(one.vae, one.x) == export_graphs(one.vae, one.x)


def test_export_draws_no_random_numbers() -> None:
    state = torch.random.get_rng_state()
    one = case("bernoulli, columns")
    export_graphs(one.vae, one.x)
    assert torch.equal(torch.random.get_rng_state(), state)
