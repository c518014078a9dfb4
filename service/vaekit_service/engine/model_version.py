"""One version of a served model and its state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vaekit.runtime import Model

State = Literal["idle", "loading", "ready", "failed"]


@dataclass(eq=False)
class ModelVersion:
    """One version of a model and its state. Older versions are idle until the first request for them."""

    name: str
    version: int
    folder: Path
    state: State = "idle"
    reason: str | None = None
    model: Model | None = None
    users: int = 0  # requests that hold a lease
    last_used: int = 0
    loading: asyncio.Task[None] | None = None
    retry_at: float | None = None  # when an old version that failed may be loaded again, by the monotonic clock
