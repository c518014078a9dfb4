"""What the Open Inference Protocol tells about models: metadata, configuration, statistics and the index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vaekit.runtime import Model
from vaekit_service.codecs.v2.published import TensorSpec, inputs_of
from vaekit_service.components import Components
from vaekit_service.http.v2 import names
from vaekit_service.http.v2.outputs import outputs_of
from vaekit_service.messages import Operation
from vaekit_service.repository.registry import UNLOADED
from vaekit_service.repository.version import UNREADABLE, ModelVersion, ServedModel
from vaekit_service.stages import Key, ModelStatistics, OperationStatistics, Total

PLATFORM, BACKEND = "onnxruntime_onnx", "onnxruntime"
_EXTENSIONS = ("binary_tensor_data", "statistics", "model_configuration", "parameters")
_OF_ADMIN = ("model_repository", "model_repository(unload_dependents)")
_STATES = {"ready": "READY", "loading": "LOADING", "idle": "READY", "failed": "UNAVAILABLE"}


def server(version: str, *, admin: bool) -> dict[str, Any]:
    """The reply of GET /v2; models can be loaded and unloaded only if there are admin routes."""
    return {"name": "vaekit", "version": version, "extensions": [*_EXTENSIONS, *(_OF_ADMIN if admin else ())]}


def metadata(name: str, operation: Operation, model: Model, versions: Iterable[int]) -> dict[str, Any]:
    """The inputs and outputs of a model. A size of -1 may vary."""
    inputs, outputs = inputs_of(operation, model.manifest), outputs_of(operation, model)
    return {
        "name": name,
        "versions": [str(version) for version in versions if version != UNREADABLE],
        "platform": PLATFORM,
        "inputs": [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in inputs],
        "outputs": [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in outputs],
    }


def config(name: str, operation: Operation, model: Model, max_rows: int) -> dict[str, Any]:
    """The same in the form of Triton's ModelConfig, whose shapes do not have the number of rows.

    Args:
        name, operation, model: the model as it is named, and what it is.
        max_rows: rows of one request.
    """
    has_rows = operation != "sample"
    kind = "KIND_CPU" if model.device == "cpu" else "KIND_GPU"
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "max_batch_size": max_rows if has_rows else 0,
        "input": [_config_of(spec, has_rows) for spec in inputs_of(operation, model.manifest)],
        "output": [_config_of(spec, has_rows) for spec in outputs_of(operation, model)],
        "version_policy": {"latest": {"num_versions": 1}},
        "instance_group": [{"name": f"{name}_0", "kind": kind, "count": 1}],
        "dynamic_batching": {},
    }


def _config_of(spec: TensorSpec, has_rows: bool) -> dict[str, Any]:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    dims = list(spec.shape[1:] if has_rows else spec.shape)
    return {"name": spec.name, "data_type": f"TYPE_{datatype}", "dims": dims or [1], "optional": spec.optional}


def all_statistics(components: Components) -> list[dict[str, Any]]:
    """The statistics of all models in memory, for each of their operations."""
    return [
        statistics(name, served, components.metrics.statistics)
        for served in components.registry.loaded
        for name in names.names_of(served.name)
    ]


def statistics(name: str, served: ModelVersion, found: ModelStatistics) -> dict[str, Any]:
    """The statistics of one model version since the service started, over all protocols."""
    key = Key(served.name, served.version, names.parse(name).operation)
    return {"name": name, "version": str(served.version), **_in_their_form(found.of(key))}


def _in_their_form(found: OperationStatistics) -> dict[str, Any]:
    """Values are decoded and encoded per request, so batches only have the time on the device."""
    nothing = _duration(Total())
    return {
        "last_inference": round(1e3 * found.last),
        "inference_count": found.rows,
        "execution_count": sum(total.count for total in found.batches.values()),
        "inference_stats": {
            "success": _duration(found.success),
            "fail": _duration(found.fail),
            "queue": _duration(found.queue),
            "compute_input": _duration(found.decode),
            "compute_infer": _duration(found.run),
            "compute_output": _duration(found.encode),
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": nothing,
                "compute_infer": _duration(total),
                "compute_output": nothing,
            }
            for rows, total in found.batches.items()
        ],
        "memory_usage": [],
    }


def _duration(total: Total) -> dict[str, int]:
    return {"count": total.count, "ns": round(1e9 * total.seconds)}


def index(models: Iterable[ServedModel], *, ready_only: bool) -> list[dict[str, str]]:
    """All versions of all models with their states."""
    return [
        {"name": name, **entry}
        for model in models
        for entry in _entries(model)
        if not ready_only or entry["state"] == "READY"
        for name in names.names_of(model.name)
    ]


def _entries(model: ServedModel) -> Iterator[dict[str, str]]:
    for served in model.all:
        state, reason = _STATES[served.state], served.reason
        if model.unloaded:
            state, reason = "UNAVAILABLE", UNLOADED
        elif served.state == "idle":
            reason = "not in memory; the next request for this version loads it"
        yield {"version": str(served.version), "state": state, "reason": reason or ""}
