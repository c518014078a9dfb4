"""Reads a whole infer request: its envelope, its tensors, then rows and options."""

from __future__ import annotations

from vaekit_service.codecs.v2 import infer_request, json_head, rows
from vaekit_service.codecs.v2.infer_request import InferRequest
from vaekit_service.messages import Body, ParsedRequest, Target


def read_infer(
    target: Target, body: Body, head_bytes: int | None, *, direct: bool = False, most_texts: float = float("inf")
) -> tuple[InferRequest, ParsedRequest | None] | None:
    """(the request without its tensors, its rows or None if it has none); None if it gave up.

    Args:
        target: the operation and the model.
        body, head_bytes, direct, most_texts: see infer_request.read.

    Raises:
        TooLarge: see json_head.check_size.
        Unparsable, InputError, Unsupported: see infer_request.read and rows.parsed.
    """
    json_head.check_size(body if head_bytes is None else body[:head_bytes], target)
    request = infer_request.read(body, head_bytes, target, direct=direct, most_texts=most_texts)
    if request is None:
        return None
    return request._replace(inputs={}), rows.parsed(request, target)
