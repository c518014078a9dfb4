"""Log lines, for people or for a collector. They never hold a payload."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, Protocol, TextIO

import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log(Protocol):
    """As much of a structlog logger as the service uses: an event and what belongs to it."""

    def is_enabled_for(self, level: int) -> bool: ...
    def debug(self, event: str, **facts: Any) -> Any: ...
    def info(self, event: str, **facts: Any) -> Any: ...
    def warning(self, event: str, **facts: Any) -> Any: ...
    def error(self, event: str, **facts: Any) -> Any: ...


def make_log(
    form: Literal["console", "json"] = "console", level: str = "info", stream: TextIO | None = None
) -> structlog.typing.FilteringBoundLogger:
    """One logger per app: nothing is configured globally.

    Args:
        form: "json": one object a line; "console": aligned words, coloured on a terminal.
        level: the least that is written.
        stream: None: stderr, since stdout is for what `vae serve` tells its user.
    """
    out = stream or sys.stderr
    render: structlog.typing.Processor = structlog.processors.JSONRenderer()
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
        structlog.PrintLogger(out),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return log.bind()  # and not the proxy, which would be bound anew at each line


class Forward(logging.Handler):
    """Hands the records of a library's own logger on to ours, tracebacks included."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        say = self._log.error if record.levelno >= logging.ERROR else self._log.debug
        say(record.getMessage().strip(), logger=record.name, exc_info=record.exc_info)
