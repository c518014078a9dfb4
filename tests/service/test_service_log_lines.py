"""The lines of the console log: without colours they are those of structlog's own renderer."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
import structlog

from vaekit_service.logs import PlainRenderer, make_log

REQUEST = {"request_id": "a-1", "method": "POST", "route": "/models/{name}/elbo", "status": 200, "duration_ms": 1.25}
FACTS: list[dict[str, Any]] = [
    {},
    REQUEST,
    REQUEST | {"model": "m@1", "rows": 3, "error": "row 0, feature 'a': not a number"},
    {"tab": "a\tb", "line": "a\nb", "equals": "a=b", "quote": "it's", "double": '"', "empty": "", "end": "a "},
    {"none": None, "flag": True, "list": ["a b"], "text": "größe", "surrogate": "\udc80", "b": b"x"},
    {"logger": "uvicorn"},
    {"stack": "of calls"},
    {"exception": "ValueError: no"},
]


@pytest.mark.parametrize("facts", FACTS, ids=lambda facts: " ".join(facts) or "none")
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "exception"])
@pytest.mark.parametrize("event", ["request", "a long event of many words", ""])
def test_a_plain_line_is_that_of_structlog(facts: dict[str, Any], level: str, event: str) -> None:
    given = {**facts, "level": level, "timestamp": "2026-11-30T17:00:00.000000Z", "event": event}
    options: dict[str, Any] = {"colors": False, "exception_formatter": structlog.dev.plain_traceback}
    wanted, plain = (
        renderer(pad_event_to=16, **options)(None, level, dict(given))
        for renderer in (structlog.dev.ConsoleRenderer, PlainRenderer)
    )
    assert plain == wanted


def test_a_traceback_is_written_in_full() -> None:
    stream = StringIO()
    try:
        raise ValueError("no such thing")
    except ValueError:
        make_log(stream=stream).error("failed", exc_info=True)
    assert "failed" in stream.getvalue()
    assert "ValueError: no such thing" in stream.getvalue()
