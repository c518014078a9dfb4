"""Reads an infer request of the Open Inference Protocol: JSON, and behind it the tensors that are in bytes."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from vaekit.errors import InputError
from vaekit_service.codecs.v2 import json_head, tensors
from vaekit_service.codecs.v2.tensors import Tensor
from vaekit_service.codecs.validation_messages import show
from vaekit_service.errors import Unsupported
from vaekit_service.messages import Body, Target

MAX_ID = 1024  # characters
_SHORT, _KNOWN = 2048, 128  # bytes of JSON that is kept, and how many
_RESERVED = "triton_"  # parameters that begin so are Triton's own
_SEQUENCES = ("sequence_id", "sequence_start", "sequence_end")


class InferRequest(NamedTuple):
    """A request before its tensors are compared with the model."""

    inputs: dict[str, Tensor]
    parameters: dict[str, Any]
    outputs: dict[str, bool] | None = None  # the outputs to return, and whether in bytes; None: all
    binary: bool = False  # whether outputs are in bytes, if `outputs` does not say so
    id: str | None = None

    @property
    def queue_seconds(self) -> float:
        """How long the request may wait for the device, if the caller says so; else infinite."""
        micros: int | None = self.parameters.get("timeout")
        return micros / 1e6 if micros else float("inf")


def read(
    body: Body, head_bytes: int | None, target: Target, *, direct: bool = False, most_texts: float = float("inf")
) -> InferRequest | None:
    """Read a request.

    Args:
        body: JSON, then the bytes of tensors.
        head_bytes: bytes of the JSON; None: all.
        target: the operation and the model.
        direct: whether to give up if some tensor in the JSON needs a Python object for each of its values.
        most_texts: elements of BYTES behind the JSON; with more of them it gives up too.

    Returns:
        The request; None if it gave up.

    Raises:
        TooLarge: more elements of BYTES than a request may have.
        Unparsable: not JSON, or nested too deep.
        InputError: JSON of another form, or tensors that do not have the size that they say.
        Unsupported: the request needs shared memory, sequences or classification.
    """
    if head_bytes is not None and head_bytes > len(body):
        raise InputError(f"inference-header-content-length: {head_bytes}, but the body has {len(body)} bytes")
    if head_bytes is None:
        head = _read_head(body)
    elif head_bytes <= _SHORT:
        head = _known_head(bytes(body[:head_bytes]))
    else:
        head = _read_head(body[:head_bytes])
    tail = memoryview(b"" if head_bytes is None else body)[head_bytes or 0 :]
    inputs: dict[str, Tensor] = {}
    at = texts = 0
    for given in head.inputs:
        name = _name(given, "inputs")
        if name in inputs:
            raise InputError(f"input {name!r}: given twice")
        size = _binary_size(name, given, has_tail=head_bytes is not None)
        if size is None:
            tensor = _from_json(name, given, direct=direct)
            if tensor is None:
                return None
        else:
            if size > len(tail) - at:
                missing = size - (len(tail) - at)
                raise InputError(f"input {name!r}: expecting {missing} additional bytes, of {size}, behind the JSON")
            texts += _texts(name, given)
            json_head.check_elements(texts, target)
            if texts > most_texts:
                return None
            tensor = _from_bytes(name, given, tail[at : at + size])
            at += size
        inputs[name] = tensor
    if at < len(tail):
        raise InputError(f"unexpected additional input data: {len(tail) - at} bytes are left over behind the tensors")
    return InferRequest(inputs, head.parameters, head.outputs, head.binary, head.id)


class _Head(NamedTuple):
    """The JSON of a request."""

    inputs: list[dict[str, Any]]
    parameters: dict[str, Any]
    outputs: dict[str, bool] | None
    binary: bool
    id: str | None


def _read_head(text: Body) -> _Head:
    fields = json_head.parse(text)
    parameters = _checked_parameters(fields.get("parameters"))
    binary = parameters.get("binary_data_output", False)
    outputs = _outputs(fields.get("outputs"), binary)
    return _Head(fields["inputs"], parameters, outputs, binary, _id(fields.get("id")))


_known_head = lru_cache(_KNOWN)(_read_head)  # callers that send bytes send the same JSON again and again


def _name(given: dict[str, Any], where: str) -> str:
    name = given.get("name")
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: a name is {show(name)}, expected text")
    return name


def _id(given: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or len(given) > MAX_ID:
        raise InputError(f"id: {show(given)} is not text of at most {MAX_ID} characters")
    return given or None


def _parameters_of(given: dict[str, Any], what: str) -> dict[str, Any]:
    """The parameters of an input or an output.

    Raises:
        InputError, Unsupported: no object, or one that asks for what the service does not do.
    """
    parameters = given.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InputError(f"{what}: parameters: {show(parameters)} is not an object")
    if "shared_memory_region" in parameters:
        raise Unsupported(f"{what}: shared memory is not supported; send and receive tensors in the body")
    if parameters.get("classification"):
        raise Unsupported(f"{what}: classification is not supported; request the output itself")
    return parameters


def _checked_parameters(given: Any) -> dict[str, Any]:
    """The parameters of the request. Those that nobody knows are ignored.

    Raises:
        InputError: no object, a reserved name, or a value of another type.
        Unsupported: the request is part of a sequence.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InputError(f"parameters: {show(given)} is not an object")
    for name in given:
        if name.startswith(_RESERVED):
            raise InputError(f"parameters: {name[:64]!r}: names that begin with {_RESERVED!r} are reserved")
    if any(given.get(name) for name in _SEQUENCES):
        raise Unsupported("parameters: sequences of requests are not supported")
    for name in ("priority", "timeout"):
        if type(value := given.get(name, 0)) is not int or value < 0:
            raise InputError(f"parameters: {name}: {show(value)} is not an integer of at least 0")
    if type(binary := given.get("binary_data_output", False)) is not bool:
        raise InputError(f"parameters: binary_data_output: {show(binary)} is not true or false")
    return given


