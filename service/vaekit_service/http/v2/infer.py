"""Answers infer requests of the Open Inference Protocol, by the handlers of the four operations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar, TypeVarTuple

from starlette.types import Receive, Scope

from vaekit.bundle.input_spec import ImageSpec
from vaekit.client.wire import JSON_TYPE
from vaekit.errors import InputError
from vaekit_service.codecs.v2 import infer_reply, infer_request, published, rows
from vaekit_service.codecs.v2.infer_reply import ReplyForm
from vaekit_service.codecs.v2.infer_request import InferRequest
from vaekit_service.codecs.v2.read import read_infer
from vaekit_service.components import Components
from vaekit_service.http.inference import ModelResponse, OperationHandler
from vaekit_service.http.request_context import RequestContext
from vaekit_service.http.routes import Handlers
from vaekit_service.http.v2 import compression, names
from vaekit_service.http.v2.outputs import empty_answer
from vaekit_service.messages import Answer, Body, ParsedRequest, Target
from vaekit_service.repository.registry import Lease
from vaekit_service.worker.large_json import TEXTS, TREE

LENGTH_HEADER = "inference-header-content-length"
BINARY_TYPE = "application/octet-stream"
_LENGTH = LENGTH_HEADER.encode()
_DIGITS = 10  # of a length
_LARGE_TAIL, _LARGE_REPLY = 4 * 2**20, 2**19  # bytes that are read and written in the event loop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class InferHandler:
    """Answers .../infer. Queue, limits, deadlines, metrics and logs are those of the other routes."""

    def __init__(self, handlers: Handlers, components: Components) -> None:
        self._handlers, self._components = handlers, components

    async def respond(self, scope: Scope, receive: Receive) -> ModelResponse:
        """The reply to a request. Path and headers are checked before the body is read."""
        path = scope["path_params"]
        name = path["model"]
        named, lease = names.lend(self._components.registry, name, path.get("version"))
        with lease:
            return await self._respond(name, self._handlers[named.operation], lease, scope, receive)

    async def _respond(
        self, name: str, handler: OperationHandler, lease: Lease, scope: Scope, receive: Receive
    ) -> ModelResponse:
        components, context = self._components, RequestContext.of(scope)
        components.engine.check_room()
        head_bytes = head_length(context.headers.get(_LENGTH))
        coding = compression.coding_of(context.headers.get(b"content-encoding"))
        reply_coding = compression.reply_coding(context.headers.get(b"accept-encoding"))
        body = await handler.receive_body(scope, receive)
        if coding is not None:
            body = await compression.unpacked(body, coding, context.memory, components.codec_pool)
        model = await lease.load()
        context.model, context.operation = model.manifest, handler.operation
        start = perf_counter()
        reading = self._read(body, head_bytes, handler.target(model))
        del body
        request, parsed = await reading
        seconds = request.queue_seconds
        if parsed is not None and parsed.sizes is None:
            answer = await handler.run(model, parsed, context, start, seconds)
        elif parsed is not None:  # with the sizes of files that were scaled
            answer = await handler.run_valid(model, parsed, context, start, with_ids=False, queue_timeout=seconds)
        else:
            context.rows, context.stages.decode = 0, perf_counter() - start
            answer = empty_answer(handler.operation, model)
        context.memory.hold(size := sum(a.nbytes for a in answer.rows.values() if a is not None))
        start = perf_counter()
        content, length = await self._write(answer, ReplyForm.of(name, request), size)
        headers = {} if length is None else {LENGTH_HEADER: str(length)}
        if reply_coding is not None:
            content = await compression.packed(content, reply_coding, components.codec_pool)
            headers["content-encoding"] = reply_coding
        context.memory.hold(len(content))
        return handler.reply(context, start, content, JSON_TYPE if length is None else BINARY_TYPE, headers)

    async def _read(
        self, body: Body, head_bytes: int | None, target: Target
    ) -> tuple[InferRequest, ParsedRequest | None]:
        """The request, and its rows; None if it has none. Large ones are read where they do not block others."""
        if head_bytes == 0:
            request = published.read_raw(body, target.operation, target.manifest)
            return request, await self._parsed(request, target, len(body))
        head = len(body) if head_bytes is None else head_bytes
        if head > TREE:
            return await self._components.large_json.read_v2(body, head_bytes, target)
        quick = infer_request.read(body, head_bytes, target, most_texts=TEXTS)
        if quick is not None:
            return quick, await self._parsed(quick, target, len(body) - head)
        found = await self._in_pool(read_infer, target, body, head_bytes)
        assert found is not None
        return found

    async def _parsed(self, request: InferRequest, target: Target, tail: int) -> ParsedRequest | None:
        """The rows of a request with `tail` bytes of tensors."""
        if tail > _LARGE_TAIL or (isinstance(target.manifest.input, ImageSpec) and has_files(request)):
            return await self._in_pool(rows.parsed, request, target)
        return rows.parsed(request, target)

    async def _write(self, answer: Answer, form: ReplyForm, size: int) -> tuple[bytes, int | None]:
        if size <= _LARGE_REPLY:
            return infer_reply.write(answer, form)
        if form.binary or any((form.outputs or {}).values()):
            return await self._in_pool(infer_reply.write, answer, form)
        return await self._components.large_json.write_v2(answer, form)

    async def _in_pool(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._components.codec_pool, work, *args)


def has_files(request: InferRequest) -> bool:
    """Whether image files must be decoded."""
    return any(tensor.datatype == "BYTES" for tensor in request.inputs.values())


def head_length(given: bytes | None) -> int | None:
    """The bytes of the JSON before tensors in bytes; None: there are no such tensors.

    Raises:
        InputError: not a number of bytes.
    """
    if given is None:
        return None
    text = given.decode("latin-1").strip()
    if not (text.isascii() and text.isdecimal()) or len(text.lstrip("0")) > _DIGITS:
        raise InputError(f"{LENGTH_HEADER}: {text[:40]!r} is not a number of bytes of the body")
    return int(text)
