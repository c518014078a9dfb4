"""A graph gives the same outputs through buffers as in a plain call, for every kind of bundle and shape, on a CPU.

test_runtime_cuda.py tests the same code on a CUDA device.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.kinds import mixed_rows
from tests.runtime.conftest import assert_same
from vaekit import Model
from vaekit.bundle.manifest import Graph, Tensor
from vaekit.errors import InputError
from vaekit.runtime import session
from vaekit.runtime.device import CPU, CUDA, Cuda
from vaekit.runtime.golden import replay
from vaekit.runtime.session import BufferedSession, Session

NORMAL = np.random.default_rng(0).standard_normal
ROWS: dict[str, Any] = {
    "breast-cancer": 10 * NORMAL((70, 30)),
    "digits": np.random.default_rng(1).integers(0, 256, (70, 8, 8, 1)).astype(np.uint8),
    "mixed": mixed_rows(70, seed=3),
    "several": NORMAL((70, 3)),
}


@pytest.fixture(params=ROWS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def model(kind, models_dir, request) -> Iterator[Model]:
    """A model of each kind, which a test may change."""
    folder = models_dir / kind if kind in ("breast-cancer", "digits") else request.getfixturevalue(kind).folder
    with Model.load(folder, device="cpu") as loaded:
        yield loaded


def buffered(model: Model, **more: Any) -> dict[str, Session]:
    """The graphs of the model, called through buffers."""
    return {op: BufferedSession(graph.native, graph.graph, "cpu", 0, **more) for op, graph in model.graphs.items()}


def results(model: Model, x: Any) -> list[Any]:
    """The results of every operation, with draws of every kind."""
    n, z = len(x), model.manifest.latent_dim
    latents = np.random.default_rng(4).standard_normal((n, z))
    member = np.arange(n) % model.manifest.members if model.manifest.members > 1 else None
    return [
        model.encode(x),
        model.decode(latents, member),
        model.sample(n, seed=5),
        model.sample(n, seed=5, observe=True),
        model.elbo(x),
        model.elbo(x, features=True),
        model.elbo(x, num_samples=2),
        model.elbo(x, num_samples=7, seed=1),
        model.elbo(x, eps=np.random.default_rng(6).standard_normal((3, z))),
        model.elbo(x, eps=np.random.default_rng(7).standard_normal((n, 3, z))),
    ]


def test_calls_through_buffers_give_the_same_results_as_plain_calls(model, kind, monkeypatch):
    counts = (1, 2, 3, 8, 21, 70)
    plain = [results(model, ROWS[kind][:n]) for n in counts]
    monkeypatch.setattr(model, "graphs", buffered(model))
    for n, want in zip(counts, plain, strict=True):
        for one, other in zip(want, results(model, ROWS[kind][:n]), strict=True):
            assert_same(one, other)


def test_golden_rows_are_reproduced_through_buffers(model, monkeypatch):
    monkeypatch.setattr(model, "graphs", buffered(model))
    replay(model.run, model.bundle, model.providers)


def feeds_of(model: Model, operation: str) -> dict[str, Any]:
    prefix = f"{operation}.in."
    return {name.removeprefix(prefix): a for name, a in model.bundle.golden().items() if name.startswith(prefix)}


def test_arrays_may_have_any_memory_layout(model):
    through = buffered(model)
    for operation, graph in model.graphs.items():
        feeds = feeds_of(model, operation)
        strided = {name: np.repeat(a, 2, axis=0)[::2] for name, a in feeds.items()}
        turned = {name: np.asfortranarray(a) for name, a in feeds.items()}
        want = graph.run(feeds, 64)
        for given in (feeds, strided, turned):
            for one, other in zip(want, through[operation].run(given, 64), strict=True):
                np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)
                assert (other.dtype, other.shape) == (one.dtype, one.shape)


@pytest.mark.parametrize("kind", ["breast-cancer"], indirect=True)
def test_outputs_do_not_change_when_the_buffers_are_used_again(model):
    encode = buffered(model)["encode"]
    first = encode.run({"x": ROWS["breast-cancer"][:4]}, 64)
    kept = [a.copy() for a in first]
    encode.run({"x": ROWS["breast-cancer"][4:8]}, 64)
    for one, other in zip(first, kept, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["breast-cancer", "mixed"], indirect=True)
def test_many_threads_may_share_the_buffers(model, kind, monkeypatch):
    want = model.elbo(ROWS[kind])
    monkeypatch.setattr(model, "graphs", buffered(model))
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda i: (i, model.elbo(ROWS[kind][i : i + 1 + i % 5])), range(60)))
    for i, part in parts:
        assert_same(want[i : i + 1 + i % 5], part)


@pytest.mark.parametrize("kind", ["breast-cancer"], indirect=True)
def test_arrays_of_another_type_are_refused(model):
    with pytest.raises(InputError, match=r"x: float32 \(4, 30\), expected float64"):
        buffered(model)["encode"].run({"x": ROWS["breast-cancer"][:4].astype(np.float32)}, 64)


SHARED = Graph(
    file="shared.onnx",
    sha256="0" * 64,
    inputs=(
        Tensor(name="x", dtype="float32", shape=("N", 3)),
        Tensor(name="scale", dtype="float32", shape=(3,)),
        Tensor(name="shifts", dtype="float32", shape=("K", 3)),
    ),
    outputs=(Tensor(name="y", dtype="float32", shape=("N", "K", 3)),),
)


@pytest.fixture
def shared() -> Session:
    """y_nk = scale x_n + shift_k: inputs without a row axis, and an output with two variable sizes."""
    make = onnx.helper
    tensors = {t.name: make.make_tensor_value_info(t.name, onnx.TensorProto.FLOAT, t.shape) for t in SHARED.inputs}
    [output] = [make.make_tensor_value_info(t.name, onnx.TensorProto.FLOAT, t.shape) for t in SHARED.outputs]
    nodes = [
        make.make_node("Mul", ["x", "scale"], ["scaled"]),
        make.make_node("Unsqueeze", ["scaled", "axis"], ["by_row"]),
        make.make_node("Add", ["by_row", "shifts"], ["y"]),
    ]
    axis = make.make_tensor("axis", onnx.TensorProto.INT64, [1], [1])
    graph = make.make_graph(nodes, "shared", [*tensors.values()], [output], initializer=[axis])
    built = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10)
    native = onnxruntime.InferenceSession(built.SerializeToString(), providers=["CPUExecutionProvider"])
    return Session(native, SHARED)


@pytest.mark.parametrize("n", [1, 3, 4, 9])
def test_inputs_without_a_row_axis_are_not_padded(shared, n):
    feeds = {
        name: NORMAL(shape).astype(np.float32) for name, shape in (("x", (n, 3)), ("scale", 3), ("shifts", (2, 3)))
    }
    [got] = BufferedSession(shared.native, SHARED, "cpu", 0).run(feeds, 8)
    np.testing.assert_array_equal(got, shared.run(feeds, 8)[0])


class RecordedBuffers:
    """Records the number of rows of all buffers that are created."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        real = session.Buffers

        def make(native: Any, graph: Any, sizes: Any, device: Any, **more: Any) -> Any:
            self.rows.append(sizes["N"])
            return real(native, graph, sizes, device, **more)

        monkeypatch.setattr(session, "Buffers", make)


