"""Builds requests: arrays as npy, tables as Arrow, anything else as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle.models_folder import check_name
from vaekit.client.json_rows import as_list, json_body
from vaekit.client.row_ids import with_ids
from vaekit.client.tables import arrow_stream, settled
from vaekit.client.wire import ARROW_TYPE, JSON_TYPE, KEY_HEADER, NPY_TYPE
from vaekit.errors import InputError
from vaekit.tolerance_rules import parse_rules

TIMEOUT = 30.0  # seconds; enough for a large scoring request on a busy CPU
LONGEST_TIMEOUT = 1e9  # seconds; beyond the longest that sockets count on every platform


@dataclass(frozen=True)
class HttpCall:
    """One HTTP request, without the address of the service and without the key."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    rows: int | None = None  # number of rows that the reply must have; None: any


def check_url(url: str) -> str:
    """Return the address if it is valid.

    Raises:
        InputError: not an http or https address.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise InputError(f"url: {url!r}: expected http://host or https://host: {exc}") from exc
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InputError(f"url: {url!r}: expected http://host or https://host")
    if parsed.port is not None and not 0 < parsed.port < 2**16:
        raise InputError(f"url: {url!r}: port {parsed.port}, expected 1 to 65535")
    return url


def checked_timeout(seconds: float | None) -> float | None:
    """The timeout as httpx takes it: None, no limit, for one that is longer than sockets can count.

    Raises:
        InputError: a negative number or NaN.
    """
    if seconds is not None and not seconds >= 0:
        raise InputError(f"timeout: {seconds} s, expected 0 or more")
    return None if seconds is None or seconds > LONGEST_TIMEOUT else seconds


def key_header(key: str | None) -> dict[str, str]:
    """The header with the key as a bearer token.

    Raises:
        InputError: the key is invalid in a header. The message does not show the key, because it is secret.
    """
    if key is None:
        return {}
    if not (key and key.isascii() and key.isprintable() and key == key.strip()):
        raise InputError("key: expected printable ASCII with no space at either end")
    return {KEY_HEADER: f"Bearer {key}"}


def encode(inputs: Any, model: str | None, version: int | None, *, strict: bool = False) -> HttpCall:
    return _rows_call("encode", "inputs", inputs, {"strict": strict or None}, model, version)


def decode(latents: Any, model: str | None, version: int | None, *, members: int | ArrayLike | None = None) -> HttpCall:
    each = None if members is None else np.asarray(members).tolist()
    if isinstance(each, list) and isinstance(latents, np.ndarray):
        latents = latents.tolist()  # one member per latent is too long for a query string, so send JSON
    call = _rows_call("decode", "latents", latents, {"members": each}, model, version)
    return replace(call, headers={**call.headers, "accept": NPY_TYPE})


def elbo(
    inputs: Any,
    model: str | None,
    version: int | None,
    *,
    num_samples: int | None,
    seed: int | None,
    alpha: float | None,
    fdr: float | None,
    log_evidence: bool,
    features: bool,
    explain: int | None = None,
    similar: int = 0,
    ignore: Mapping[str, Any] | None = None,
    ids: Iterable[Any] | str | None = None,
    strict: bool = False,
) -> HttpCall:
    rules = (
        None
        if ignore is None
        else {n: rule.model_dump(exclude_defaults=True) for n, rule in parse_rules(ignore).items()}
    )
    options: dict[str, Any] = {"num_samples": num_samples, "seed": seed, "alpha": alpha, "fdr": fdr, "explain": explain}
    options |= {"similar": similar or None, "ignore": rules}
    flags = {"log_evidence": None if log_evidence else False, "features": features or None, "strict": strict or None}
    inputs, named = (inputs, {}) if ids is None else with_ids(inputs, ids)
    call = _rows_call("elbo", "inputs", inputs, {**options, **flags, **named}, model, version)
    if explain is None and not similar:
        return call
    # Explanations and similar rows are parsed from npy, where columns are indices.
    return replace(call, headers={**call.headers, "accept": NPY_TYPE})


def sample(
    n: int, model: str | None, version: int | None, *, seed: int | None, temperature: float, observe: bool
) -> HttpCall:
    body = {"n": n, "seed": seed, "temperature": temperature, "observe": observe}
    content = json_body({name: value for name, value in body.items() if value is not None})
    return HttpCall("POST", _path("sample", model, version), _media_types(JSON_TYPE, NPY_TYPE), content=content, rows=n)


def models() -> HttpCall:
    return _get("/models")


def model_health(name: str, version: int | None) -> HttpCall:
    call = manifest(name, version)
    return replace(call, path=f"{call.path}/health")


def manifest(model: str, version: int | None) -> HttpCall:
    return _get(_model_path(model, version))


def health() -> HttpCall:
    return _get("/healthz")


def ready() -> HttpCall:
    return _get("/readyz")


def _get(path: str) -> HttpCall:
    return HttpCall("GET", path, {"accept": JSON_TYPE})


def _model_path(model: str, version: int | None) -> str:
    path = f"/models/{check_name(model)}"
    return path if version is None else f"{path}/versions/{int(version)}"


def _path(operation: str, model: str | None, version: int | None) -> str:
    if model is None:
        if version is not None:
            raise InputError(f"version: {version} was given without a model; give model as well")
        return f"/{operation}"
    return f"{_model_path(model, version)}/{operation}"


def _media_types(sent: str, wanted: str) -> dict[str, str]:
    return {"content-type": sent, "accept": wanted}


def _rows_call(
    operation: str, name: str, rows: Any, options: Mapping[str, Any], model: str | None, version: int | None
) -> HttpCall:
    path = _path(operation, model, version)
    given = {key: value for key, value in options.items() if value is not None}
    rows = settled(rows)
    params = {key: _query_value(value) for key, value in given.items()}
    if isinstance(rows, np.ndarray):
        return HttpCall("POST", path, _media_types(NPY_TYPE, NPY_TYPE), params, _npy(name, rows), len(rows))
    if hasattr(rows, "__arrow_c_stream__"):
        content, count = arrow_stream(name, rows)
        return HttpCall("POST", path, _media_types(ARROW_TYPE, NPY_TYPE), params, content, count)
    listed = as_list(name, rows)
    content = json_body({name: listed, **given})
    return HttpCall("POST", path, _media_types(JSON_TYPE, JSON_TYPE), content=content, rows=len(listed))


def _npy(name: str, rows: NDArray[Any]) -> bytes:
    if rows.dtype.kind not in ("iufb" if name == "inputs" else "iuf"):
        raise InputError(f"{name}: dtype {rows.dtype} is not numeric; expected integers or floats")
    if rows.ndim == 0:
        raise InputError(f"{name}: a single number, expected an array of rows")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, rows, allow_pickle=False)
    return buffer.getvalue()


def _query_value(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, bool | dict) else str(value)
