"""Answers a body of CSV or NDJSON while it arrives, batch by batch and in bounded memory.

Whatever rows are complete when bytes arrive are one batch: nothing waits for more. The reply begins with the first
answered batch, so an error before it has a status of its own. A later error is the last line of the reply, which then
ends without its last chunk: the caller sees that it is incomplete.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from time import monotonic, perf_counter
from typing import Protocol, TypeVar, TypeVarTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vaekit.errors import VaeError
from vaekit.runtime import Model
from vaekit_service.codecs.lines.reader import LineReader, batches
from vaekit_service.codecs.negotiation import Reader, Writer
from vaekit_service.components import Components
from vaekit_service.engine.answers import rows_per_job
from vaekit_service.engine.room import FULL_PAUSE
from vaekit_service.errors import DeadlineExceeded, Disconnected, NotReady, Overloaded, SlowBody
from vaekit_service.http import problems
from vaekit_service.http.access_log import ReplyNotRead
from vaekit_service.http.output_buffer import OutputBuffer
from vaekit_service.http.request_context import RequestContext
from vaekit_service.messages import Answer, Operation, ParsedRequest, Target

MOST_ROWS = 2048  # of one batch: four full batches of the device
INLINE, INLINE_ROWS = 16 * 1024, 128  # bytes of lines or arrays, and rows, that are handled in the event loop
DRAIN_SECONDS = 0.5  # during shutdown: seconds after which a stream ends whose caller sends nothing

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def _shutting_down() -> NotReady:
    return NotReady("the service is shutting down; send the rows that have no answer again")


class Handler(Protocol):
    """What a stream needs of inference.OperationHandler."""

    operation: Operation

    def target(self, model: Model) -> Target: ...

    async def run_valid(
        self,
        model: Model,
        parsed: ParsedRequest,
        context: RequestContext,
        start: float,
        *,
        first: int = 0,
        waits: bool = False,
    ) -> Answer: ...

    async def in_pool(self, work: Callable[[*Ts], T], *args: *Ts) -> T: ...


class RowStream(Response):
    """The reply to one request, which reads the request's body itself.

    Args:
        handler: of the operation.
        components: of the service.
        reader, writer: of the content types, with `lines`.
        query: the options.
        seconds: in which each batch must be answered.
    """

    def __init__(
        self,
        handler: Handler,
        components: Components,
        reader: Reader,
        writer: Writer,
        query: Mapping[str, str],
        seconds: float,
    ) -> None:
        assert reader.lines is not None
        assert writer.lines is not None
        self.status_code, self.background, self.body, self.raw_headers = 200, None, b"", []
        self._handler, self._components, self._query, self._seconds = handler, components, query, seconds
        self._new_reader, self._writer, self._lines = reader.lines, writer, writer.lines()
        self._output: OutputBuffer | None = None  # once the reply has begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = RequestContext.of(scope)
        context.is_stream = True
        try:
            await self._answer(scope, receive, send, context)
        except asyncio.CancelledError:
            if context.timer.reason is None:
                raise
            error = context.timer.uncancel()
            assert error is not None
            await self._fail(error, receive, context)
        except Exception as exc:  # noqa: BLE001 - whatever happens, a reply that has begun must say so
            await self._fail(exc, receive, context)
        finally:
            if self._output is not None:
                self._output.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        path, components = scope["path_params"], self._components
        with components.registry.lend(path.get("name"), path.get("version")) as lease:
            model = await lease.load()
            context.model, context.operation = model.manifest, self._handler.operation
            reader = self._new_reader(self._query, self._handler.target(model))
            most = min(MOST_ROWS, rows_per_job(model, reader.options, components.limits))
            async with aclosing(self._arriving(reader, receive, context)) as arriving:
                async for lines in arriving:
                    for some in batches(lines, most):
                        if (answer := await self._answered(model, reader, some, context)) is not None:
                            await self._put(answer, reader, send, context)
            reader.check_end()
        await self._end(send, context)

    async def _arriving(
        self, reader: LineReader, receive: Receive, context: RequestContext
    ) -> AsyncGenerator[list[bytes], None]:
        """The lines that are complete, as soon as they are."""
        more = True
        while more:
            data, more = await self._next_bytes(receive, context)
            is_small = data.count(b"\n") <= INLINE_ROWS
            lines = reader.feed(data) if is_small else await self._handler.in_pool(reader.feed, data)
            if not more:
                is_small = reader.held <= INLINE
                lines += reader.end() if is_small else await self._handler.in_pool(reader.end)
            await self._hold(reader.held + sum(map(len, lines)), context)
            if lines:
                yield lines

    async def _hold(self, size: int, context: RequestContext) -> None:
        """Hold the bytes of the body and of the reply; a reply that has begun waits for room instead of failing."""
        until = monotonic() + self._components.queue_timeout
        while True:
            try:
                context.memory.hold(size + self._waiting)
            except Overloaded:
                if self._output is None or monotonic() > until:
                    raise
                await asyncio.sleep(FULL_PAUSE)
            else:
                return

    async def _next_bytes(self, receive: Receive, context: RequestContext) -> tuple[bytes, bool]:
        """The next bytes of the body, and whether more will come."""
        start, lifecycle = perf_counter(), self._components.lifecycle
        seconds = self._components.body_seconds if self._output is None else self._components.stream_seconds
        context.timer.set_deadline(seconds, lambda: SlowBody(f"no more of the body arrived within {seconds:g} s"))

        def end_soon() -> None:
            context.timer.set_deadline(DRAIN_SECONDS, _shutting_down)

        if lifecycle.draining:
            end_soon()
        lifecycle.idle.add(end_soon)
        try:
            message = await receive()
        finally:
            lifecycle.idle.discard(end_soon)
        context.stages.read += perf_counter() - start
        if message["type"] != "http.request":
            raise Disconnected("the caller closed the connection while sending its body")
        return message.get("body", b""), message.get("more_body", False)

    async def _answered(
        self, model: Model, reader: LineReader, lines: Sequence[bytes], context: RequestContext
    ) -> Answer | None:
        """The answer to some lines; None if they are no rows."""
        seconds = self._seconds
        context.timer.set_deadline(seconds, lambda: DeadlineExceeded(f"no answer within {seconds:g} s"))
        start, first = perf_counter(), reader.rows
        if len(lines) <= INLINE_ROWS and sum(map(len, lines)) <= INLINE and not reader.decodes_images:
            parsed = reader.parse(lines)
        else:
            parsed = await self._handler.in_pool(reader.parse, lines)
        if not parsed.n and not parsed.invalid:
            return None
        waits = self._output is not None  # a reply that has begun waits for room in the queue instead of failing
        return await self._handler.run_valid(model, parsed, context, start, first=first, waits=waits)

    async def _put(self, answer: Answer, reader: LineReader, send: Send, context: RequestContext) -> None:
        """Write an answer; the first one begins the reply."""
        start = perf_counter()
        size = sum(a.nbytes for a in answer.rows.values() if a is not None)
        if answer.n + len(answer.invalid) <= INLINE_ROWS and size <= INLINE:
            content = self._lines.write(answer)
        else:
            content = await self._handler.in_pool(self._lines.write, answer)
        context.stages.encode += perf_counter() - start
        if self._output is None:
            if not content:
                return  # CSV of invalid rows alone has no columns yet
            await self._begin(answer, send, context)
        assert self._output is not None
        context.timer.pause()  # the buffer has its own deadlines
        await self._output.put(content)
        await self._hold(reader.held, context)

    async def _begin(self, answer: Answer | None, send: Send, context: RequestContext) -> None:
        assert context.model is not None
        own = Answer(context.model.name, context.model.version, 0, {}, {}, context.model.input)
        headers = self._writer.headers(answer or own)
        own_headers = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        self.raw_headers = [(b"content-type", self._writer.media_type.encode()), *own_headers, *self.raw_headers]
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        context.timer.pause()
        self._output = OutputBuffer(send, context.timer, self._components.reply_seconds)

    async def _end(self, send: Send, context: RequestContext) -> None:
        content = self._lines.end()
        if self._output is None:
            await self._begin(None, send, context)
        assert self._output is not None
        assert context.model is not None
        context.timer.pause()
        await self._output.put(content)
        await self._output.finish()
        self._components.metrics.staged(context.model, self._handler.operation, context.stages)

    async def _fail(self, error: Exception, receive: Receive, context: RequestContext) -> None:
        """End the reply with the problem as its last line, if it has begun; then close the connection."""
        if self._output is None or isinstance(error, ReplyNotRead):
            raise error
        document = bytes(problems.respond(context, error).body)
        if isinstance(error, Disconnected):
            return
        context.timer.set_deadline(self._components.reply_seconds, ReplyNotRead)
        await self._output.put(self._lines.problem(document))
        await self._output.drain()
        if context.connection is None or not isinstance(error, VaeError):
            raise error  # the server logs a bug, and closes the connection
        context.connection.close()
        while (await receive())["type"] != "http.disconnect":
            pass

    @property
    def _waiting(self) -> int:
        """Bytes of the reply that wait for the caller."""
        return 0 if self._output is None else self._output.size
