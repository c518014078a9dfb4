"""The inputs that a model publishes under the Open Inference Protocol. Others are accepted too, see rows.py."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from vaekit.bundle.input_spec import ImageSpec
from vaekit.bundle.manifest import Manifest
from vaekit.errors import InputError
from vaekit_service.codecs.v2 import tensors
from vaekit_service.codecs.v2.infer_request import InferRequest
from vaekit_service.codecs.v2.rows import INPUTS, LATENTS, MEMBERS
from vaekit_service.codecs.v2.tensors import Tensor
from vaekit_service.messages import Body, Operation

ROWS = -1  # in a shape: any number of rows
_FIRST_BYTES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # of image files


class TensorSpec(NamedTuple):
    """A published tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


def inputs_of(operation: Operation, manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The inputs of an operation: a tensor of numbers or pixels, or one tensor per column if any is a category."""
    spec = manifest.input
    if operation == "sample":
        return (
            TensorSpec("n", "INT64", (1,)),
            TensorSpec("seed", "INT64", (1,), optional=True),
            TensorSpec("temperature", "FP64", (1,), optional=True),
            TensorSpec("observe", "BOOL", (1,), optional=True),
        )
    if operation == "decode":
        members = (TensorSpec(MEMBERS, "INT64", (ROWS,)),) if manifest.members > 1 else ()
        return (TensorSpec(LATENTS, "FP64", (ROWS, manifest.latent_dim)), *members)
    if isinstance(spec, ImageSpec):
        return (TensorSpec(INPUTS, "UINT8", (ROWS, *spec.row_shape)),)
    if not spec.has_categories:
        return (TensorSpec(INPUTS, "FP64", (ROWS, spec.dim)),)
    return tuple(
        TensorSpec(column.name, "FP64" if column.levels is None else "BYTES", (ROWS,)) for column in spec.columns
    )


def read_raw(body: Body, operation: Operation, manifest: Manifest) -> InferRequest:
    """A request whose body is the bytes of the model's only input; all outputs are in bytes too.

    For an image model the body may also be one image file.

    Raises:
        InputError: the model has several inputs, or the bytes are not whole rows.
    """
    needed = [spec for spec in inputs_of(operation, manifest) if not spec.optional]
    if len(needed) > 1 or operation == "sample":
        names = ", ".join(spec.name for spec in inputs_of(operation, manifest))
        raise InputError(f"a body of bytes alone needs a model of one input; this model has {names}")
    name, datatype, (_, *row), _ = needed[0]
    size = tensors.size_of(datatype, row)
    if size is None or (isinstance(manifest.input, ImageSpec) and body.startswith(_FIRST_BYTES)):
        element = len(body).to_bytes(4, "little") + body
        flat = tensors.from_bytes(name, memoryview(element), datatype := "BYTES", 1)
        return InferRequest({name: Tensor(name, datatype, (1,), flat)}, {}, binary=True)
    if len(body) % size:
        raise InputError(f"body: {len(body)} bytes, expected rows of {size} bytes: {datatype} {row} each")
    shape = (len(body) // size, *row)
    flat = tensors.from_bytes(name, memoryview(body), datatype, prod(shape))
    return InferRequest({name: Tensor(name, datatype, shape, flat)}, {}, binary=True)
