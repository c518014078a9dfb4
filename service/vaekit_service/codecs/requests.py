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
    VectorObjects,
    VectorRows,
)
from vaekit_service.messages import Operation


class EncodeRows(EncodeOptions, VectorRows):
    """Rows of a vector model, in column order."""


class EncodeObjects(EncodeOptions, VectorObjects):
    """Rows of a vector model, by column name."""


class EncodeMixedRows(EncodeOptions, MixedRows):
    """Rows of a vector model with categories or missing cells, in column order."""


class EncodeMixedObjects(EncodeOptions, MixedObjects):
    """Rows of a vector model with categories or missing cells, by column name."""


class EncodePixels(EncodeOptions, ImagePixels):
    """Pictures of an image model, as integers."""


class EncodeFiles(EncodeOptions, ImageFiles):
    """Pictures of an image model, as files."""


class ElboRows(ElboOptions, VectorRows):
    """Rows of a vector model, in column order."""


class ElboObjects(ElboOptions, VectorObjects):
    """Rows of a vector model, by column name."""


class ElboMixedRows(ElboOptions, MixedRows):
    """Rows of a vector model with categories or missing cells, in column order."""


class ElboMixedObjects(ElboOptions, MixedObjects):
    """Rows of a vector model with categories or missing cells, by column name."""


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
    if spec.may_be_missing or spec.has_categories:
        encode, elbo = Forms(EncodeMixedRows, EncodeMixedObjects), Forms(ElboMixedRows, ElboMixedObjects)
    else:
        encode, elbo = Forms(EncodeRows, EncodeObjects), Forms(ElboRows, ElboObjects)
    return encode if operation == "encode" else elbo


BODIES: dict[Operation, list[type[Request]]] = {
    "encode": [EncodeRows, EncodeObjects, EncodeMixedRows, EncodeMixedObjects, EncodePixels, EncodeFiles],
    "decode": [DecodeLatents],
    "sample": [SampleOptions],
    "elbo": [ElboRows, ElboObjects, ElboMixedRows, ElboMixedObjects, ElboPixels, ElboFiles],
}

OPTIONS: dict[Operation, type[Request]] = {
    "encode": EncodeOptions,
    "decode": DecodeOptions,
    "sample": SampleOptions,
    "elbo": ElboOptions,
}
