"""How a run that reads files tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]  # done, of, unit: "rows" or "bytes"
