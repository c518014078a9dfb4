"""The worker process: runs the tasks that arrive on its standard input, one at a time, until the input ends.

    python -m vaekit_service.worker.main MEMORY_BYTES

Tasks and results are pickles; both ends are this program. See worker/process.py for the other end.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from vaekit_service.memory import release_freed_memory
from vaekit_service.worker.process import OUT_OF_MEMORY

NICENESS = 10  # added to that of the service: beside it on one core, the service gets about nine tenths of the time

Task = tuple[Callable[..., Any], int, tuple[Any, ...]]  # a function, the number of its first argument, the others


def main(memory_bytes: int) -> None:
    """Run tasks until the input ends, which it also does when the service is killed."""
    tasks, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    sys.stdout = sys.stderr  # nothing but results may get into their pipe
    with suppress(AttributeError, OSError):  # Windows has no niceness
        os.nice(NICENESS)
    from vaekit_service.worker import tasks as _  # noqa: F401  before the limit, and while the first task arrives

    limit_memory(memory_bytes)
    try:
        serve(tasks, results)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except (EOFError, BrokenPipeError):
        os._exit(0)  # without the time that freeing the memory of a large task takes


def serve(tasks: BinaryIO, results: BinaryIO) -> None:
    """Run each task, and write whether it succeeded, with its result or its error."""
    shared: dict[int, Any] = {}
    while True:
        shared |= pickle.load(tasks)
        done = run(pickle.load(tasks), shared)
        pickle.dump(done, results, protocol=5)
        results.flush()
        del done
        release_freed_memory()


def run(task: Task, shared: dict[int, Any]) -> tuple[bool, Any]:
    work, number, rest = task
    try:
        return True, work(shared[number], *rest)
    except Exception as exc:  # noqa: BLE001 - the caller must get any error
        return False, exc.with_traceback(None)


def limit_memory(more: int) -> None:
    """Limit the address space of this process to its present size plus `more` bytes, where the system can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(int(sys.argv[1]))
