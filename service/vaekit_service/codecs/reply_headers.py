"""Headers of npy and Arrow replies: the facts that belong to the whole reply instead of to one row."""

from __future__ import annotations

import json

from vaekit.client import wire
from vaekit_service.messages import Answer, Fact

_HEADERS = {
    "seed": wire.SEED_HEADER,
    "alpha": wire.ALPHA_HEADER,
    "num_samples": wire.NUM_SAMPLES_HEADER,
    "p_value_reason": wire.P_VALUE_REASON_HEADER,
    "ignored_columns": wire.IGNORED_COLUMNS_HEADER,
    "warnings": wire.WARNINGS_HEADER,
    "resize": wire.RESIZE_HEADER,
}


def headers(answer: Answer) -> dict[str, str]:
    """The model, its version and the facts of an answer by header name; facts that are None are left out."""
    facts = {_HEADERS[name]: _text(value) for name, value in answer.facts.items() if value is not None}
    return {wire.MODEL_HEADER: answer.model, wire.VERSION_HEADER: str(answer.version), **facts}


def _text(value: Fact) -> str:
    """A fact as a header; a list in JSON, without the last names of a long one."""
    if not isinstance(value, list):
        return str(value)
    while len(text := json.dumps(value)) > wire.LONGEST_LIST:
        value = value[: len(value) * wire.LONGEST_LIST // (len(text) + 1)]
    return text
