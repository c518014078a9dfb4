"""The components of one service, which its routes share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vaekit_service.engine.engine import Engine
from vaekit_service.engine.limits import Limits, MemoryBudget
from vaekit_service.engine.model_registry import ModelRegistry
from vaekit_service.metrics import Metrics


@dataclass
class Lifecycle:
    """Whether the service is on its way out."""

    draining: bool = False


@dataclass(frozen=True)
class Components:
    """The components of one service, and the timeouts of its routes."""

    registry: ModelRegistry
    engine: Engine
    memory: MemoryBudget
    limits: Limits
    metrics: Metrics
    lifecycle: Lifecycle
    codec_pool: ThreadPoolExecutor  # reads and writes large bodies, so that the event loop does not stand still
    alpha: float
    body_seconds: float
    answer_seconds: float
    queue_timeout: float
    max_batch_rows: int

    def unready(self) -> str | None:
        """Why /readyz says 503, or None."""
        if self.engine.fault is not None:
            return "the device's thread ended"
        return "shutting down" if self.lifecycle.draining else self.registry.unready()
