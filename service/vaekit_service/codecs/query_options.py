"""Options as query parameters, for bodies that hold only rows."""

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


def read_options(query: Mapping[str, str], target: Target) -> Request:
    """Query parameters as the options of the operation.

    Raises:
        InputError: one that the operation has not, or a value that it does not take.
    """
    given = {name: _scalar(name, text) for name, text in query.items()}
    try:
        return OPTIONS[target.operation].model_validate(given)
    except ValidationError as exc:
        raise refusal(first_errors(exc)[0], target.manifest) from None


def _scalar(name: str, text: str) -> Any:
    """An option as JSON would write it, so that it is held to the same rules."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InputError(f"{name[:64]}: not a number, true or false: {show(text)}") from None