def _binary_size(name: str, given: dict[str, Any], *, has_tail: bool) -> int | None:
    """The bytes of an input behind the JSON; None if its values are in the JSON."""
    size = _parameters_of(given, f"input {name!r}").get("binary_data_size")
    if size is None and has_tail and "data" not in given:
        shape = tensors.checked_shape(name, given.get("shape"))
        tensors.checked_datatype(name, given.get("datatype"))
        size = tensors.size_of(given["datatype"], shape)
        if size is None:
            raise InputError(f"input {name!r}: BYTES behind the JSON need the parameter binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InputError(f"input {name!r}: binary_data_size: {show(size)} is not a number of bytes")
    if "data" in given:
        raise InputError(f"input {name!r}: has both data and binary_data_size, expected one of them")
    return size


def _from_json(name: str, given: dict[str, Any], *, direct: bool) -> Tensor | None:
    stored = tensors.checked_datatype(name, datatype := given.get("datatype"))
    assert isinstance(datatype, str)
    shape = tensors.checked_shape(name, given.get("shape"))
    if datatype in tensors.BINARY_ONLY:
        raise InputError(f"input {name!r}: {datatype} cannot be sent as JSON; send its bytes behind the JSON")
    if "data" not in given:
        raise InputError(f"input {name!r}: has no data")
    data, flat = given["data"], None
    if json_head.is_buffered(data):
        flat = tensors.from_buffer(name, data, stored, prod(shape))
        data = data if flat is not None or direct else data.as_list()
    if flat is None:
        if direct:
            return None
        flat = tensors.from_lists(name, data, datatype, prod(shape))
    return Tensor(name, datatype, shape, flat, is_text=datatype == "BYTES")


def _texts(name: str, given: dict[str, Any]) -> int:
    """The elements of a tensor of BYTES; 0 for other tensors."""
    return prod(tensors.checked_shape(name, given.get("shape"))) if given.get("datatype") == "BYTES" else 0


def _from_bytes(name: str, given: dict[str, Any], data: memoryview) -> Tensor:
    datatype = given.get("datatype")
    tensors.checked_datatype(name, datatype)
    assert isinstance(datatype, str)
    shape = tensors.checked_shape(name, given.get("shape"))
    return Tensor(name, datatype, shape, tensors.from_bytes(name, data, datatype, prod(shape)))


def _outputs(given: Any, binary: bool) -> dict[str, bool] | None:
    """Which outputs to return, and whether in bytes; None: all.

    Raises:
        InputError: no list of objects with different names.
        Unsupported: see _parameters_of.
    """
    if not given:
        return None
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise InputError("outputs: not a list of objects")
    found: dict[str, bool] = {}
    for each in given:
        name = _name(each, "outputs")
        if name in found:
            raise InputError(f"output {name!r}: requested twice")
        own = _parameters_of(each, f"output {name!r}").get("binary_data", binary)
        if type(own) is not bool:
            raise InputError(f"output {name!r}: binary_data: {show(own)} is not true or false")
        found[name] = own
    return found
