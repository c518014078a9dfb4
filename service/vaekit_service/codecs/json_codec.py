"""Reads and writes application/json.

Bodies that are lists of numbers or of pixels, the most common ones, are parsed directly into an array. All other
bodies, and bodies with errors, are read by `json_tree`.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.encode import check_columns
from vaekit.tabular.explained_cells import named
from vaekit.tabular.levels import level_names, level_slices
from vaekit.tabular.pixels import encode_images
from vaekit.tabular.series import Steps, as_windows
from vaekit_service.codecs.json_tree import read_tree
from vaekit_service.codecs.reported import with_invalid
from vaekit_service.codecs.requests import OPTIONS
from vaekit_service.codecs.row_ids import listed_ids
from vaekit_service.codecs.series import windows_of
from vaekit_service.codecs.windows import in_windows, known_similar
from vaekit_service.errors import TooLarge, Unparsable
from vaekit_service.messages import NULL_WITHOUT_WINDOW, OF_DATA, Answer, Body, ParsedRequest, Target

try:
    import simdjson
except ImportError:  # not available for every Python
    simdjson = None  # type: ignore[assignment]  # else a module

SMALL = 256 * 1024  # bytes; parsing a smaller body needs little memory, so its cells are not counted first
_SPARE = 16  # commas between the fields of the body
_MAX_FIELDS = 32  # fields that simdjson looks up: each one costs a walk over all
_MAX_KEYS = 2**20  # each key takes some hundred bytes during validation


def read(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """Read and check a body.

    Raises:
        Unparsable: not JSON.
        InputError: JSON of another form, or values that the model does not accept.
        TooLarge: more cells than a request may have; large bodies are counted before they are parsed.
    """
    return read_directly(body, query, target) or read_tree(without_mark(body), target)


def read_directly(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest | None:
    """Read a body of numbers or pixels without a Python object for each; None if the body may be anything else.

    Raises:
        Unparsable, InputError, TooLarge: see `read`.
    """
    body = without_mark(body)
    if query:
        raise InputError(
            f"query parameter {next(iter(query))[:64]!r}: a JSON request has its options in the body, not in the query"
        )
    if len(body) > SMALL:
        check_cells(body, target)
    return read_pixels(body, target) if isinstance(target.manifest.input, ImageSpec) else read_numbers(body, target)


def without_mark(body: Body) -> Body:
    """The body without the byte order mark of UTF-8, which some editors write at the start of a file.

    Raises:
        Unparsable: the body begins with the mark of UTF-16 or UTF-32 (JSON is UTF-8: RFC 8259, section 8.1).
    """
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise Unparsable("not JSON: begins with the byte order mark (BOM) of UTF-16 or UTF-32; send UTF-8")
    return body[len(codecs.BOM_UTF8) :] if body.startswith(codecs.BOM_UTF8) else body


def read_numbers(body: Body, target: Target) -> ParsedRequest | None:
    """Read a body that is a list of lists of numbers, in a third of the time; None if the body may be anything else.

    simdjson writes all numbers of the nested arrays into one flat buffer, without Python floats in between. The nesting
    is then verified by counting: each row has D elements, there are N D numbers, and no brackets but those of the rows
    and the ids.

    Raises:
        InputError: a column does not accept a number.
    """
    spec, operation = target.manifest.input, target.operation
    if simdjson is None or operation == "sample" or body[:1] != b"{":
        return None
    if len(body) > SMALL and body.count(b"[") > target.max_rows + 2:  # each list takes memory during parsing
        return None
    if not isinstance(spec, VectorSpec) or (operation != "decode" and spec.may_be_missing | spec.has_categories):
        return None
    field, widths = ("inputs", {spec.dim: spec, spec.step.dim: spec.step})
    if operation == "decode":
        field, widths = "latents", {target.manifest.latent_dim: spec}
    found: Any
    try:
        found = simdjson.Parser().parse(body)
        if len(names := list(found.keys())) > _MAX_FIELDS:
            return None
        given = {name: _option(name, found[name]) for name in names if name != field}
        rows = found[field]
        flat = np.frombuffer(rows.as_buffer(of_type="d"))  # (N D)
        lengths = set(map(len, rows))
        options = OPTIONS[operation].model_validate(given)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValidationError, ValueError):
        return None
    n, width = len(rows), next(iter(lengths), 0)
    if len(lengths) != 1 or width not in widths or flat.size != n * width or len(set(names)) != len(names):
        return None
    if not _has_brackets(body, n + 1 + ("ids" in given)):
        return None
    x = flat.reshape(n, width)
    if operation == "decode":
        return ParsedRequest(options, x)
    if getattr(options, "errors", "fail") == "report":
        return None
    own = widths[width]
    x = check_columns(x, own if getattr(options, "strict", False) else own.lenient)
    ids = listed_ids(options) if {"ids", "id_column"} & given.keys() else None
    if own is spec:
        return ParsedRequest(options, x, ids=ids)
    windows, ends = windows_of(Steps(x), target)
    return ParsedRequest(options, windows, ids=ids, ends=ends)


def _option(name: str, value: Any) -> Any:
    """The value of an option; simdjson has a list of its own, which no other option takes."""
    return value.as_list() if name == "ids" and isinstance(value, simdjson.Array) else value


def read_pixels(body: Body, target: Target) -> ParsedRequest | None:
    """Read a body that is a list of images H x W x C of integers 0..255; None if the body may be anything else.

    simdjson writes all pixels into one flat buffer, as in `read_numbers`. What is left of the text of the images
    without digits and white space is the same for all images of one shape, so comparing it verifies the nesting, and
    also that no pixel has a sign, a decimal point or an exponent.

    Raises:
        InputError: a pixel that is not 0 or 255, of a model that refuses others.
    """
    spec, operation = target.manifest.input, target.operation
    if simdjson is None or operation not in ("encode", "elbo") or body[:1] != b"{" or not isinstance(spec, ImageSpec):
        return None
    h, w, c = spec.row_shape
    if len(body) > SMALL and body.count(b"[") > target.max_rows * (1 + h + h * w) + 1:  # see read_numbers
        return None
    found: Any
    try:
        found = simdjson.Parser().parse(body)
        if len(names := list(found.keys())) > _MAX_FIELDS:
            return None
        images = found["inputs"]
        flat = np.frombuffer(images.as_buffer(of_type="u"), dtype=np.uint64)  # (N H W C)
        options = OPTIONS[operation].model_validate({name: found[name] for name in names if name != "inputs"})
    except (AttributeError, KeyError, RuntimeError, TypeError, ValidationError, ValueError):
        return None
    n = len(images)
    if not n or flat.size != n * spec.dim or len(set(names)) != len(names) or flat.max() > 255:
        return None
    if {"ids", "id_column"} & set(names):  # ids have brackets too
        return None
    text = bytes(body[body.find(b"[") : body.rfind(b"]") + 1])
    if text.translate(None, delete=b"0123456789 \t\r\n") != _nesting(n, h, w, c):
        return None
    if getattr(options, "errors", "fail") == "report":
        return None
    x = flat.astype(np.uint8).reshape(n, h, w, c)
    return ParsedRequest(options, encode_images(x, spec))


def _nesting(*shape: int) -> bytes:
    """The text of nested lists of numbers of this shape, without the numbers."""
    text = b""
    for n in reversed(shape):
        text = b"[" + b",".join([text] * n) + b"]"
    return text


def _has_brackets(body: Body, n: int) -> bool:
    """Whether the body has exactly n opening brackets."""
    at = -1
    for _ in range(n):  # `find` is faster than `count`
        if (at := body.find(b"[", at + 1)) < 0:
            return False
    return body.find(b"[", at + 1) < 0


def check_cells(body: Body, target: Target) -> None:
    """Count the separators before parsing: 20 MB of nulls would take 100 MB of memory once parsed."""
    spec, z, most = target.manifest.input, target.manifest.latent_dim, target.max_rows
    per_row = z if target.operation == "decode" else spec.dim
    commas, keys = body.count(b","), body.count(b":")
    if commas > most * per_row + _SPARE and isinstance(spec, VectorSpec):
        per_row += sum(_commas(column) for column in spec.columns)
    if commas > most * per_row + _SPARE or keys > _MAX_KEYS:
        raise TooLarge(f"body: too many values; one request to this model may have at most {most} rows of {per_row}")


def _commas(column: Column) -> int:
    """The largest number of commas in the column's name and in one of its levels."""
    return column.name.count(",") + max((level.count(",") for level in column.levels or ()), default=0)


