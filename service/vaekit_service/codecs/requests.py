"""The JSON bodies of each operation, combined from the wire models."""

from __future__ import annotations

from dataclasses import dataclass

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.client.wire import (
    DecodeOptions,
    ElboOptions,
    EncodeOptions,
    ImageFiles,
    ImagePixels,
    Latents,
    MixedObjects,
    MixedRows,
    Request,
    SampleOptions,
)
from vaekit_service.messages import Operation


class EncodeMixedRows(EncodeOptions, MixedRows):
    """Rows of a vector model, in column order."""


class EncodeMixedObjects(EncodeOptions, MixedObjects):
    """Rows of a vector model, by column name."""


class EncodePixels(EncodeOptions, ImagePixels):
    """Pictures of an image model, as integers."""


class EncodeFiles(EncodeOptions, ImageFiles):
    """Pictures of an image model, as files."""


class ElboMixedRows(ElboOptions, MixedRows):
    """Rows of a vector model, in column order."""


class ElboMixedObjects(ElboOptions, MixedObjects):
    """Rows of a vector model, by column name."""


class ElboPixels(ElboOptions, ImagePixels):
    """Pictures of an image model, as integers."""


class ElboFiles(ElboOptions, ImageFiles):
    """Pictures of an image model, as files."""


class DecodeLatents(DecodeOptions, Latents):
    """Latent vectors z."""


@dataclass(frozen=True)
class Forms:
    """The usual form of a body, and another form that is tried if the first row has another type."""

    plain: type[Request]
    other: type[Request] | None = None


def forms(operation: Operation, spec: VectorSpec | ImageSpec) -> Forms:
    """The forms of a JSON body of the operation, for a model with inputs `spec`."""
    if operation == "sample":
        return Forms(SampleOptions)
    if operation == "decode":
        return Forms(DecodeLatents)
    if isinstance(spec, ImageSpec):
        return Forms(EncodePixels, EncodeFiles) if operation == "encode" else Forms(ElboPixels, ElboFiles)
    if operation == "encode":
        return Forms(EncodeMixedRows, EncodeMixedObjects)
    return Forms(ElboMixedRows, ElboMixedObjects)


BODIES: dict[Operation, list[type[Request]]] = {
    "encode": [EncodeMixedRows, EncodeMixedObjects, EncodePixels, EncodeFiles],
    "decode": [DecodeLatents],
    "sample": [SampleOptions],
    "elbo": [ElboMixedRows, ElboMixedObjects, ElboPixels, ElboFiles],
}

OPTIONS: dict[Operation, type[Request]] = {
    "encode": EncodeOptions,
    "decode": DecodeOptions,
    "sample": SampleOptions,
    "elbo": ElboOptions,
}
