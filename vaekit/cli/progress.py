"""The progress bar of commands that read files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vaekit.cli.output import is_quiet


@contextmanager
def bar(description: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, called with (done, total, unit). Silent if stderr is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal or is_quiet()) as progress:
        task = progress.add_task(description, total=None, count="")

        def advance(done: int, total: int, unit: str) -> None:
            progress.update(task, completed=done, total=total, count=_count(done, total, unit))

        yield advance


def _count(done: int, total: int, unit: str) -> str:
    if unit != "bytes":
        return f"{done:,}/{total:,} {unit}"
    scale, name = (1e6, "MB") if total >= 1e6 else (1e3, "kB")
    return f"{done / scale:.1f}/{total / scale:.1f} {name}"
