"""Float16 graphs: what is written, how its error is reported, and when it is not written.

Leaky ReLUs are homogeneous: if the first layer is multiplied by 2^10 and the second one divided by it, the function is
the same in float32, but hidden values of extreme rows overflow float16.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.kinds import Published
from tests.training.models import OF_NETWORKS, case, far, raw_rows, standard_eps
from vaekit.bundle import Calibration, find
from vaekit.errors import NotFinite
from vaekit.runtime import Model
from vaekit_training.config import make_config
from vaekit_training.export import double, evaluate, export_graphs, graph_inputs, halved
from vaekit_training.float16 import measure, sentence
from vaekit_training.networks import float16 as networks
from vaekit_training.networks.layers import MemberLinear
from vaekit_training.publish import publish_run
from vaekit_training.trained import Trained
from vaekit_training.vae import VAE

TWINS = {"encode": "encoder.float16.onnx", "elbo": "elbo.float16.onnx", "surprise": "surprise.float16.onnx"}


def feeds_of(vae: VAE, x: torch.Tensor, k: int = 4) -> dict[str, torch.Tensor]:
    rows, observed = raw_rows(vae, x)
    feeds = {"x": rows, "eps": standard_eps(k, vae.latent_dim, len(x))}
    return feeds if observed is None else {**feeds, "observed": observed}


def rescaled(trained: Trained) -> Trained:
    """The same function in float32, with hidden values of the encoder 2^10 times as large."""
    vae = copy.deepcopy(trained.vae)
    with torch.no_grad():
        vae.encoder[0].weight.mul_(1024)
        vae.encoder[0].bias.mul_(1024)
        vae.encoder[-1].weight.div_(1024)
    return replace(trained, vae=vae)


def test_float16_graphs_are_listed_and_written_beside_the_float32_graphs(half: Published) -> None:
    folder = find(half.root, half.name)
    with Model.load(folder, device="cpu") as model:
        manifest = model.manifest
    assert manifest.half is not None
    assert {operation: part.file for operation, part in manifest.half.operations.items()} == TWINS
    assert {part.file for part in manifest.files} <= {path.name for path in folder.iterdir()}
    for file in TWINS.values():
        graph = onnx.load(folder / file).graph
        matrices = {node.input[1] for node in graph.node if node.op_type in ("Gemm", "MatMul")}
        weights = [part for part in graph.initializer if part.name in matrices]
        assert len(weights) >= 2
        assert {part.data_type for part in weights} == {onnx.TensorProto.FLOAT16}


def test_a_run_without_export_half_writes_no_float16_graphs(several: Published) -> None:
    folder = find(several.root, several.name)
    with Model.load(folder, device="cpu") as model:
        assert model.manifest.half is None
        assert not any("float16" in name for name in model.manifest.metrics)
    assert not list(folder.glob("*float16*"))


def test_the_reported_error_is_that_of_the_test_rows(half: Published) -> None:
    trained, k = half.trained, 4
    x = trained.rows.x[trained.splits.test]
    with Model.load(half.folder, device="cpu") as model, Model.load(half.folder, precision="float16") as own:
        eps = torch.from_numpy(model.draws(k)).expand(len(x), -1, -1)
        got = evaluate(halved(trained.vae), "elbo", {"x": torch.from_numpy(x), "eps": eps})["elbo"].numpy()
        want, metrics = model.elbo(x).elbo, model.manifest.metrics
        calibrations = model.calibration(), own.calibration()
    off = np.abs(got - want)
    assert 0 < off.max() < 0.1
    assert metrics["float16_elbo_max"].value == pytest.approx(off.max(), rel=1e-6)
    assert metrics["float16_elbo_p99"].value == pytest.approx(np.quantile(off, 0.99), rel=1e-6)
    assert metrics["float16_elbo_max_per_dim"].value == pytest.approx(off.max() / 3, rel=1e-6)
    assert metrics["float16_elbo_p99_per_dim"].value == pytest.approx(np.quantile(off, 0.99) / 3, rel=1e-6)
    assert {metrics[name].n for name in metrics if name.startswith("float16")} == {len(x)}
    verdicts = [
        c.p_value(-elbo) <= 0.05  # type: ignore[union-attr]  # both have one
        for c, elbo in zip(calibrations, (want, got), strict=True)
    ]
    assert metrics["float16_verdicts"].value == (verdicts[0] != verdicts[1]).sum()


def test_float16_scores_are_calibrated_by_float16_scores(half: Published) -> None:
    trained = half.trained
    with Model.load(half.folder, device="cpu", precision="float16") as own:
        calibration = own.calibration()
        scores = np.sort(own.elbo(trained.rows.x[trained.splits.calibration]).score)
    assert not isinstance(calibration, str)
    np.testing.assert_allclose(calibration.scores, scores, rtol=1e-6)
    with Model.load(half.folder, device="cpu") as model:
        other = model.calibration()
        assert not isinstance(other, str)
        assert not np.array_equal(other.scores, calibration.scores)


@pytest.mark.parametrize(
    "kind", ["gaussian, scale from the network", "resnet", "residual, layer norm", "members, mixed, missing cells"]
)
def test_a_float16_graph_gives_the_outputs_of_the_rounded_networks_in_torch(kind: str) -> None:
    """Both differ only by some rounding errors of 2^-11 from the rounded weights in float64."""
    one = case(kind)
    half_vae = halved(one.vae)
    feeds = graph_inputs(one.vae, one.x[3:12], num_samples=5, seed=3)["surprise"]
    graph, plain = (export_graphs(vae, one.x, ["surprise"])["surprise"] for vae in (half_vae, one.vae))
    assert (graph.inputs, graph.outputs) == (plain.inputs, plain.outputs)
    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    names = [out.name for out in graph.outputs]
    got = dict(zip(names, session.run(names, {name: a.numpy() for name, a in feeds.items()}), strict=True))
    want = evaluate(double(half_vae), "surprise", feeds)
    for name in names:
        exact = want[name].double().numpy()
        size = np.maximum(1 if name == "feature_log_likelihood" else one.vae.features.dim, np.abs(exact))
        assert (np.abs(got[name] - exact) <= 0.02 * size).all(), name


@pytest.mark.parametrize("kind", OF_NETWORKS)
def test_every_finite_row_has_a_finite_score_whatever_the_weights(kind: str) -> None:
    """Weights are 50 times as large, and rows at the limits of float64: plain float16 networks overflow."""
    one = case(kind)
    with torch.no_grad():
        for parameter in (*one.vae.encoder.parameters(), *one.vae.decoder.parameters()):
            parameter.mul_(50)
    half_vae = halved(one.vae)
    x = far(one)
    bound = evaluate(half_vae, "surprise", feeds_of(one.vae, x))
    assert all(values.isfinite().all() for values in bound.values())


@pytest.mark.parametrize("kind", ["gaussian, scale from the network", "members", "resnet"])
def test_the_same_rows_overflow_without_clamping(kind: str) -> None:
    one = case(kind)
    with torch.no_grad():
        for parameter in one.vae.encoder.parameters():
            parameter.mul_(50)
    seen = torch.full((1, one.vae.features.width), 1e3)
    assert not copy.deepcopy(one.vae.encoder).half()(seen.half()).isfinite().all()
    assert networks.Float16Network(one.vae.encoder)(seen).isfinite().all()


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Linear(6, 4, bias=False),
        torch.nn.Conv2d(3, 4, 3, bias=False),
        torch.nn.ConvTranspose2d(3, 4, 4, bias=False),
        MemberLinear(2, 6, 4),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_largest_sum_is_the_largest_output_for_inputs_of_one(layer: torch.nn.Module) -> None:
    """Inputs of 1 with positive weights give the largest sum that inputs between -1 and 1 can give."""
    shape = {"Linear": (1, 6), "Conv2d": (1, 3, 3, 3), "ConvTranspose2d": (1, 3, 9, 9), "MemberLinear": (2, 1, 6)}
    if isinstance(layer, MemberLinear):
        layer.bias.data.zero_()
    one = torch.ones(shape[type(layer).__name__])
    with torch.no_grad():
        layer.weight.abs_()  # type: ignore[operator]  # a matrix
        assert float(layer(one).max()) == pytest.approx(networks.largest_sum(layer), rel=1e-6)


def test_a_graph_clamps_activations_as_torch_does(half: Published) -> None:
    half_vae = halved(rescaled(half.trained).vae)
    x = torch.tensor([[1e300, -1e300, 1e300], [0.0, 0.0, 0.0], [50.0, 0.0, 0.0]], dtype=torch.float64)
    feeds = feeds_of(half_vae, x)
    graph = export_graphs(half_vae, x, ["elbo"])["elbo"]
    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    elbo = session.run(["elbo"], {name: a.numpy() for name, a in feeds.items()})[0]
    assert np.isfinite(elbo).all()
    np.testing.assert_allclose(elbo, evaluate(double(half_vae), "elbo", feeds)["elbo"], rtol=1e-3, atol=0.05)


def test_hidden_values_beyond_float16_are_clamped_and_the_error_is_reported(half: Published, tmp_path: Path) -> None:
    said: list[str] = []
    manifest = publish_run(rescaled(half.trained), tmp_path, said.append)
    assert manifest.half is not None
    folder = find(tmp_path, half.name)
    with Model.load(folder, device="cpu", precision="float16") as own:
        assert np.isfinite(own.elbo([[1e308, -1e308, 0.0], [1e6, 0.0, 1e9]]).elbo).all()
    [line] = [text for text in said if text.startswith("float16: ")]
    n = len(half.trained.splits.test)
    assert line.startswith(f"float16: the ELBO of {n} test rows is off by at most 0.")
    assert line.endswith("verdicts at alpha = 0.05 change")
    for page in ("model-card.md", "report.html"):
        assert "float16_elbo_max" in (folder / "report" / page).read_text()


def test_float16_graphs_that_overflow_are_not_written_and_run_and_report_say_why(
    half: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "LARGEST", float("inf"))
    told: list[str] = []
    manifest = publish_run(rescaled(half.trained), tmp_path, warn=told.append)
    assert manifest.half is None
    assert told == ["no float16 graphs were written: encode: mu of a golden row is not finite in float16"]
    folder = find(tmp_path, half.name)
    assert not list(folder.glob("*float16*"))
    assert told[0] in (folder / "report" / "model-card.md").read_text()
    assert told[0] in (folder / "report" / "report.html").read_text()
    with Model.load(folder, device="cpu") as model:
        assert not isinstance(model.calibration(), str)


def test_a_weight_beyond_float16_is_named(half: Published) -> None:
    vae = copy.deepcopy(half.trained.vae)
    vae.decoder[-1].weight.data[0, 0] = 1e5
    with pytest.raises(NotFinite, match=r"decoder: 2\.weight has a weight of 100000; float16 allows up to 30000"):
        halved(vae)


def test_verdicts_are_not_compared_with_too_few_calibration_rows(half: Published) -> None:
    few = Calibration.of(np.arange(5.0))
    with Model.load(half.folder, device="cpu") as model:
        figures = measure(halved(half.trained.vae), model, half.trained.rows.x[:20], few, few)
    assert figures.keys() == {f"float16_elbo_{name}" for name in ("max", "max_per_dim", "p99", "p99_per_dim")}
    assert "verdicts" not in sentence(figures)


def test_a_row_that_is_not_finite_in_float16_is_named(half: Published) -> None:
    half_vae = halved(half.trained.vae)
    few = Calibration.of(np.arange(5.0))
    with torch.no_grad():
        half_vae.decoder.network[-1].bias.fill_(float("nan"))  # type: ignore[index, union-attr]  # a perceptron
    with Model.load(half.folder, device="cpu") as model, pytest.raises(NotFinite, match="test row 0 is not finite"):
        measure(half_vae, model, half.trained.rows.x[:20], few, few)


def test_float16_graphs_are_off_by_default() -> None:
    assert make_config({"name": "m", "data": {"source": "digits"}}).export.half is False
