"""The components that the routes of one service share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vaekit_service.engine.engine import Engine
from vaekit_service.engine.limits import Limits, MemoryBudget
from vaekit_service.keys.keyring import Keyring
from vaekit_service.metrics import Metrics
from vaekit_service.model_health.monitor import ModelHealth
from vaekit_service.repository.registry import ModelRegistry
from vaekit_service.repository.updates import ModelUpdates
from vaekit_service.score_log.log import ScoreLog
from vaekit_service.worker.large_json import LargeJson
from vaekit_service.worker.process import WorkerProcess

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


@dataclass
class Lifecycle:
    """Whether the service is shutting down."""

    draining: bool = False
    idle: set[Callable[[], None]] = field(default_factory=set)  # called once when draining begins

    def drain(self) -> None:
        """Begin to shut down, and tell the streams whose callers send nothing. Called in the event loop."""
        self.draining = True
        for told in list(self.idle):
            told()


@dataclass(frozen=True)
class Components:
    """The components of one service, and the timeouts of its routes."""

    registry: ModelRegistry
    updates: ModelUpdates
    engine: Engine
    memory: MemoryBudget
    limits: Limits
    metrics: Metrics
    score_log: ScoreLog | None
    lifecycle: Lifecycle
    keyring: Keyring
    health: ModelHealth
    codec_pool: ThreadPoolExecutor  # reads and writes large bodies, so that they do not block the event loop
    worker: WorkerProcess  # reads and writes larger JSON
    large_json: LargeJson
    alpha: float  # default false-alarm rate
    body_seconds: float
    stream_seconds: float
    reply_seconds: float
    answer_seconds: float
    queue_timeout: float  # seconds
    stuck_seconds: float
    max_batch_rows: int
    server_timing: bool
    traces: TracerProvider | None = None  # None: traces are off

    @property
    def will_be_ready(self) -> bool:
        """Whether a caller that is refused now may retry in a moment: a model is loading, or another replica starts."""
        return self.lifecycle.draining or self.registry.is_loading or not self.registry.settled.is_set()

    def unhealthy(self) -> str | None:
        """Why /healthz answers 503; None if the device's thread works or has nothing to do."""
        if self.engine.fault is not None:
            return "the thread that runs the models ended with an error; restart the service"
        seconds = self.engine.stalled_seconds
        if seconds <= self.stuck_seconds:
            return None
        what = "been in one call" if self.engine.is_running else "left work waiting"
        return (
            f"the thread that runs the models has {what} for {seconds:.3g} s, longer than VAE_STUCK_SECONDS "
            f"({self.stuck_seconds:g} s); restart the service"
        )

    def unready(self) -> str | None:
        """Why /readyz answers 503; None if the service is ready."""
        if reason := self.unhealthy():
            return reason
        return "the service is shutting down" if self.lifecycle.draining else self.registry.unready()
