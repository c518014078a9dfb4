"""Makes the logger of the service: lines for people or JSON for a log collector. Request bodies are never logged."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any, Literal, Protocol, TextIO, cast

import orjson
import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log(Protocol):
    """The methods of a structlog logger that the service uses; each takes an event and its fields."""

    def is_enabled_for(self, level: int) -> bool: ...
    def debug(self, event: str, **facts: Any) -> Any: ...
    def info(self, event: str, **facts: Any) -> Any: ...
    def warning(self, event: str, **facts: Any) -> Any: ...
    def error(self, event: str, **facts: Any) -> Any: ...


class LineStream(Protocol):
    """What a log needs of a text stream: sys.stderr, StringIO and LogWriter have it."""

    def write(self, line: str, /) -> int: ...
    def flush(self) -> None: ...
    def isatty(self) -> bool: ...


def make_log(
    form: Literal["console", "json"] = "console", level: str = "info", stream: LineStream | None = None
) -> structlog.typing.FilteringBoundLogger:
    """One logger per app: nothing is configured globally.

    Args:
        form: "json": one JSON object per line; "console": aligned text, coloured on a terminal.
        level: the lowest level that is written.
        stream: None: stderr, because `vae serve` prints its start-up lines on stdout.
    """
    out = stream or sys.stderr
    render: structlog.typing.Processor = structlog.processors.JSONRenderer(_as_json)
    if form == "console":
        render = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=16
        )
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if form == "json" else []),
        render,
    ]
    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(cast(TextIO, out)),  # one `write` for each line
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return log.bind()  # the proxy itself would bind again for each line


def _as_json(facts: Any, *, default: Callable[[Any], Any]) -> str:
    """One line of JSON. orjson takes a fifth of the time, but no text with surrogates, and no integers of 65 bits."""
    try:
        return orjson.dumps(facts, default=default).decode()
    except TypeError:
        return json.dumps(facts, default=default)


class ForwardHandler(logging.Handler):
    """Forwards the records of a library's logger to ours, with tracebacks."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        say = self._log.error if record.levelno >= logging.ERROR else self._log.debug
        say(record.getMessage().strip(), logger=record.name, exc_info=record.exc_info)
