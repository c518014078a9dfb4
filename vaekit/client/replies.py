"""Parses JSON and npy replies into results of arrays.

Shapes: N rows, D data dimensions (or H, W, C), Z latent dimensions, M members. Bounds are in nats per row, data in raw
units.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from vaekit.bundle import Manifest
from vaekit.bundle.input_spec import InputSpec
from vaekit.client import errors, wire
from vaekit.client.error_replies import media_type
from vaekit.tabular.explained_cells import named

Array = NDArray[np.float64]
Document = TypeVar("Document", bound=BaseModel)
_LONGEST_HEADER = 2**18  # characters of an npy header; numpy's limit of 10,000 is too low for many category names
_HEADERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "model": (wire.MODEL_HEADER, str),
    "version": (wire.VERSION_HEADER, int),
    "seed": (wire.SEED_HEADER, int),
    "alpha": (wire.ALPHA_HEADER, float),
    "num_samples": (wire.NUM_SAMPLES_HEADER, int),
    "p_value_reason": (wire.P_VALUE_REASON_HEADER, str),
    "ignored_columns": (wire.IGNORED_COLUMNS_HEADER, json.loads),
    "warnings": (wire.WARNINGS_HEADER, json.loads),
}


@dataclass(frozen=True)
class _Result:
    model: str
    version: int


@dataclass(frozen=True)
class _OfRows(_Result):
    ignored_columns: tuple[str, ...]  # columns of the rows that the model does not have
    warnings: tuple[str, ...]  # one for each that resembles an absent column, and why novel rows have no elbo


@dataclass(frozen=True)
class EncodeResult(_OfRows):
    """q(z|x) = N(mu, diag(sigma^2)) of each row; for an ensemble, of each row and member."""

    mu: Array  # (N, Z) or (N, M, Z)
    sigma: Array  # as mu
    weights: Array | None  # (N, M), q(m|x); None without members


@dataclass(frozen=True)
class DecodeResult(_Result):
    """Mean and scale of p(x|z) in raw units; the mean of a category is the index of its most probable level."""

    mean: Array  # (N, D), (N, W, D) for windows, or (N, H, W, C)
    scale: Array | None  # as mean; None if the likelihood has no scale
    df: Array | None  # (N, D), degrees of freedom of student_t
    probabilities: Mapping[str, Array] | None  # by category column, (N, its levels)


@dataclass(frozen=True)
class SampleResult(_Result):
    """Draws of the model."""

    seed: int  # reproduces the draws
    latents: Array  # (n, Z)
    samples: Array  # (n, D) or (n, H, W, C), raw units; for a category the index of the level
    members: NDArray[np.int64] | None  # (n,), the member that drew each row; None without members


@dataclass(frozen=True)
class ElboResult(_OfRows):
    """elbo = log_likelihood - kl, with p-values and verdicts from the model's calibration; (N,) each.

    p_value and is_anomaly are None if there is no calibration for the requested draws; p_value_reason says why. It also
    says so if no row can be an anomaly at this alpha.
    """

    elbo: Array  # NaN for a novel row that a bundle before format 1.3 cannot score, and where no window ends
    log_likelihood: Array
    kl: Array
    log_evidence: Array | None  # None if not requested
    score: Array  # -elbo: higher is more anomalous; NaN as elbo
    novel: list[list[str]] | None  # the columns that make each row novel, N lists; None for images
    p_value: Array | None  # lower is more anomalous
    p_value_tail: Array | None  # extrapolated beyond the highest held-out score, no guarantee; None without a tail
    is_anomaly: NDArray[np.bool_] | None  # p_value <= alpha, unless tolerance rules remove the alarm
    is_discovery: NDArray[np.bool_] | None  # by Benjamini-Hochberg over the rows of the request; None without fdr
    alpha: float | None
    p_value_reason: str | None
    num_samples: int
    bits_per_dim: Array | None
    feature_log_likelihood: Array | None  # (N, D) or (N, H, W, C), see ElboReply; 0 where a cell is missing
    observed_count: NDArray[np.int64] | None  # number of observed columns, -1: no window; None if none may be missing
    explanation: NDArray[Any] | None  # (N, k) records, most anomalous first; feature -1: no cell; None without explain
    kl_p_value: Array | None  # p-value of kl; lower is more anomalous; None without explain
    group: NDArray[np.str_] | None = None  # the calibration group that the row was compared with; None without groups
    group_pooled: NDArray[np.bool_] | None = None  # whether it is larger than the row's own group
    cells: NDArray[np.object_] | None = None  # (N,) lists of dicts: explanation by the names of columns and levels
    similar: NDArray[Any] | None = None  # (N, k) records: row, weight, values (D,) of similar training rows, or None
    tolerated: list[list[str]] | None = None  # columns of the rules that removed each alarm; None without rules


def encode(response: httpx.Response, rows: int | None) -> EncodeResult:
    got = _fields(response, wire.EncodeReply)
    arrays = {**_arrays(got, rows, "mu", "sigma"), **_optional(got, rows, "weights")}
    return EncodeResult(**_model_fields(got), **_ignored(got), **arrays)


def decode(response: httpx.Response, rows: int | None) -> DecodeResult:
    got = _fields(response, wire.DecodeReply)
    return DecodeResult(
        **_model_fields(got),
        **_arrays(got, rows, "mean"),
        **_optional(got, rows, "scale", "df"),
        probabilities=_by_column(got, rows, "probabilities"),
    )


def sample(response: httpx.Response, rows: int | None) -> SampleResult:
    got = _fields(response, wire.SampleReply)
    return SampleResult(
        **_model_fields(got),
        seed=_required(got, "seed"),
        **_arrays(got, rows, "latents", "samples"),
        **_optional(got, rows, "members", dtype=np.int64),
    )


def elbo(response: httpx.Response, rows: int | None) -> ElboResult:
    got = _without_null(_fields(response, wire.ElboReply))
    return ElboResult(
        **_model_fields(got),
        **_ignored(got),
        **_arrays(got, rows, "elbo", "log_likelihood", "kl", "score"),
        **_optional(got, rows, "log_evidence", "p_value", "p_value_tail", "bits_per_dim"),
        **_optional(got, rows, "feature_log_likelihood", "kl_p_value"),
        **_optional(got, rows, "explanation", "similar", dtype=None),
        **_optional(got, rows, "is_anomaly", "is_discovery", "group_pooled", dtype=np.bool_),
        **_optional(got, rows, "group", dtype=np.str_),
        **_optional(got, rows, "observed_count", dtype=np.int64),
        novel=_names(got, "novel", rows),
        tolerated=_names(got, "tolerated", rows),
        alpha=got.get("alpha"),
        p_value_reason=got.get("p_value_reason"),
        num_samples=_required(got, "num_samples"),
    )


def _without_null(got: dict[str, Any]) -> dict[str, Any]:
    """The fields of a JSON reply without the nulls of time steps at which no window ends: -1, '' and False."""
    empty = {"observed_count": -1, "group": "", "group_pooled": False}
    lists = {name: got[name] for name in empty if isinstance(got.get(name), list)}
    return got | {name: [empty[name] if one is None else one for one in each] for name, each in lists.items()}


def with_cells(found: ElboResult, spec: InputSpec) -> ElboResult:
    """The result with its explained cells by name."""
    assert found.explanation is not None
    if found.explanation.dtype.names is None:
        return found
    cells = np.empty(len(found.explanation), dtype=object)
    cells[:] = named(found.explanation, spec)
    return replace(found, cells=cells)


def models(response: httpx.Response) -> wire.ModelList:
    return _document(response, wire.ModelList)


def model_health(response: httpx.Response) -> wire.ModelHealth:
    return _document(response, wire.ModelHealth)


def manifest(response: httpx.Response) -> Manifest:
    return _document(response, Manifest)


def _document(response: httpx.Response, kind: type[Document]) -> Document:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as exc:
        raise errors.ProtocolError(f"{response.url}: invalid {kind.__name__}: {_short(exc)}") from exc


def _fields(response: httpx.Response, reply: type[wire.Reply]) -> dict[str, Any]:
    """The fields of a JSON or npy reply by name."""
    kind = media_type(response)
    if kind == wire.NPY_TYPE:
        return _npy_fields(response)
    if kind == wire.JSON_TYPE:
        return _json_fields(response, reply)
    raise errors.ProtocolError(f"{response.url}: content type {kind!r}, expected {wire.JSON_TYPE} or {wire.NPY_TYPE}")


def _json_fields(response: httpx.Response, reply: type[wire.Reply]) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError as exc:
        raise errors.ProtocolError(f"{response.url}: not JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise errors.ProtocolError(f"{response.url}: not a JSON object")
    # Fields that a newer service adds are ignored.
    known = {name: value for name, value in body.items() if name in reply.model_fields}
    try:
        return dict(reply.model_validate(known))
    except ValidationError as exc:
        raise errors.ProtocolError(f"{response.url}: invalid {reply.__name__}: {_short(exc)}") from exc


def _npy_fields(response: httpx.Response) -> dict[str, Any]:
    try:
        records = np.lib.format.read_array(
            io.BytesIO(response.content), allow_pickle=False, max_header_size=_LONGEST_HEADER
        )
        facts = {
            name: kind(response.headers[header])
            for name, (header, kind) in _HEADERS.items()
            if header in response.headers
        }
    except ValueError as exc:
        raise errors.ProtocolError(f"{response.url}: not an array reply: {exc}") from exc
    if records.ndim != 1 or records.dtype.names is None:
        raise errors.ProtocolError(
            f"{response.url}: expected one record per row, not an array of {records.dtype}, shape {records.shape}"
        )
    return {**facts, **{name: records[name] for name in records.dtype.names}}


def _short(exc: ValidationError) -> str:
    first = exc.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _required(got: Mapping[str, Any], name: str) -> Any:
    if got.get(name) is None:
        raise errors.ProtocolError(f"the reply has no {name}")
    return got[name]


def _model_fields(got: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": _required(got, "model"), "version": _required(got, "version")}


def _ignored(got: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(map(str, got.get(name) or ())) for name in ("ignored_columns", "warnings")}


def _arrays(got: Mapping[str, Any], rows: int | None, *names: str) -> dict[str, Any]:
    return {name: _array(name, _required(got, name), rows, np.float64) for name in names}


def _optional(got: Mapping[str, Any], rows: int | None, *names: str, dtype: Any = np.float64) -> dict[str, Any]:
    return {name: None if got.get(name) is None else _array(name, got[name], rows, dtype) for name in names}


def _names(got: Mapping[str, Any], field: str, rows: int | None) -> list[list[str]] | None:
    """Lists of names: in JSON as they are, in npy as JSON text."""
    if (found := got.get(field)) is None:
        return None
    try:
        names = [json.loads(row) if row else [] for row in found.tolist()] if isinstance(found, np.ndarray) else found
    except (TypeError, ValueError) as exc:
        raise errors.ProtocolError(f"{field} in the reply is not lists of names: {exc}") from exc
    if rows is not None and len(names) != rows:
        raise errors.ProtocolError(f"the reply has {len(names)} values of {field}, but the request had {rows} rows")
    return list(names)


def _by_column(got: Mapping[str, Any], rows: int | None, name: str) -> dict[str, Array] | None:
    """Arrays by column: an object in JSON, a nested record in npy."""
    found = got.get(name)
    if isinstance(found, np.ndarray):
        found = {column: found[column] for column in found.dtype.names or ()}
    return None if found is None else {column: _array(name, a, rows, np.float64) for column, a in found.items()}


def _array(name: str, values: Any, rows: int | None, dtype: Any) -> NDArray[Any]:
    try:
        array = np.ascontiguousarray(values, dtype=dtype)
    except (TypeError, ValueError) as exc:
        raise errors.ProtocolError(f"{name} in the reply is not an array: {exc}") from exc
    if rows is not None and len(array) != rows:
        raise errors.ProtocolError(f"the reply has {len(array)} values of {name}, but the request had {rows} rows")
    return array
