"""The callbacks that report the progress of a run over files, and what it skipped."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]  # a sentence
Progress = Callable[[int, int, str], None]  # done, total, unit: "rows", "bytes" or "parts"


def silent(_: str) -> None:
    """Says nothing."""
