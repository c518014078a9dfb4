"""Turns pydantic's errors into a message that names the row, the feature and the value."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vaekit.bundle.input_spec import VectorSpec
from vaekit.bundle.manifest import Manifest
from vaekit.client.wire import LONGEST_ID
from vaekit.errors import InputError
from vaekit.tolerance_rules import EXAMPLE, rule_error
from vaekit_service.errors import Unparsable

_MAX_ERRORS = 100  # listing thousands of unknown fields would take too long
_PHRASES = {
    "float_type": "not a number",
    "int_type": "not an integer",
    "bool_type": "not true or false",
    "string_type": "not a string",
    "finite_number": "not finite",
    "too_short": "no rows, expected at least 1",
    "missing": "missing",
    "extra_forbidden": "unknown field; /docs lists the fields of each operation",
    "list_type": "not a list",
    "dict_type": "not an object by column name like the rows before it",
    "model_type": "not an object",
}


def first_errors(exc: ValidationError) -> list[ErrorDetails]:
    """The errors of a validation.

    Raises:
        InputError: there are more than 100 errors; only unknown fields can be so many.
    """
    if exc.error_count() > _MAX_ERRORS:
        raise InputError(f"body: {exc.error_count()} unknown fields; /docs lists the fields of each operation")
    return exc.errors(include_url=False)


def refusal(error: ErrorDetails, manifest: Manifest) -> InputError | Unparsable:
    """The error to raise, with a message that says what is wrong and where."""
    if error["type"] == "json_invalid" and error["input"] in ("", b""):
        return Unparsable("not JSON: the body is empty")
    if error["type"] == "json_invalid":
        return Unparsable(error["msg"].replace("Invalid JSON:", "not JSON:"))
    if error["loc"] == ("ignore",):
        return InputError(f"ignore: {show(error['input'])}, expected rules by column name, {EXAMPLE}")
    if error["loc"][:1] == ("ignore",):
        column, *rest = error["loc"][1:]
        return InputError(f"ignore: column {column!r:.70}: {rule_error(error, rest)}")
    if error["loc"][:1] == ("ids",) and len(error["loc"]) > 1:
        wanted = f"text of 1 to {LONGEST_ID} characters, an integer of 64 bits or null"
        return InputError(f"ids: row {error['loc'][1]}: {show(error['input'])} is not {wanted}")
    if _is_one_row(error, manifest):
        return InputError(
            "inputs: expected a list of rows, each an object by column name or a list of values; if this is one row, "
            "wrap it in []"
        )
    where, what = _location(error["loc"], manifest), _what(error, manifest)
    return InputError(f"{where}: {what}" if where else what)


def _is_one_row(error: ErrorDetails, manifest: Manifest) -> bool:
    """Whether a cell is where the first row of a table is expected."""
    is_first = error["loc"] == ("inputs", 0) and error["type"] in ("list_type", "dict_type")
    return is_first and isinstance(manifest.input, VectorSpec) and not isinstance(error["input"], list | dict)


def _what(error: ErrorDetails, manifest: Manifest) -> str:
    phrase = _PHRASES.get(error["type"]) or error["msg"].removeprefix("Input ")
    if error["type"] in ("float_type", "finite_number") and _is_category(error["loc"], manifest):
        phrase = "not the name of a level"
    if error["type"] == "missing" and error["loc"] in (("inputs",), ("latents",)):
        names = ", ".join(repr(name)[:66] for name in list(error["input"])[:3])
        found = f"the body has {names}" if names else "the body is an empty object"
        return f"{phrase}: {found}; expected {_example(str(error['loc'][0]), manifest)}"
    if error["type"] in ("missing", "extra_forbidden", "too_short"):
        return phrase
    return f"{phrase}: {show(error['input'])}"


def _example(field: str, manifest: Manifest) -> str:
    """The form of a body with rows."""
    if field == "latents":
        row = f"[{manifest.latent_dim} numbers]"
    elif isinstance(manifest.input, VectorSpec):
        row = f"[{manifest.input.dim} values]"
    else:
        row = "image"
    return f'{{"{field}": [{row}, ...]}}'


def _location(loc: tuple[int | str, ...], manifest: Manifest) -> str:
    if not loc:
        return "body"
    if loc[0] not in ("inputs", "latents") or len(loc) == 1:
        return str(loc[0])[:64]
    row, rest = loc[1], loc[2:]
    if not rest:
        return f"row {row}"
    if loc[0] == "latents":
        return f"row {row}, latent {rest[0]}"
    if isinstance(manifest.input, VectorSpec):
        return f"row {row}, {_feature(rest[0], manifest.input)}"
    return f"row {row}, pixel ({', '.join(map(str, rest))})"


def _is_category(loc: tuple[int | str, ...], manifest: Manifest) -> bool:
    if loc[0] != "inputs" or len(loc) < 3 or not isinstance(manifest.input, VectorSpec):
        return False
    columns = manifest.input.columns
    return any(c.kind == "category" and loc[2] in (c.name, d) for d, c in enumerate(columns))


def _feature(at: int | str, spec: VectorSpec) -> str:
    if isinstance(at, str):
        return f"feature {at[:64]!r}"
    return f"feature {spec.names[at]!r}" if at < spec.dim else f"value {at} of {spec.dim}"


def show(value: Any) -> str:
    """A value as JSON, at most 40 characters; lists and objects only by type."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    text = value[:41] if isinstance(value, str) else value
    try:
        shown = json.dumps(text)
    except (TypeError, ValueError):  # bytes, or an integer of thousands of digits
        shown = repr(text)[:41]
    return shown if len(shown) <= 40 else shown[:37] + "..."