def write(answer: Answer) -> bytes:
    """The reply as JSON. orjson encodes numpy arrays directly, and NaN as null."""
    rows = {name: None if a is None else row_value(name, a, answer) for name, a in answer.rows.items()}
    reply = {"model": answer.model, "version": answer.version, **answer.facts, **rows}
    if answer.ids is not None:
        reply["ids"] = list(answer.ids)
    if answer.invalid:
        reply = with_invalid(reply, answer)
    return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)


def row_value(name: str, a: NDArray[Any], answer: Answer) -> Any:
    """The JSON value of an array: levels by name, and null for a verdict whose p-value is NaN."""
    spec, p_value = answer.spec, answer.rows.get("p_value")
    if name == "probabilities":
        return {column: np.ascontiguousarray(a[:, at]) for column, at in level_slices(spec).items()}
    if name == "explanation":
        return named(a, spec)
    if name == "similar":
        return [orjson.Fragment(orjson.dumps(row)) for row in known_similar(a, spec)]
    if answer.unscored is not None and name in NULL_WITHOUT_WINDOW:
        return [None if lost else value for lost, value in zip(answer.unscored, a.tolist(), strict=True)]
    if name == "group":
        return a.tolist()
    if name in ("novel", "tolerated"):
        return a.tolist()
    if name in ("is_anomaly", "is_discovery") and p_value is not None and np.isnan(p_value).any():
        return [None if unknown else flag for unknown, flag in zip(np.isnan(p_value), a.tolist(), strict=True)]
    if name in ("mean", "samples") and level_slices(spec):
        return in_windows(_named(a, spec), spec)
    return np.ascontiguousarray(as_windows(a, spec) if name in OF_DATA else a)


def _named(x: NDArray[Any], spec: VectorSpec | ImageSpec) -> list[list[Any]]:
    """Rows (N, D) with level names instead of level indices."""
    assert isinstance(spec, VectorSpec)
    cells = x.astype(object)
    for d, column in enumerate(spec.columns):
        if column.kind == "category":
            cells[:, d] = level_names(x[:, d], column)
    rows: list[list[Any]] = cells.tolist()
    return rows
