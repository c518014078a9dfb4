"""Submits jobs of callers that may wait for room in a full queue: the later rows of streams."""

from __future__ import annotations

import asyncio
from time import monotonic

from vaekit.runtime.results import RowArrays
from vaekit_service.engine.engine import Engine
from vaekit_service.engine.jobs import Job
from vaekit_service.errors import Overloaded

FULL_PAUSE = 0.05  # seconds between two attempts


async def submitted(engine: Engine, job: Job, seconds: float, *, waits: bool) -> RowArrays:
    """The result of a job that must start within `seconds`.

    Args:
        waits: whether it waits for room in a full queue, as long as that; else it is refused at once.

    Raises:
        VaeError: see Engine.submit.
    """
    latest = monotonic() + seconds
    while True:
        try:
            return await engine.submit(job, latest)
        except Overloaded:
            if not waits or monotonic() > latest:
                raise
        await asyncio.sleep(FULL_PAUSE)