@pytest.mark.parametrize("kind", ["breast-cancer"], indirect=True)
def test_buffers_are_created_once_per_bucket_and_the_least_recently_used_are_dropped(model, monkeypatch):
    made = RecordedBuffers(monkeypatch)
    monkeypatch.setattr(session, "MAX_RECENT", 2)
    decode = buffered(model)["decode"]
    for n in (3, 4, 3, 1, 4, 9, 3, 1):
        decode.run({"z": np.zeros((n, 8), np.float32)}, 64)
    assert made.rows == [4, 1, 16, 1]  # the buffers of 1 row were dropped for those of 16


def test_a_warmed_model_creates_no_buffers_for_batches_with_default_draws(model, kind, monkeypatch):
    made = RecordedBuffers(monkeypatch)
    assert model.warm_up_calls(70) == []  # on a CPU there is nothing to prepare
    monkeypatch.setattr(model, "device", "cuda")
    monkeypatch.setattr(model, "graphs", buffered(model))
    for call in model.warm_up_calls(70):
        call()
    assert set(made.rows) == {1, 2, 4, 8, 16, 32, 64, 128}
    made.rows.clear()
    for n in (*range(1, 9), 31, 64, 70):
        run_with_default_draws(model, ROWS[kind][:n])
    assert made.rows == []


