"""Chooses where JSON beyond a small size is read and written: in the event loop, in a thread, or in the process.

Parsing holds Python's interpreter lock, so a thread would make all other requests wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from typing import Any

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit_service.codecs import json_codec
from vaekit_service.codecs.v2 import json_head
from vaekit_service.codecs.v2.infer_reply import ReplyForm
from vaekit_service.codecs.v2.infer_request import InferRequest
from vaekit_service.codecs.v2.read import read_infer
from vaekit_service.messages import Answer, Body, ParsedRequest, Target
from vaekit_service.worker import tasks
from vaekit_service.worker.process import WorkerProcess

# Largest bodies in bytes; each takes about 3 ms on a core of 2026.
INLINE = 256 * 1024  # of numbers or pixels that are read in the event loop
DIRECT = 2**20  # of numbers or pixels that are read in a thread
TREE = 64 * 1024  # of any other body that is read in the event loop
TEXTS = 4096  # elements of BYTES that are read in the event loop

_FACTS = [field.name for field in fields(Answer) if field.name != "spec"]


class LargeJson:
    """Reads and writes JSON of any size without holding the interpreter lock for longer than a few milliseconds.

    Args:
        worker: gets what takes longer.
        pool: gets what is too long for the event loop.
    """

    def __init__(self, worker: WorkerProcess, pool: ThreadPoolExecutor) -> None:
        self._worker, self._pool = worker, pool

    async def read(self, body: Body, query: Mapping[str, str], target: Target) -> ParsedRequest:
        """Read and check a body of more than TREE bytes.

        Raises:
            Unparsable, InputError, TooLarge: see json_codec.read.
            TooLarge, WorkerEnded: see WorkerProcess.run.
        """
        found = None
        if len(body) <= INLINE:
            found = json_codec.read_directly(body, query, target)
        elif len(body) <= DIRECT:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._pool, json_codec.read_directly, body, query, target)
        else:
            json_codec.check_cells(body, target)  # 1 ms per MiB: most bodies that are refused need no process
        return found if found is not None else await self._worker.run(tasks.read, target, body, query)

    async def read_v2(
        self, body: Body, head_bytes: int | None, target: Target
    ) -> tuple[InferRequest, ParsedRequest | None]:
        """Read an infer request of more than TREE bytes of JSON, without its tensors.

        Raises:
            Unparsable, InputError, Unsupported, TooLarge: see codecs/v2/read.py.
            TooLarge, WorkerEnded: see WorkerProcess.run.
        """
        head, found = body if head_bytes is None else body[:head_bytes], None
        if len(head) <= INLINE:
            found = read_infer(target, body, head_bytes, direct=True, most_texts=TEXTS)
        elif len(head) <= DIRECT:
            work = partial(read_infer, target, body, head_bytes, direct=True)
            found = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        else:
            json_head.check_size(head, target)
        if found is None:
            found = await self._worker.run(tasks.read_v2, target, body, head_bytes)
        assert found is not None
        return found

    async def write_v2(self, answer: Answer, form: ReplyForm) -> tuple[bytes, int | None]:
        """A large reply to an infer request, all of it JSON. Raises: see `write`."""
        facts = {name: getattr(answer, name) for name in _FACTS}
        return await self._worker.run(tasks.write_v2, answer.spec, facts, form)

    async def write(
        self, answer: Answer, task: Callable[[VectorSpec | ImageSpec, dict[str, Any]], bytes] = tasks.write
    ) -> bytes:
        """A large reply as JSON, written by this task of the worker process.

        Raises:
            TooLarge, WorkerEnded: see WorkerProcess.run.
        """
        facts = {name: getattr(answer, name) for name in _FACTS}
        return await self._worker.run(task, answer.spec, facts)
