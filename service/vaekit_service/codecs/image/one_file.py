"""Reads image/png and image/jpeg bodies: one file is one row."""

from __future__ import annotations

from collections.abc import Mapping

from vaekit.bundle.input_spec import ImageSpec
from vaekit_service.codecs.image.options import read_files
from vaekit_service.codecs.query_options import read_options
from vaekit_service.codecs.row_ids import listed_ids
from vaekit_service.errors import MediaType
from vaekit_service.messages import Body, ParsedRequest, Target


def read(body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
    """Read and check a body that is one PNG or JPEG image, with the options as query parameters.

    Raises:
        MediaType: the model does not accept images.
        InputError: the image does not have the model's size and channels, or an option is invalid.
    """
    spec = target.manifest.input
    if not isinstance(spec, ImageSpec):
        raise MediaType(f"body: model {target.manifest.name!r} accepts rows of {spec.dim} columns, not images")
    options = read_options(query, target)
    return read_files([bytes(body)], listed_ids(options), options, target, repeats_ids=False)
