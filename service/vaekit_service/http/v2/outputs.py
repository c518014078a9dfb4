"""The outputs that a model gives by default, and the answer to a request without rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec
from vaekit.runtime import Model
from vaekit.tabular.levels import level_slices
from vaekit_service.codecs.v2.infer_reply import PROBABILITIES
from vaekit_service.codecs.v2.published import ROWS, TensorSpec
from vaekit_service.codecs.v2.tensors import DATATYPES, datatype_of
from vaekit_service.messages import Answer, Operation


def outputs_of(operation: Operation, model: Model) -> tuple[TensorSpec, ...]:
    """The outputs that an operation gives if the request has no options."""
    return tuple(_OUTPUTS[operation](model))


def _encode(model: Model) -> Iterator[TensorSpec]:
    m, z = model.manifest.members, model.manifest.latent_dim
    dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in model.manifest.operations["encode"].outputs}
    shapes = {"mu": (ROWS, z), "sigma": (ROWS, z)} if m == 1 else {"mu": (ROWS, m, z), "sigma": (ROWS, m, z)}
    for name, shape in {**shapes, **({"weights": (ROWS, m)} if m > 1 else {})}.items():
        datatype = datatype_of(dtypes[name])
        assert datatype is not None
        yield TensorSpec(name, datatype, shape)


def _decode(model: Model) -> Iterator[TensorSpec]:
    spec, parameters = model.manifest.input, model.manifest.likelihood.parameters
    for name in ("mean", "scale"):
        if name in parameters:
            yield TensorSpec(name, "FP64", (ROWS, *spec.row_shape))
    if "df" in parameters:
        yield TensorSpec("df", "FP64", (ROWS, spec.dim))
    if "probabilities" in parameters:
        for column, at in level_slices(spec).items():
            yield TensorSpec(f"{PROBABILITIES}.{column}", "FP64", (ROWS, at.stop - at.start))


def _sample(model: Model) -> Iterator[TensorSpec]:
    yield TensorSpec("latents", "FP32", (ROWS, model.manifest.latent_dim))
    yield TensorSpec("samples", "FP64", (ROWS, *model.manifest.input.row_shape))
    if model.manifest.members > 1:
        yield TensorSpec("members", "INT64", (ROWS,))


def _elbo(model: Model) -> Iterator[TensorSpec]:
    manifest, calibration = model.manifest, model.calibration()
    for name in ("elbo", "log_likelihood", "kl"):
        yield TensorSpec(name, "FP64", (ROWS,))
    if manifest.input.may_be_missing:
        yield TensorSpec("observed_count", "INT64", (ROWS,))
    for name in ("log_evidence", "score"):
        yield TensorSpec(name, "FP64", (ROWS,))
    if not isinstance(calibration, str):
        yield TensorSpec("p_value", "FP64", (ROWS,))
        if calibration.has_tail:
            yield TensorSpec("p_value_tail", "FP64", (ROWS,))
        yield TensorSpec("is_anomaly", "BOOL", (ROWS,))
        if manifest.groups is not None:
            yield TensorSpec("group", "BYTES", (ROWS,))
            yield TensorSpec("group_pooled", "BOOL", (ROWS,))
    if manifest.likelihood.bits_per_dim_of is not None:
        yield TensorSpec("bits_per_dim", "FP64", (ROWS,))
    if not isinstance(manifest.input, ImageSpec):
        yield TensorSpec("novel", "BYTES", (ROWS,))
    if model.tolerances is not None:
        yield TensorSpec("tolerated", "BYTES", (ROWS,))


_OUTPUTS = {"encode": _encode, "decode": _decode, "sample": _sample, "elbo": _elbo}


def empty_answer(operation: Operation, model: Model) -> Answer:
    """The answer to a request without rows: all outputs with 0 rows."""
    manifest = model.manifest
    rows: dict[str, NDArray[Any] | None] = {
        spec.name: np.empty((0, *spec.shape[1:]), DATATYPES[spec.datatype].dtype)
        for spec in outputs_of(operation, model)
    }
    return Answer(manifest.name, manifest.version, 0, rows, {}, manifest.input)
