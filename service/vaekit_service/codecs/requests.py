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
    WindowRows,
)
from vaekit_service.messages import Operation


class EncodeMixedRows(EncodeOptions, MixedRows):
    """Rows of a vector model, in column order."""


class EncodeMixedObjects(EncodeOptions, MixedObjects):
    """Rows of a vector model, by column name."""


class EncodeWindows(EncodeOptions, WindowRows):
    """Windows of a model of windows, each a list of time steps."""


class EncodePixels(EncodeOptions, ImagePixels):
    """Pictures of an image model, as integers."""


class EncodeFiles(EncodeOptions, ImageFiles):
    """Pictures of an image model, as files."""


class ElboMixedRows(ElboOptions, MixedRows):
    """Rows of a vector model, in column order."""


class ElboMixedObjects(ElboOptions, MixedObjects):
    """Rows of a vector model, by column name."""


class ElboWindows(ElboOptions, WindowRows):
    """Windows of a model of windows, each a list of time steps."""


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
    windows: type[Request] | None = None  # of a model of windows: a form that is tried if the first cell is a list


def forms(operation: Operation, spec: VectorSpec | ImageSpec) -> Forms:
    """The forms of a JSON body of the operation, for a model with inputs `spec`."""
    if operation == "sample":
        return Forms(SampleOptions)
    if operation == "decode":
        return Forms(DecodeLatents)
    if isinstance(spec, ImageSpec):
        return Forms(EncodePixels, EncodeFiles) if operation == "encode" else Forms(ElboPixels, ElboFiles)
    has_windows = spec.window is not None
    if operation == "encode":
        return Forms(EncodeMixedRows, EncodeMixedObjects, EncodeWindows if has_windows else None)
    return Forms(ElboMixedRows, ElboMixedObjects, ElboWindows if has_windows else None)


BODIES: dict[Operation, list[type[Request]]] = {
    "encode": [EncodeMixedRows, EncodeMixedObjects, EncodeWindows, EncodePixels, EncodeFiles],
    "decode": [DecodeLatents],
    "sample": [SampleOptions],
    "elbo": [ElboMixedRows, ElboMixedObjects, ElboWindows, ElboPixels, ElboFiles],
}

OPTIONS: dict[Operation, type[Request]] = {
    "encode": EncodeOptions,
    "decode": DecodeOptions,
    "sample": SampleOptions,
    "elbo": ElboOptions,
}
