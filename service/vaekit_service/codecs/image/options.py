"""Reads the image files of a request with its options: to scale other sizes, and to report invalid files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.client.wire import Request, RowId, RowOptions
from vaekit.errors import InputError
from vaekit_service.codecs.image.files import read_each
from vaekit_service.codecs.row_ids import split_ids
from vaekit_service.messages import ParsedRequest, Target


def spec_of(options: Request, target: Target) -> VectorSpec | ImageSpec:
    """The input of the model; with `resize`, that of a model of images that takes files of any size."""
    spec = target.manifest.input
    if getattr(options, "resize", False) and isinstance(spec, ImageSpec):
        return spec.model_copy(update={"resize": True})
    return spec


def read_files(
    files: Sequence[Any], ids: Sequence[RowId] | None, options: Request, target: Target, *, repeats_ids: bool = True
) -> ParsedRequest:
    """A request of image files, given as bytes or base64.

    Args:
        files, ids: the files, and the caller's ids of them.
        options, target: of the request.
        repeats_ids: whether the reply has the ids.

    Raises:
        InputError: a file cannot be read, and the request does not have errors=report.
    """
    spec = spec_of(options, target)
    assert isinstance(spec, ImageSpec)
    if ids is not None and len(ids) != len(files):
        raise InputError(f"ids: {len(ids)} ids for {len(files)} rows")
    report = isinstance(options, RowOptions) and options.errors == "report"
    found = read_each(files, spec, report=report, ids=ids)
    invalid = found.invalid
    if ids is not None:
        ids, invalid = split_ids(ids, invalid)
    sizes = found.sizes if getattr(options, "resize", False) else None
    return ParsedRequest(options, found.x, ids=ids, invalid=invalid, repeats_ids=repeats_ids, sizes=sizes)
