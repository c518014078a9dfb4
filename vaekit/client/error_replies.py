"""Raises the exception for an error reply."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime

import httpx
from pydantic import ValidationError

from vaekit.client import errors, wire


def media_type(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "")).split(";")[0].strip().lower()


def check(response: httpx.Response) -> httpx.Response:
    """Return the response if its status is 200.

    Raises:
        ClientError: the error for any other status.
    """
    status = response.status_code
    if status == 200:
        return response
    if not 400 <= status < 600:
        raise errors.ProtocolError(f"{response.url}: unexpected status {status}; expected a vaekit service at this URL")
    problem = _problem(response)
    detail = problem.detail if problem else f"{response.url}: status {status}"
    if status == 504:
        raise errors.DeadlineExceeded(detail)
    kind = _error_of(status, is_problem=problem is not None)
    request_id = response.headers.get(wire.REQUEST_ID_HEADER) or (problem.instance if problem else None)
    retry_after = _retry_after(response.headers.get("retry-after"), response.headers.get("date"))
    raise kind(detail, status=status, request_id=request_id, retry_after=retry_after)


def _error_of(status: int, *, is_problem: bool) -> type[errors.RequestRefused | errors.ServiceFailed]:
    if status == 404:  # a 404 without a problem document is not from vaekit
        return errors.ModelNotFound if is_problem else errors.RequestRefused
    if status >= 500:
        return errors.ServiceUnavailable if status == 503 else errors.ServiceFailed
    return {401: errors.Unauthorized, 403: errors.Unauthorized, 429: errors.TooBusy}.get(status, errors.RequestRefused)


def _problem(response: httpx.Response) -> wire.Problem | None:
    if media_type(response) != wire.PROBLEM_TYPE:
        return None
    try:
        return wire.Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def _retry_after(text: str | None, date: str | None) -> float | None:
    """The seconds of a Retry-After header, which are whole seconds or a date; None if it is neither.

    Args:
        text: of Retry-After.
        date: of the reply's own header Date, by the server's clock; None: by this machine's.
    """
    if text and text.isdecimal():
        return float(text)
    if (at := _timestamp(text)) is None:
        return None
    sent = _timestamp(date)
    return max(0.0, math.ceil(at - (time.time() if sent is None else sent)))


def _timestamp(text: str | None) -> float | None:
    """The seconds since 1970 of a date as HTTP writes it; None if it is none."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError):
        return None
