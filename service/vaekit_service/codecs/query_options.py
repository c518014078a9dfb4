"""Reads options from query parameters, for bodies that contain only rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from vaekit.client.wire import Request
from vaekit.errors import InputError
from vaekit_service.codecs.requests import OPTIONS
from vaekit_service.codecs.validation_messages import first_errors, refusal, show
from vaekit_service.messages import Target

_TEXT = ("id_column", "errors")  # options that are text, without the quotes of JSON


def read_options(query: Mapping[str, str], target: Target) -> Request:
    """The options of the target's operation from query parameters.

    Raises:
        InputError: the operation does not have this option, or does not accept its value.
    """
    given = {name: _scalar(name, text) for name, text in query.items()}
    try:
        return OPTIONS[target.operation].model_validate(given)
    except ValidationError as exc:
        raise refusal(first_errors(exc)[0], target.manifest) from None


def _scalar(name: str, text: str) -> Any:
    """Parse an option as JSON, so that the same rules apply as in a JSON body; some are plain text."""
    if name in _TEXT:
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InputError(f"query parameter {name[:64]!r}: {show(text)} is not a number, true or false") from None
