"""The routes that the service is for: from a request to a job and back. Knows HTTP, and who does the work."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from vaekit.bundle.manifest import ImageSpec
from vaekit.client.wire import TIMEOUT_HEADER
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit_service.codecs import negotiation
from vaekit_service.codecs.negotiation import Reader, Writer
from vaekit_service.codecs.requests import Parsed, Target
from vaekit_service.components import Components
from vaekit_service.engine.answers import Answer, make_answer, make_job
from vaekit_service.engine.jobs import Operation
from vaekit_service.engine.model_registry import ModelVersion
from vaekit_service.errors import DeadlineExceeded, SlowBody
from vaekit_service.http.access_log import HEADERS, WATCH
from vaekit_service.http.body import Body
from vaekit_service.http.request_context import RequestTimer
from vaekit_service.http.responses import send_content

_SECONDS = re.compile(r"(\d{1,9}(\.\d{0,9})?|\.\d{1,9})(e[+-]?\d)?", re.IGNORECASE)  # what a JSON number may be, and .5
_TIMEOUT = TIMEOUT_HEADER.encode()

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Inference:
    """One operation as an ASGI application. What Starlette would build for a request, it does without."""

    def __init__(self, operation: Operation, api: Components) -> None:
        self._operation: Operation = operation
        self._api = api
        self._targets: WeakKeyDictionary[Model, Target] = WeakKeyDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        api, state, path = self._api, scope["state"], scope["path_params"]
        headers: dict[bytes, bytes] = state[HEADERS]
        served = api.registry.find(path.get("name"), path.get("version"))
        api.registry.check(served)
        api.engine.check_room()
        reader = negotiation.reader(
            headers.get(b"content-type", b""), headers.get(b"content-encoding", b"identity"), self._operation
        )
        writer = negotiation.writer(headers.get(b"accept", b"*/*"))
        seconds = effective_timeout(headers.get(_TIMEOUT), api.answer_seconds)
        watch: RequestTimer = state[WATCH]
        with api.intake.reserve() as room:
            watch.within(api.body_seconds, lambda: SlowBody(f"the body did not arrive within {api.body_seconds:g} s"))
            body = await api.intake.read(receive, headers.get(b"content-length", b"0"), room, state)
            watch.within(seconds, lambda: DeadlineExceeded(f"no answer within {seconds:g} s"))
            watch.listen(receive)
            work = self._answer(served, reader, body, query(scope), state)
            del body  # the work lets go of it as soon as there is an array
            answer = await work
            room.hold(answer.nbytes)
            content = await self._written(writer, answer)
            room.hold(len(content))
            await send_content(send, content, writer.media_type, writer.headers(answer))

    async def _answer(
        self, served: ModelVersion, reader: Reader, body: Body, options: dict[str, str], state: dict[str, Any]
    ) -> Answer:
        api = self._api
        with await api.registry.lend(served) as model:
            manifest = model.manifest
            state["model"] = f"{manifest.name}@{manifest.version}"
            target = self._target(model)
            parsed = await self._read(reader, body, options, target)
            del body
            job = make_job(self._operation, model, parsed, api.limits, api.max_batch_rows)
            state["rows"] = job.n
            result = await api.engine.submit(job, monotonic() + api.queue_timeout)
            return make_answer(job, result, parsed.options, api.alpha)

    def _target(self, model: Model) -> Target:
        target = self._targets.get(model)
        if target is None:
            target = Target(self._operation, model.manifest, self._api.limits.most_rows(model.manifest))
            self._targets[model] = target
        return target

    async def _read(self, reader: Reader, body: Body, options: dict[str, str], target: Target) -> Parsed:
        if len(body) > reader.large or (reader.unpacks and isinstance(target.manifest.input, ImageSpec)):
            return await self._in_pool(reader.read, body, options, target)
        return reader.read(body, options, target)

    async def _written(self, writer: Writer, answer: Answer) -> bytes:
        return await self._in_pool(writer.write, answer) if answer.cells > writer.large else writer.write(answer)

    async def _in_pool(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._api.desk, work, *args)


def effective_timeout(said: bytes | None, most: float) -> float:
    """Seconds that a request may take once its body is there: the caller's, where it says fewer.

    Raises:
        InputError: what it says is no time.
    """
    if said is None:
        return most
    text = said.decode("latin-1")
    if not _SECONDS.fullmatch(text) or not (seconds := float(text)) > 0:
        raise InputError(f"{TIMEOUT_HEADER}: {text[:40]!r} is not a number of seconds above 0")
    return min(seconds, most)


def query(scope: Scope) -> dict[str, str]:
    """The query's parameters.

    Raises:
        InputError: one is given more than once.
    """
    if not scope["query_string"]:
        return {}
    given = QueryParams(scope["query_string"])
    for name in given:
        if (times := len(given.getlist(name))) > 1:
            raise InputError(f"{name[:64]}: given {times} times")
    return dict(given)
