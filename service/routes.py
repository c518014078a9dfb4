"""The routes: from a request to a job and back. Knows HTTP and who does the work, none of the work itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar, TypeVarTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from service import codecs
from service.answers import Answer, make_answer, make_job
from service.body import Intake, Reservation
from service.codecs import Reader, Writer
from service.engine import Engine
from service.errors import DeadlineExceeded, Disconnected, NotReady, Unservable
from service.jobs import Operation
from service.limits import Limits
from service.metrics import CONTENT_TYPE, Metrics
from service.registry import Registry, Served
from service.requests import Target
from service.sending import Held
from vaekit.bundle.manifest import ImageSpec
from vaekit.client.wire import JSON_TYPE, TIMEOUT_HEADER, ElboOptions
from vaekit.errors import InputError
from vaekit.runtime import Model

OPERATIONS: tuple[Operation, ...] = ("encode", "decode", "sample", "elbo")
PREFIXES = ("", "/models/{name}", "/models/{name}/versions/{version}")
LARGE = 64 * 1024  # bytes of a body, or cells of a reply, beyond which a thread reads or writes it

_SECONDS = re.compile(r"(\d{1,9}(\.\d{0,9})?|\.\d{1,9})(e[+-]?\d)?", re.IGNORECASE)  # what a JSON number may be, and .5

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Named(Route):
    """A route that leaves itself in the scope, where the envelope reads its template."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self} if match is not Match.NONE else found


@dataclass
class Lifecycle:
    """Whether the service is on its way out."""

    draining: bool = False


