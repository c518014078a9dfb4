"""Handles the four operations: makes a job of each request, and a reply of the job's result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic, perf_counter
from typing import TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vaekit.bundle.input_spec import ImageSpec
from vaekit.client.wire import INVALID_ROWS_HEADER, JSON_TYPE, RECORD_HEADER, TIMEOUT_HEADER
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit_service.codecs import negotiation
from vaekit_service.codecs.negotiation import Reader, Writer
from vaekit_service.components import Components
from vaekit_service.engine.alarms import alarms_job, with_rules
from vaekit_service.engine.answers import make_answer, make_job, of_steps
from vaekit_service.engine.jobs import Job
from vaekit_service.engine.room import submitted
from vaekit_service.errors import DeadlineExceeded, NotAcceptable, SlowBody
from vaekit_service.http.body import query, read_body
from vaekit_service.http.request_context import RequestContext, effective_timeout, is_recorded
from vaekit_service.http.row_stream import RowStream
from vaekit_service.http.sheets import why_none, with_reconstructions, with_surprises
from vaekit_service.messages import Answer, Body, Operation, ParsedRequest, Target
from vaekit_service.repository.registry import Lease
from vaekit_service.worker.large_json import TREE

CHUNK = 64 * 1024  # bytes; the server waits for a slow reader between two chunks, so it buffers no more than this
_TIMEOUT, _RECORD = TIMEOUT_HEADER.encode(), RECORD_HEADER.encode()
_OF_ALL_ROWS = {"fdr"}  # options that depend on all rows of a request, which is then not answered while it arrives

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class OperationHandler:
    """Answers one operation. FastAPI's route and the fast path both end here."""

    def __init__(self, operation: Operation, components: Components) -> None:
        self.operation: Operation = operation
        self._components = components
        self._targets: WeakKeyDictionary[Model, Target] = WeakKeyDictionary()

    async def respond(self, scope: Scope, receive: Receive) -> Response:
        """The reply to a request. Path and headers are checked before the body is read."""
        path = scope["path_params"]
        with self._components.registry.lend(path.get("name"), path.get("version")) as lease:
            return await self._respond(lease, scope, receive)

    async def _respond(self, lease: Lease, scope: Scope, receive: Receive) -> Response:
        context = RequestContext.of(scope)
        headers, memory = context.headers, context.memory
        self._components.engine.check_room()
        content_type = headers.get(b"content-type", b"")
        stated = self._reader(content_type, headers.get(b"content-encoding", b"identity"))
        writer = self._writer(headers.get(b"accept", b"*/*"))
        if writer.is_sheet:
            no_sheet = why_none(self.operation, await lease.load())
            writer = negotiation.writer(headers.get(b"accept", b"*/*"), no_sheet)
        if stated is not None and stated.lines is not None and writer.lines is not None:
            options, seconds = query(scope), self._answer_seconds(context)
            if options.keys().isdisjoint(_OF_ALL_ROWS) and scope["http_version"] != "1.0":  # 1.0 has no chunks
                return RowStream(self, self._components, stated, writer, options, seconds)
        body = await self.receive_body(scope, receive)
        reader = stated or negotiation.recognise(body, content_type, self.operation)
        work = self._answer(lease, reader, writer, body, query(scope), context)
        del body  # so that `_answer` can free it once the array is made
        answer = await work
        memory.hold(size := sum(a.nbytes for a in answer.rows.values() if a is not None))
        start = perf_counter()
        content = await self._write(writer, answer, size)
        memory.hold(len(content))
        reply = self.reply(context, start, content, writer.media_type, writer.headers(answer))
        if answer.reports:
            reply.raw_headers.append((INVALID_ROWS_HEADER.encode(), b"%d" % len(answer.invalid)))
        return reply

    async def receive_body(self, scope: Scope, receive: Receive) -> Body:
        """The body of a request. From then on the request ends at its deadline, and when the caller disconnects.

        Raises:
            InputError: the caller's timeout is not a positive number.
            SlowBody: the body did not arrive in time.
            VaeError: see read_body.
        """
        start = perf_counter()
        context, body_seconds = RequestContext.of(scope), self._components.body_seconds
        timer, seconds = context.timer, self._answer_seconds(context)
        timer.set_deadline(body_seconds, lambda: SlowBody(f"the body did not arrive within {body_seconds:g} s"))
        body = await read_body(scope, receive)
        context.stages.read = perf_counter() - start
        timer.set_deadline(seconds, lambda: DeadlineExceeded(f"no answer within {seconds:g} s"))
        timer.cancel_on_disconnect(receive)
        return body

    def _answer_seconds(self, context: RequestContext) -> float:
        """Seconds that the answer may take. Raises: see effective_timeout."""
        return effective_timeout(context.headers.get(_TIMEOUT), self._components.answer_seconds)

    def _reader(self, content_type: bytes, content_encoding: bytes) -> Reader | None:
        """The reader of the body, by its headers; None: they do not say. Raises: see negotiation.reader."""
        return negotiation.reader(content_type, content_encoding, self.operation)

    def _writer(self, accept: bytes) -> Writer:
        """The writer of the reply. Raises: see negotiation.writer."""
        return negotiation.writer(accept)

    async def _answer(
        self,
        lease: Lease,
        reader: Reader,
        writer: Writer,
        body: Body,
        options: dict[str, str],
        context: RequestContext,
    ) -> Answer:
        model = await lease.load()
        context.model, context.operation = model.manifest, self.operation
        start = perf_counter()
        parsed = await self._read(reader, body, options, self.target(model))
        del body
        if not writer.takes_invalid and parsed.reports:
            raise NotAcceptable(f"errors=report: {writer.media_type} has no place for the reasons of invalid rows")
        if parsed.invalid and not parsed.n:
            raise InputError(f"none of the {len(parsed.invalid)} rows can be read; {parsed.invalid[0]}")
        with_ids = writer.lines is not None or parsed.repeats_ids
        if writer.is_sheet:
            parsed = with_surprises(parsed)
            answer = await self.run_valid(model, parsed, context, start, with_ids=True)
            if self.operation != "elbo" or parsed.rows is None:
                return answer
            return await with_reconstructions(answer, model, parsed.rows, self._components, context.stages)
        if not with_ids and parsed.sizes is None and getattr(parsed.options, "errors", None) != "report":
            return await self.run(model, parsed, context, start)
        return await self.run_valid(model, parsed, context, start, with_ids=with_ids)

    async def run_valid(
        self,
        model: Model,
        parsed: ParsedRequest,
        context: RequestContext,
        start: float,
        *,
        first: int = 0,
        with_ids: bool = True,
        queue_timeout: float = float("inf"),
        waits: bool = False,
    ) -> Answer:
        """As run, with the invalid rows of the request, and its ids, in the answer.

        Args:
            model, parsed, context, start, queue_timeout, waits: see run.
            first: number of the first row in the request.
            with_ids: whether the reply has the ids.

        Raises:
            VaeError: see run.
        """
        if parsed.n or not parsed.invalid:
            answer = await self.run(model, parsed, context, start, queue_timeout, waits=waits)
        else:
            manifest = model.manifest
            answer = Answer(manifest.name, manifest.version, 0, {}, {}, manifest.input)
        context.rows = (context.rows or 0) + len(parsed.invalid)
        self._components.metrics.reported(model.manifest, len(parsed.invalid))
        ids = parsed.ids if with_ids else None
        if parsed.sizes is not None:
            sized = {**answer.rows, "image_size": parsed.sizes} if parsed.n else answer.rows
            answer = replace(answer, rows=sized, facts={**answer.facts, "resize": "bilinear"})
        return replace(answer, ids=ids, invalid=parsed.invalid, reports=parsed.reports, start=first)

    async def run(
        self,
        model: Model,
        parsed: ParsedRequest,
        context: RequestContext,
        start: float,
        queue_timeout: float = float("inf"),
        *,
        waits: bool = False,
    ) -> Answer:
        """Run a parsed request, and record it for the metrics, the model health and the score log, if the caller wants.

        Args:
            model, parsed: the model, and the request as `make_job` takes it.
            context: of the request.
            start: when its body was complete, by time.perf_counter.
            queue_timeout: seconds that it may wait for the device, if less than the service allows.
            waits: whether it waits for room in a full queue, for as long, instead of being refused.

        Raises:
            VaeError: see is_recorded, make_job, Engine.submit and alarms_job.
        """
        components, records = self._components, is_recorded(context.headers.get(_RECORD))
        job = make_job(self.operation, model, parsed, components.limits, components.max_batch_rows)
        job.stages = context.stages
        context.rows = (context.rows or 0) + job.n
        context.stages.decode += perf_counter() - start
        seconds = min(components.queue_timeout, queue_timeout)
        if waits:
            result = await submitted(components.engine, job, seconds, waits=True)
        else:  # one coroutine and one module less for the usual request
            result = await components.engine.submit(job, monotonic() + seconds)
        if parsed.ends is not None and not len(parsed.ends.at):  # no window: the row in its place counts nowhere
            return of_steps(make_answer(job, result, parsed.options, components.alpha), parsed.ends)
        answer = make_answer(job, result, parsed.options, components.alpha)
        if records:
            components.metrics.scored(model.manifest, result)
            components.health.record(job, result, answer)
        answer = answer if job.tolerances is None else await self._with_rules(job, answer, waits=waits)
        if records and components.score_log is not None:
            components.score_log.record(job, answer, context.id)
        return of_steps(answer, parsed.ends)

    def reply(
        self, context: RequestContext, start: float, content: bytes, media_type: str, headers: Mapping[str, str]
    ) -> ModelResponse:
        """The reply to an answered request, whose stages are recorded.

        Args:
            context: of the request.
            start: when writing the reply began, by time.perf_counter.
            content, media_type, headers: the reply.
        """
        components = self._components
        context.stages.encode = perf_counter() - start
        assert context.model is not None
        components.metrics.staged(context.model, self.operation, context.stages)
        reply = ModelResponse(content, media_type, headers)
        if components.server_timing:
            reply.raw_headers.append((b"server-timing", context.stages.header()))
        return reply

    async def _with_rules(self, job: Job, answer: Answer, *, waits: bool) -> Answer:
        """The answer after the tolerance rules of the request or the model."""
        components = self._components
        alarms, found = alarms_job(job, answer, components.limits, components.max_batch_rows), None
        if alarms is not None:
            alarms.stages = job.stages
            found = await submitted(components.engine, alarms, components.queue_timeout, waits=waits)
        return with_rules(job, answer, found)

    def target(self, model: Model) -> Target:
        """The operation and the model, as codecs take them."""
        target = self._targets.get(model)
        if target is None:
            target = Target(self.operation, model.manifest, self._components.limits.rows_per_request(model.manifest))
            self._targets[model] = target
        return target

    async def _read(self, reader: Reader, body: Body, options: dict[str, str], target: Target) -> ParsedRequest:
        if len(body) > TREE and reader.media_type == JSON_TYPE:
            return await self._components.large_json.read(body, options, target)
        if len(body) > reader.large or (reader.decodes_images and isinstance(target.manifest.input, ImageSpec)):
            return await self.in_pool(reader.read, body, options, target)
        return reader.read(body, options, target)

    async def _write(self, writer: Writer, answer: Answer, size: int) -> bytes:
        """The body of the reply; `size`: bytes of the answer's arrays."""
        if size <= writer.large:
            return writer.write(answer)
        if writer.media_type == JSON_TYPE:
            return await self._components.large_json.write(answer)
        return await self.in_pool(writer.write, answer)

    async def in_pool(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """The result of work that is too long for the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._components.codec_pool, work, *args)


def _empty(model: Model) -> Answer:
    """The answer to no valid row."""
    manifest = model.manifest
    return Answer(manifest.name, manifest.version, 0, {}, {}, manifest.input)


class ModelResponse(Response):
    """A reply with status 200; large ones are sent in chunks."""

    def __init__(self, content: bytes, media_type: str, headers: Mapping[str, str]) -> None:
        self.status_code, self.background, self.body = 200, None, content
        self.raw_headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(content))]
        self.raw_headers += [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - part of ASGI
        content = bytes(self.body)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if len(content) > CHUNK:
            for at in range(0, len(content), CHUNK):
                await send({"type": "http.response.body", "body": content[at : at + CHUNK], "more_body": True})
            content = b""
        await send({"type": "http.response.body", "body": content, "more_body": False})