def run_with_default_draws(model: Model, x: Any) -> None:
    for operation in (model.encode, model.elbo, model.surprise):
        operation(x)
    model.sample(len(x), seed=1)
    model.sample(len(x), seed=1, observe=True)


class RecordingSession:
    """A session that records the CUDA graph id of each call."""

    def __init__(self, native: Any) -> None:
        self._native, self.ids = native, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native, name)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.ids.append(options and int(options.get_run_config_entry("gpu_graph_id")))
        self._native.run_with_iobinding(binding, options)

    def ids_since_last_call(self) -> list[Any]:
        ids, self.ids = self.ids, []
        return ids


@pytest.mark.parametrize("kind", ["breast-cancer"], indirect=True)
def test_a_graph_is_recorded_after_two_plain_runs_and_replayed_only_in_its_thread(model):
    native = RecordingSession(model.graphs["encode"].native)
    encode = BufferedSession(native, model.graphs["encode"].graph, "cpu", 0, records=True)
    encode.warm(8, 16)
    assert native.ids_since_last_call() == [-1, -1, 8]
    x = ROWS["breast-cancer"]
    encode.run({"x": x[:7]}, 64)
    encode.run({"x": x[:20]}, 64)  # not warmed
    with ThreadPoolExecutor(1) as another:
        another.submit(encode.run, {"x": x[:7]}, 64).result()
    assert native.ids_since_last_call() == [8, -1, -1]


@pytest.mark.parametrize("kind", ["breast-cancer"], indirect=True)
def test_without_cuda_graphs_calls_have_no_run_options(model):
    native = RecordingSession(model.graphs["encode"].native)
    encode = BufferedSession(native, model.graphs["encode"].graph, "cpu", 0)
    encode.warm(8, 16)
    encode.run({"x": ROWS["breast-cancer"][:7]}, 64)
    assert native.ids_since_last_call() == [None, None]


@pytest.mark.parametrize("kind", ["digits"], indirect=True)
def test_a_graph_reports_its_providers_and_nodes(model):
    for operation, graph in model.graphs.items():
        assert graph.providers == ("CPUExecutionProvider",)
        path = model.bundle.graphs()[operation]
        assert 0 < graph.nodes["CPUExecutionProvider"] <= len(onnx.load(path).graph.node) + 5
        assert graph.nodes.keys() == {"CPUExecutionProvider"}
    assert model.device_memory is None


def test_a_graph_uses_buffers_on_cuda_and_plain_calls_on_a_cpu(monkeypatch):
    class Native:
        def __init__(self, *providers: str) -> None:
            self.get_providers = lambda: list(providers)

    monkeypatch.setattr(session, "open_session", lambda *_: Native(CUDA, CPU))
    graph = session.open_graph(Path("x.onnx"), SHARED, "cuda:1", cuda=Cuda(graphs=True))
    assert isinstance(graph, BufferedSession)
    assert (graph._device, graph._records) == (("cuda", 1), True)
    monkeypatch.setattr(session, "open_session", lambda *_: Native(CPU))
    assert type(session.open_graph(Path("x.onnx"), SHARED, "auto")) is Session