@dataclass(frozen=True)
class Api:
    """What the routes stand on."""

    registry: Registry
    engine: Engine
    intake: Intake
    limits: Limits
    metrics: Metrics
    lifecycle: Lifecycle
    desk: ThreadPoolExecutor  # reads and writes large bodies, so that the event loop does not stand still
    alpha: float
    answer_seconds: float
    queue_timeout: float
    max_batch_rows: int

    def routes(self) -> list[Route]:
        """Every route of the service but the documents (service/app.py adds those)."""
        inference = [
            Named(f"{prefix}/{operation}", self._inference(operation), methods=["POST"])
            for prefix in PREFIXES
            for operation in OPERATIONS
        ]
        return [
            *inference,
            Named("/models", self.models),
            Named("/models/{name}", self.model),
            Named("/models/{name}/versions/{version}", self.model),
            Named("/healthz", self.healthz),
            Named("/readyz", self.readyz),
            Named("/metrics", self.scrape),
        ]

    def unready(self) -> str | None:
        """Why /readyz says 503, or None."""
        if self.engine.fault is not None:
            return "the device's thread ended"
        return "shutting down" if self.lifecycle.draining else self.registry.unready()

    def _inference(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await self._infer(operation, request)

        return endpoint

    async def _infer(self, operation: Operation, request: Request) -> Response:
        served = self.registry.find(request.path_params.get("name"), request.path_params.get("version"))
        self.registry.check(served)
        self.engine.check_room()
        reader = codecs.reader(request.headers, operation)
        writer = codecs.writer(request.headers)
        seconds = self._patience(request)
        with ExitStack() as held:
            room = held.enter_context(self.intake.reserve())
            body = await self.intake.read(request, room)
            work = self._work(operation, served, request, reader, body)
            del body  # the work lets go of it as soon as there is an array
            answer, content = await self._in_time(request, self._written(work, writer, room), seconds)
            return Held(content, held.pop_all(), headers=writer.headers(answer), media_type=writer.media_type)

    async def _work(
        self, operation: Operation, served: Served, request: Request, reader: Reader, body: bytearray
    ) -> Answer:
        async with self.registry.lend(served) as model:
            manifest = model.manifest
            request.state.model = f"{manifest.name}@{manifest.version}"
            large = len(body) > LARGE or isinstance(manifest.input, ImageSpec)  # pictures unpack to what they like
            target = Target(operation, manifest, self.limits.most_rows(manifest))
            parsed = await self._at_desk(large, reader.read, body, query(request), target)
            del body
            job = make_job(operation, model, parsed, self.limits, self.max_batch_rows)
            request.state.rows = job.n
            result = await self.engine.submit(job, monotonic() + self.queue_timeout)
            alpha = parsed.options.alpha if isinstance(parsed.options, ElboOptions) else None
            return make_answer(job, result, alpha, self.alpha)

    async def _written(self, work: Awaitable[Answer], writer: Writer, room: Reservation) -> tuple[Answer, bytes]:
        answer = await work
        arrays = [a for a in answer.rows.values() if a is not None]
        room.hold(sum(a.nbytes for a in arrays))
        content = await self._at_desk(sum(a.size for a in arrays) > LARGE, writer.write, answer)
        room.hold(len(content))
        return answer, content

    def _patience(self, request: Request) -> float:
        """Seconds that a request may take from here on: the caller's, where it says fewer.

        Raises:
            InputError: what it says is no time.
        """
        said = request.headers.get(TIMEOUT_HEADER)
        if said is None:
            return self.answer_seconds
        if not _SECONDS.fullmatch(said) or not (seconds := float(said)) > 0:
            raise InputError(f"{TIMEOUT_HEADER}: {said[:40]!r} is not a number of seconds above 0")
        return min(seconds, self.answer_seconds)

    async def _in_time(self, request: Request, work: Awaitable[T], seconds: float) -> T:
        """What is waited for no longer than the caller does, nor than an answer may take."""
        try:
            async with asyncio.timeout(seconds):
                return await until_gone(request, work)
        except TimeoutError:
            raise DeadlineExceeded(f"no answer within {seconds:g} s") from None

    async def _at_desk(self, large: bool, work: Callable[[*Ts], T], *args: *Ts) -> T:
        if not large:
            return work(*args)
        return await asyncio.get_running_loop().run_in_executor(self.desk, work, *args)

    async def models(self, _: Request) -> Response:
        """GET /models."""
        return Response(self.registry.summary().model_dump_json(), media_type=JSON_TYPE)

    async def model(self, request: Request) -> Response:
        """GET /models/{name} and /models/{name}/versions/{version}: the manifest, and where it runs."""
        served = self.registry.find(request.path_params["name"], request.path_params.get("version"))
        async with AsyncExitStack() as held:
            lent = held.enter_async_context(self.registry.lend(served))
            return _json(describe(await self._in_time(request, lent, self.answer_seconds)))

    async def healthz(self, _: Request) -> Response:
        """GET /healthz: the process answers."""
        return _json({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        """GET /readyz: requests will be answered."""
        if reason := self.unready():
            soon = self.lifecycle.draining or not self.registry.settled.is_set()
            raise NotReady(reason) if soon else Unservable(reason)
        return _json({"status": "ready"})

    async def scrape(self, _: Request) -> Response:
        """GET /metrics."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)


def query(request: Request) -> dict[str, str]:
    """The query's parameters.

    Raises:
        InputError: one is given more than once.
    """
    given = request.query_params
    for name in given:
        if (times := len(given.getlist(name))) > 1:
            raise InputError(f"{name[:64]}: given {times} times")
    return dict(given)


def describe(model: Model) -> dict[str, object]:
    """The manifest as it was read, with the device and the providers in use beside its own fields."""
    manifest = model.manifest.model_dump(mode="json")
    return {**manifest, "device": model.device, "providers": list(model.providers)}


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type=JSON_TYPE)


async def until_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of the work, which is cancelled as soon as the caller hangs up.

    Raises:
        Disconnected: the caller hung up.
    """
    task = asyncio.current_task()
    assert task is not None

    def leave(_: object) -> None:
        task.cancel()  # the job leaves the queue on the way out

    gone = asyncio.ensure_future(_gone(request))
    gone.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if gone.done():
            task.uncancel()
            raise Disconnected("the caller hung up before its answer") from None
        raise
    finally:
        gone.remove_done_callback(leave)
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
