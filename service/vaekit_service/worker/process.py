"""Runs work that would hold the interpreter lock for long in another process, one task at a time.

The process is started for the first task, and ended when it was idle for a while. It is a plain subprocess:
docs/decisions/2026-11-29-worker-process.md compares it with the pools of Python and anyio.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any, Concatenate, ParamSpec, TypeVar, cast

from vaekit_service.errors import TooLarge, WorkerEnded
from vaekit_service.logs import Log

IDLE_SECONDS = 30.0  # an idle process ends after this time, and its memory with it
OUT_OF_MEMORY = 77  # exit code
MAX_SHARED = 64  # first arguments that a process keeps; one with more is replaced
_BLOCKED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


class WorkerProcess:
    """A process that runs one task at a time; further ones wait for their turn.

    Args:
        memory_bytes: memory of one task; what needs more is refused.
        log: gets a line when the process ends by itself.
        idle_seconds: time after which an idle process is ended.
    """

    def __init__(self, memory_bytes: int, log: Log, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._memory_bytes, self._log, self._idle_seconds = memory_bytes, log, idle_seconds
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="worker")  # talks to the process
        self._child: _Child | None = None
        self._changes = threading.Lock()  # guards _child between that thread and the event loop
        self._idle: asyncio.TimerHandle | None = None
        self.ended = 0  # processes that ended while they had a task, unless because its caller gave up

    @property
    def pid(self) -> int | None:
        """The id of the process; None if there is none."""
        child = self._child
        return None if child is None else child.process.pid

    async def run(self, work: Callable[Concatenate[S, P], T], shared: S, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(shared, *args)` in the process. If this is cancelled, the process is killed.

        Args:
            work: a function of a module, which the process imports.
            shared: its first argument, which is sent to the process once.
            args: its other arguments.

        Raises:
            TooLarge: the work needs more memory than the process may have.
            WorkerEnded: the process cannot be started, or ended before it had the result.
            Exception: what the work raises.
        """
        assert not kwargs
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            loop, call = asyncio.get_running_loop(), _Call(work, shared, args)
            try:
                return cast(T, await loop.run_in_executor(self._thread, self._answer, call))
            except asyncio.CancelledError:
                self._cancel(call)
                raise
            finally:
                self._idle = loop.call_later(self._idle_seconds, self._end_soon)

    async def close(self) -> None:
        """End the process, also if it has a task."""
        if self._idle is not None:
            self._idle.cancel()
        with self._changes:
            if self._child is not None:
                self._child.kill()
        self._end_soon()
        await asyncio.to_thread(self._thread.shutdown)

    def _cancel(self, call: _Call) -> None:
        with self._changes:
            call.cancelled.set()
            if self._child is not None:
                self._child.kill()

    def _end_soon(self) -> None:
        with suppress(RuntimeError):  # closed
            self._thread.submit(self._end)

    # In the thread

    def _answer(self, call: _Call) -> Any:
        try:
            child = self._running()
        except OSError as exc:
            raise WorkerEnded(f"the process that handles large JSON cannot be started: {exc.strerror}") from exc
        with self._changes:
            if call.cancelled.is_set():
                return None
        try:
            succeeded, result = child.ask(call)
        except (EOFError, OSError, pickle.UnpicklingError) as exc:
            self._end()
            if call.cancelled.is_set():
                return None
            raise self._error_of(child.process.returncode) from exc
        if succeeded:
            return result
        if isinstance(result, MemoryError):
            raise self._too_large()
        raise result

    def _running(self) -> _Child:
        """The process, a new one if there is none that lives and has room."""
        if self._child is not None and not self._child.is_usable():
            self._end()
        if self._child is None:
            child = _Child(self._memory_bytes)
            with self._changes:
                self._child = child
        assert self._child is not None
        return self._child

    def _end(self) -> None:
        with self._changes:
            child, self._child = self._child, None
        if child is not None:
            child.end()

    def _error_of(self, code: int) -> Exception:
        self.ended += 1
        self._log.error("the process for large JSON ended", code=code)
        if code in (OUT_OF_MEMORY, -signal.SIGABRT):  # pydantic aborts
            return self._too_large()
        return WorkerEnded(
            f"the process that handles large JSON ended with code {code} while it had this request; "
            "smaller JSON and npy need no such process"
        )

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"body or reply: as JSON it needs more than {self._memory_bytes} bytes of memory (VAE_WORKER_BYTES); "
            "send fewer rows, or npy"
        )


class _Call:
    """One task."""

    def __init__(self, work: Callable[..., Any], shared: Any, args: tuple[Any, ...]) -> None:
        self.work, self.shared, self.args = work, shared, args
        self.cancelled = threading.Event()


class _Child:
    """The process and the pipes to it."""

    def __init__(self, memory_bytes: int) -> None:
        self._shared: OrderedDict[int, Any] = OrderedDict()  # by id; the references keep the ids
        self._is_killed = False
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED) if sys.platform != "win32" else None
        try:  # the process inherits the mask: the service ends it once its requests are answered
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vaekit_service.worker.main", str(memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the service's own stderr may not be read by anything
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
            )
        finally:
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def is_usable(self) -> bool:
        return not self._is_killed and self.process.poll() is None and len(self._shared) < MAX_SHARED

    def ask(self, call: _Call) -> tuple[bool, Any]:
        """Send a task and wait for the outcome: whether it succeeded, and its result or its error.

        Raises:
            OSError, EOFError, pickle.UnpicklingError: the process has ended.
        """
        tasks, results = self._pipes()
        number = id(call.shared)
        pickle.dump({} if number in self._shared else {number: call.shared}, tasks, protocol=5)
        self._shared[number] = call.shared
        pickle.dump((call.work, number, call.args), tasks, protocol=5)
        call.args = ()  # the process has them
        tasks.flush()
        succeeded, result = pickle.load(results)
        return succeeded, result

    def kill(self) -> None:
        self._is_killed = True
        self.process.kill()

    def end(self) -> None:
        """Kill the process, and wait for its end."""
        self.kill()
        self.process.wait()
        for pipe in self._pipes():
            with suppress(OSError):
                pipe.close()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout
