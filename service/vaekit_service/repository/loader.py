"""Opens and closes versions of models, one at a time, in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import TypeVar
from weakref import WeakSet

from vaekit.bundle.manifest import Precision
from vaekit.errors import VaeError
from vaekit.runtime import Model
from vaekit.runtime.device import DEFAULTS, Cuda, default_threads, may_use_cuda
from vaekit_service.errors import NotReady
from vaekit_service.logs import Log
from vaekit_service.memory import release_freed_memory
from vaekit_service.repository.thread_budget import free_threads, threads_per_call
from vaekit_service.repository.version import UNREADABLE, ModelVersion, open_version

OnDevice = Callable[[Callable[[], None]], Awaitable[None]]  # calls a function in the thread that runs the models
NICENESS = 10  # of the loader's thread, where possible: about a tenth of a core that requests keep busy
LONGEST_PAUSE = 16  # the pause before a version that failed is tried again doubles up to this many times the first one

T = TypeVar("T")


def lower_priority(device: str, threads: int) -> None:
    """Give the calling thread a lower priority, so that requests wait less while a version loads.

    Threads that it starts inherit the priority, and without privileges nobody can raise it again. It is therefore not
    lowered if graphs start threads of their own, or CUDA does. On other systems than Linux, threads have no priority.
    """
    if sys.platform == "linux" and threads == 1 and not may_use_cuda(device):
        thread = threading.get_native_id()
        with suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


class ModelLoader:
    """Loads versions in the background while others answer.

    Args:
        device, precision, cuda: see vaekit.runtime.Model.load.
        threads: threads of one call of a graph; None: one per core, at most 8.
        max_threads: limit of the threads of all graphs. A model that is loaded beyond it uses fewer per call.
        on_device: calls a function in the thread that runs the models.
        max_batch_rows: models are warmed up to this batch size.
        retry_seconds: the pause before a version that failed is tried again; it doubles with each failure.
    """

    def __init__(
        self,
        *,
        device: str,
        threads: int | None,
        max_threads: int,
        precision: Precision,
        log: Log,
        on_device: OnDevice,
        max_batch_rows: int,
        cuda: Cuda = DEFAULTS,
        retry_seconds: float = 30.0,
    ) -> None:
        self._device, self._cuda, self._precision = device, cuda, precision
        self._threads, self._max_threads = threads or default_threads(), max_threads
        self._log, self._retry = log, retry_seconds
        self._on_device, self._max_batch_rows = on_device, max_batch_rows
        self._thread = ThreadPoolExecutor(
            1, thread_name_prefix="loader", initializer=lower_priority, initargs=(device, self._threads)
        )
        self._one_at_a_time = asyncio.Lock()  # nothing else may allocate while a CUDA graph is recorded
        self._open: WeakSet[Model] = WeakSet()  # models that have threads
        self._closing: set[asyncio.Task[None]] = set()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """The result of a function that reads disks, called in the loader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @staticmethod
    def may_load(served: ModelVersion) -> bool:
        """Whether the version is idle, or failed and its pause is over: the cause may be gone by now."""
        if served.state == "idle":
            return True
        if served.state != "failed" or served.version == UNREADABLE:
            return False
        return served.retry_at is not None and monotonic() >= served.retry_at

    async def load(self, served: ModelVersion) -> bool:
        """Load a version unless it is loaded; returns whether it is. A failure is logged and kept in its state."""
        try:
            async with self._one_at_a_time:
                if served.model is None:  # else another caller has loaded it while this call waited
                    served.state = "loading"
                    served.model = await self._opened(served)
        except VaeError as exc:
            self.failed(served, str(exc))
        except Exception as exc:  # noqa: BLE001 - native code may raise any error; the other models must still load
            self.failed(served, f"{type(exc).__name__}: {exc}")
        else:
            if served.state != "ready":
                device = served.model.device
                self._log.info("model ready", model=served.name, version=served.version, device=device)
            served.state, served.reason, served.failures, served.retry_at = "ready", None, 0, None
        return served.model is not None

    async def _opened(self, served: ModelVersion) -> Model:
        """Open a model and warm it up on the device."""
        model = await self.in_thread(
            lambda: open_version(served, self._device, self._threads_of, self._cuda, self._precision)
        )
        self._open.add(model)
        self._tell_threads(served, model)
        try:
            for call in model.warm_up_calls(self._max_batch_rows):
                await self._on_device(call)
        except BaseException:
            model.close()
            raise
        return model

    def _threads_of(self, graphs: int) -> int:
        """The threads of one call of each graph of a model that is loaded now."""
        used = sum(graph.threads - 1 for model in self._open for graph in model.graphs.values())
        return threads_per_call(self._threads, graphs, free_threads(self._max_threads, used))

    def _tell_threads(self, served: ModelVersion, model: Model) -> None:
        threads = min((graph.threads for graph in model.graphs.values()), default=self._threads)
        if threads < self._threads:
            self._log.warning(
                "fewer threads per call than configured, because of VAE_MAX_THREADS, the control group or ulimit -u",
                model=served.name,
                version=served.version,
                threads=threads,
                configured=self._threads,
            )

    def failed(self, served: ModelVersion, reason: str) -> None:
        """Record and log that a version cannot be served."""
        served.state, served.failures = "failed", served.failures + 1
        served.retry_at = monotonic() + self._retry * min(2 ** (served.failures - 1), LONGEST_PAUSE)
        where = served.name if served.version == UNREADABLE else f"{served.name}/{served.version}"
        served.reason = reason.replace(str(served.folder), where)  # replies do not show paths of the server
        self._log.error("model failed", model=served.name, version=served.version, reason=reason)

    def unload(self, served: ModelVersion) -> None:
        """Take the model from a version without users, and close it in the background."""
        assert served.model is not None
        assert not served.users
        model, served.model = served.model, None
        served.state, served.leaves = "idle", False
        self._log.info("model unloaded", model=served.name, version=served.version)
        task = asyncio.get_running_loop().create_task(self._close(model))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, model: Model) -> None:
        """Close a model after the batch on the device, which may still be one of its own, of a caller that is gone."""
        async with self._one_at_a_time:
            with suppress(NotReady, asyncio.CancelledError):  # the engine is closed: nothing runs
                await self._on_device(lambda: None)
            await self.in_thread(model.close)
        del model
        await self.in_thread(release_freed_memory)

    async def settle(self) -> None:
        """Wait until the unloaded models are closed."""
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    async def close(self) -> None:
        """Stop the thread, after the models that are being closed."""
        await self.settle()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
