"""What a command prints beside its result: remarks, warnings and the next command, unless --quiet or --json says no."""

from __future__ import annotations

import json
import sys
from contextvars import ContextVar
from typing import Any

import typer

_AS_JSON = ContextVar("as_json", default=False)  # whether stdout is for one JSON document
_QUIET = ContextVar("quiet", default=False)


def set_json(value: bool) -> bool:
    """Called by typer with the value of --json."""
    _AS_JSON.set(value)
    return value


def set_quiet(value: bool) -> bool:
    """Called by typer with the value of --quiet."""
    _QUIET.set(value)
    return value


def reset() -> None:
    """Forget the options of an earlier command of this process."""
    set_json(False)
    set_quiet(False)


def is_quiet() -> bool:
    """Whether only the result and errors are printed."""
    return _QUIET.get()


def is_json() -> bool:
    """Whether stdout is for one JSON document."""
    return _AS_JSON.get()


def print_json(document: Any) -> None:
    """Print the one JSON document of a command, on stdout."""
    typer.echo(json.dumps(document, indent=2))


def confirm(sentence: str) -> None:
    """Print on stdout what was done; nothing if --quiet is given."""
    if not is_quiet():
        typer.echo(sentence)


def say(sentence: str) -> None:
    """Print a sentence on stderr; nothing if --quiet is given."""
    if not is_quiet():
        typer.echo(sentence, err=True)


def warn(sentence: str) -> None:
    """Print a warning on stderr; nothing if --quiet is given."""
    say(f"warning: {sentence}")


def suggest(*commands: str) -> None:
    """Print the next commands to try, on stderr; nothing with --json or --quiet, or if stdout is not a terminal."""
    if is_quiet() or is_json() or sys.stdout is None or not sys.stdout.isatty():  # None: the caller has closed it
        return
    for number, command in enumerate(commands):
        typer.secho(f"{'next:' if number == 0 else '  or:'} {command}", err=True, dim=True)
