"""The callback that reports the progress of a run over files."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]  # done, total, unit: "rows", "bytes" or "parts"
