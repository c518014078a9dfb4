"""Headers of array and Arrow replies: what belongs to the whole reply and not to one row."""

from __future__ import annotations

from vaekit.client import wire
from vaekit_service.messages import Answer

_HEADERS = {
    "seed": wire.SEED_HEADER,
    "alpha": wire.ALPHA_HEADER,
    "num_samples": wire.NUM_SAMPLES_HEADER,
    "p_value_reason": wire.P_VALUE_REASON_HEADER,
}


def headers(answer: Answer) -> dict[str, str]:
    """Who answered, and the facts that are known; what would be null in JSON is absent."""
    facts = {_HEADERS[name]: str(value) for name, value in answer.facts.items() if value is not None}
    return {wire.MODEL_HEADER: answer.model, wire.VERSION_HEADER: str(answer.version), **facts}
