"""Makes rows and options of the tensors and parameters of an infer request. N rows, D columns, Z latent dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.client.wire import Request, RowId
from vaekit.errors import InputError
from vaekit.tabular import encode_named
from vaekit.tabular.columns import model_order
from vaekit.tabular.frames import Table
from vaekit.tabular.windows import read_table
from vaekit_service.codecs.image.options import read_files
from vaekit_service.codecs.requests import OPTIONS
from vaekit_service.codecs.row_ids import checked_id, id_column, listed_ids
from vaekit_service.codecs.series import RowsOfRequest, request_rows, windows_of
from vaekit_service.codecs.v2.infer_request import InferRequest
from vaekit_service.codecs.v2.tensors import Tensor
from vaekit_service.codecs.validation_messages import first_errors, refusal
from vaekit_service.errors import Unparsable
from vaekit_service.messages import ParsedRequest, Target

INPUTS, LATENTS, MEMBERS = "inputs", "latents", "members"
SAMPLE = ("n", "seed", "temperature", "observe")  # inputs of one value
_TEXT_OPTIONS = {"id_column"}
_SMALL = {int, float, bool}  # types of values that are kept; text may be long


def parsed(request: InferRequest, target: Target) -> ParsedRequest | None:
    """The rows and options of a request; None if it has no rows, which this protocol allows.

    Raises:
        InputError: tensors or options that the model does not accept.
    """
    if target.operation == "sample":
        return ParsedRequest(_options(request, target, _single_values(request)), None)
    if target.operation == "decode":
        return _latents(request, target)
    options = _options(request, target, {})
    inputs, strict = dict(request.inputs), getattr(options, "strict", False)
    column = id_column(options)
    ids = listed_ids(options) if column is None else _ids(inputs.pop(column, None), column)
    if isinstance(target.manifest.input, ImageSpec):
        return _images(inputs, ids, options, target)
    found = _rows(inputs, target, strict=strict)
    if found is None:
        return None
    x, ends, ignored = found
    return ParsedRequest(options, x, ignored, ids, ends=ends)


def _options(request: InferRequest, target: Target, inputs: Mapping[str, Any]) -> Request:
    """The options among the parameters of a request, and those that are inputs. Other parameters are ignored.

    Text is read as JSON, since many clients send only numbers, booleans and text.
    """
    kind = OPTIONS[target.operation]
    fields = kind.model_fields
    given = {name: value for name, value in request.parameters.items() if name in fields}
    if twice := sorted(given.keys() & inputs.keys()):
        raise InputError(f"{twice[0]}: is both an input and a parameter, expected one of them")
    for name, value in given.items():
        if isinstance(value, str) and name not in _TEXT_OPTIONS:
            with suppress(orjson.JSONDecodeError):  # the options refuse what stays text
                given[name] = orjson.loads(value)
    given |= inputs
    try:
        values = tuple((name, type(value), value) for name, value in given.items())
        options = _known(kind, values) if set(map(type, given.values())) <= _SMALL else kind.model_validate(given)
    except ValidationError as exc:
        error = refusal(first_errors(exc)[0], target.manifest)
        raise (InputError(str(error)) if isinstance(error, Unparsable) else error) from None
    if getattr(options, "errors", "fail") == "report":
        raise InputError("errors: 'report' has no place in the tensors of a reply; send such rows to our own routes")
    return options


@lru_cache(1024)
def _known(kind: type[Request], values: tuple[tuple[str, type, Any], ...]) -> Request:
    """The options of these names and values, which are frozen. Callers use the same few again and again."""
    return kind.model_validate({name: value for name, _, value in values})


def _single_values(request: InferRequest) -> dict[str, Any]:
    """The inputs of /sample, of one value each."""
    _check_known(request.inputs, SAMPLE)
    found = {}
    for name, tensor in request.inputs.items():
        if len(tensor.flat) != 1 or tensor.datatype == "BYTES":
            raise InputError(f"input {name!r}: shape {list(tensor.shape)}, expected one number or boolean, [1]")
        found[name] = tensor.flat[0].item()
    return found


def _latents(request: InferRequest, target: Target) -> ParsedRequest | None:
    _check_known(request.inputs, (LATENTS, MEMBERS))
    tensor, z = request.inputs.get(LATENTS), target.manifest.latent_dim
    if tensor is None:
        raise InputError(f"input {LATENTS!r}: missing, expected {LATENTS} of shape [N, {z}]")
    members = {}
    if (given := request.inputs.get(MEMBERS)) is not None:
        if given.flat.dtype.kind not in "iu" or len(given.shape) > 1:
            raise InputError(f"input {MEMBERS!r}: {given.datatype} {list(given.shape)}, expected integers [N] or [1]")
        values = given.flat.tolist()
        members = {MEMBERS: values[0] if len(values) == 1 else values}
    options = _options(request, target, members)
    if len(tensor.shape) != 2 or tensor.shape[1] != z or tensor.flat.dtype.kind not in "iuf":
        raise InputError(f"input {LATENTS!r}: {tensor.datatype} {list(tensor.shape)}, expected numbers [N, {z}]")
    return ParsedRequest(options, tensor.shaped) if len(tensor.flat) else None


def _check_known(inputs: Mapping[str, Tensor], known: tuple[str, ...]) -> None:
    if unknown := next((name for name in inputs if name not in known), None):
        raise InputError(f"unexpected inference input {unknown[:64]!r}; inputs of this model: {', '.join(known)}")


def _rows(inputs: Mapping[str, Tensor], target: Target, *, strict: bool) -> RowsOfRequest | None:
    spec = target.manifest.input
    assert isinstance(spec, VectorSpec)
    tensor = inputs.get(INPUTS)
    if len(inputs) == 1 and tensor is not None and not (len(tensor.shape) < 2 and INPUTS in spec.names):
        return _matrix(tensor, target, spec, strict=strict)
    if not inputs:
        raise InputError(f"inputs: empty, expected {INPUTS} of shape [N, {spec.dim}], or one tensor per column")
    return _by_column(inputs, target, spec, strict=strict)


def _matrix(tensor: Tensor, target: Target, spec: VectorSpec, *, strict: bool) -> RowsOfRequest | None:
    """All rows as one tensor (N, D) in column order; a category is the index of its level."""
    if spec.window is not None and tensor.datatype != "BYTES":
        return request_rows(tensor.shaped, target, strict=strict) if len(tensor.flat) else None
    if len(tensor.shape) != 2 or tensor.shape[1] != spec.dim or tensor.datatype == "BYTES":
        raise InputError(
            f"input {tensor.name!r}: {tensor.datatype} {list(tensor.shape)}, expected numbers [N, {spec.dim}]; text is "
            "sent as one tensor per column"
        )
    return request_rows(tensor.shaped, target, strict=strict) if len(tensor.flat) else None


def _by_column(inputs: Mapping[str, Tensor], target: Target, spec: VectorSpec, *, strict: bool) -> RowsOfRequest | None:
    """Columns (N,) or (N, 1) by name."""
    sizes = {len(tensor.flat) for tensor in inputs.values()}
    for name, tensor in inputs.items():
        if len(tensor.shape) > 1 and tensor.shape[1:] != (1,):
            raise InputError(f"input {name[:64]!r}: shape {list(tensor.shape)}, expected one column, [N] or [N, 1]")
    if len(sizes) > 1:
        raise InputError(f"inputs: columns of {min(sizes)} and {max(sizes)} rows, expected the same number in each")
    if not max(sizes):
        if spec.window is None:
            model_order(tuple(inputs), spec, strict=strict)  # checks the names
        return None
    table = Table(None, tuple(_cells(tensor) for tensor in inputs.values()), tuple(inputs))
    found, other = read_table(table, spec, strict=strict)
    return (*windows_of(found, target), other)


def _cells(tensor: Tensor) -> NDArray[Any]:
    """The cells of a column; bytes are text in UTF-8."""
    if tensor.datatype != "BYTES" or tensor.is_text:
        return tensor.flat
    cells = np.empty(len(tensor.flat), dtype=object)
    for row, cell in enumerate(tensor.flat):
        try:
            cells[row] = cell.decode()
        except UnicodeDecodeError:
            raise InputError(f"row {row}, feature {tensor.name!r}: the bytes are not text in UTF-8") from None
    return cells


def _images(
    inputs: Mapping[str, Tensor], ids: Sequence[RowId] | None, options: Request, target: Target
) -> ParsedRequest | None:
    """Images from files [N] in bytes, or in JSON as base64, or from pixels; None if there are none."""
    _check_known(inputs, (INPUTS,))
    spec, tensor = target.manifest.input, inputs.get(INPUTS)
    assert isinstance(spec, ImageSpec)
    if tensor is None:
        raise InputError(f"input {INPUTS!r}: missing, expected images {INPUTS} of shape [N, H, W, C]")
    if not len(tensor.flat):
        return None
    if tensor.datatype != "BYTES":
        shapes = [spec.row_shape, spec.row_shape[:2]] if spec.channels == 1 else [spec.row_shape]
        if tensor.shape[1:] not in shapes:
            wanted = ", ".join(map(str, spec.row_shape))
            raise InputError(f"input {INPUTS!r}: shape {list(tensor.shape)}, expected [N, {wanted}]")
        return ParsedRequest(options, encode_named(tensor.shaped, spec)[0], ids=ids)
    files = tensor.flat.tolist()
    if tensor.shape[1:] not in ((), (1,)) or len(files) > target.max_rows:
        raise InputError(f"input {INPUTS!r}: shape {list(tensor.shape)}, expected [N] files, at most {target.max_rows}")
    if None in files:
        raise InputError(f"input {INPUTS!r}: value {files.index(None)} is null, expected base64")
    return read_files(files, ids, options, target, repeats_ids=False)


def _ids(tensor: Tensor | None, column: str) -> list[RowId]:
    if tensor is None:
        raise InputError(f"id_column: no input has the name {column[:64]!r}")
    if len(tensor.shape) > 1 and tensor.shape[1:] != (1,):
        raise InputError(f"id_column: input {column[:64]!r} has shape {list(tensor.shape)}, expected [N]")
    return [checked_id(row, value) for row, value in enumerate(_cells(tensor).tolist())]
