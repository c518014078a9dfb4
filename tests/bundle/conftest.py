"""A tiny bundle that tests can write often. Its files are valid, but its graphs do not belong to a trained model."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vaekit.bundle import Manifest, publish
from vaekit.bundle.write import digest


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def model_of(nodes: list[Any], initializers: list[Any] = (), **more: Any) -> onnx.ModelProto:
    """An ONNX model x (N, 2) -> y (N, 2)."""
    shape = ["N", 2]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph(nodes, "graph", [x], [y], list(initializers))
    more.setdefault("opset_imports", [helper.make_opsetid("", 18)])
    return helper.make_model(graph, ir_version=10, **more)


def identity() -> onnx.ModelProto:
    return model_of([helper.make_node("Identity", ["x"], ["y"])])


@dataclass(frozen=True)
class Tiny:
    """The arguments of `publish`."""

    manifest: Manifest
    files: dict[str, bytes]


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    graph = identity().SerializeToString()
    files = {
        "encoder.onnx": graph,
        "decoder.onnx": graph,
        "noise.npy": npy(np.arange(8.0).reshape(4, 2)),
        "golden.npz": npz(x=np.zeros(1)),
        "calibration.npz": npz(elbo_k2_default=np.arange(3.0)),
    }
    signed = {name: {"file": name, "sha256": digest(data)} for name, data in files.items()}
    tensors = {"inputs": [], "outputs": []}
    manifest = Manifest.model_validate(
        {
            "name": "tiny",
            "version": 1,
            "created": "2024-01-01T00:00:00Z",
            "input": {"kind": "vector", "columns": [{"name": "a"}, {"name": "b"}]},
            "likelihood": {"name": "gaussian", "parameters": ["mean", "scale"], "scale": "network"},
            "prior": {"name": "normal"},
            "latent_dim": 2,
            "operations": {
                "encode": {**signed["encoder.onnx"], **tensors},
                "decode": {**signed["decoder.onnx"], **tensors},
            },
            "draws": {**signed["noise.npy"], "default": 2, "maximum": 4},
            "golden": {
                **signed["golden.npz"],
                "num_samples": 2,
                "tolerance": {"CPUExecutionProvider": {"relative": 1e-4, "absolute": 1e-4}},
            },
            "calibration": {
                **signed["calibration.npz"],
                "assumption": "none",
                "entries": [{"array": "elbo_k2_default", "num_samples": 2, "n": 3}],
            },
        }
    )
    return Tiny(manifest, {**files, "report/card.md": b"# tiny"})


@pytest.fixture
def published(tiny, tmp_path: Path) -> Path:
    """The folder of version 1 of the tiny bundle."""
    publish(tmp_path, tiny.manifest, tiny.files)
    return tmp_path / "tiny" / "1"
