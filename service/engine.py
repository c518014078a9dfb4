"""Runs jobs on the device, one at a time, behind a bounded queue. Knows arrays and time, not HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.errors import DeadlineExceeded, Overloaded
from vaekit.runtime import Model
from vaekit.runtime.results import Rows

Operation = Literal["encode", "decode", "sample", "elbo"]


@dataclass(frozen=True, eq=False)
class Job:
    """One request as the device sees it; whatever joins jobs into one call needs no more than this."""

    model: Model
    operation: Operation
    n: int  # rows of the answer
    rows: NDArray[Any] | None = None  # x (N, ...) of encode and elbo, z (N, Z) of decode, None of sample
    num_samples: int = 1  # K of elbo
    seed: int | None = None  # of sample always; of elbo where the draws are the request's own
    features: bool = False
    temperature: float = 1.0
    observe: bool = False
    members: NDArray[np.int64] | None = None  # (N,) of decode, where the model has members

    def run(self) -> Rows:
        """The answer of the model, computed in the calling thread."""
        if self.operation == "encode":
            return self.model.encode(self.rows)
        if self.operation == "sample":
            assert self.seed is not None
            return self.model.sample(self.n, seed=self.seed, temperature=self.temperature, observe=self.observe)
        assert self.rows is not None
        if self.operation == "decode":
            return self.model.decode(self.rows, self.members)
        return self.model.elbo(self.rows, num_samples=self.num_samples, seed=self.seed, features=self.features)


Report = Callable[[Job, float], None]  # a job that ran, and its seconds on the device


class Engine:
    """One executor thread for one device. Jobs wait in the order they came; what nobody waits for is not run."""

    def __init__(self, *, max_queue: int, answer_seconds: float, report: Report | None = None) -> None:
        self._max_queue = max_queue
        self._seconds = answer_seconds
        self._report = report
        self._queue: dict[asyncio.Future[Rows], Job] = {}  # in order of arrival; leaving is O(1)
        self._arrived = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._loop: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Jobs that wait, the one on the device not counted."""
        return len(self._queue)

    def start(self) -> None:
        self._loop = asyncio.create_task(self._serve(), name="engine")

    async def close(self) -> None:
        """Stop; jobs that still wait are dropped, the one on the device runs to its end."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for future in self._queue:
            future.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def check_room(self) -> None:
        """Refuse before any work is done on a request.

        Raises:
            Overloaded: the queue is full.
        """
        if self.depth >= self._max_queue:
            raise Overloaded(f"{self.depth} jobs wait for the device, the most there may be")

    async def submit(self, job: Job) -> Rows:
        """The job's answer. Cancelling the call takes the job out of the queue.

        Raises:
            Overloaded: the queue is full.
            DeadlineExceeded: no answer in time.
            VaeError: what the model says to the job.
        """
        self.check_room()
        future: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self._queue[future] = job
        self._arrived.set()
        try:
            async with asyncio.timeout(self._seconds):
                return await future
        except TimeoutError:
            raise DeadlineExceeded(f"no answer within {self._seconds:g} s") from None
        finally:
            self._queue.pop(future, None)

    async def _serve(self) -> None:
        while True:
            await self._arrived.wait()
            while self._queue:
                future = next(iter(self._queue))
                await self._answer(future, self._queue.pop(future))
            self._arrived.clear()

    async def _answer(self, future: asyncio.Future[Rows], job: Job) -> None:
        start = perf_counter()
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._executor, job.run)
        except asyncio.CancelledError:  # the engine is closing
            future.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it was, the waiter must hear of it
            if not future.done():
                future.set_exception(exc)
            return
        if self._report is not None:
            self._report(job, perf_counter() - start)
        if not future.done():
            future.set_result(answer)
