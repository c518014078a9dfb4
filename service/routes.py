"""The routes: from a request to a job and back. Knows HTTP and who does the work, none of the work itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from service import codecs
from service.answers import Answer, make_answer, make_job
from service.body import Intake
from service.codecs import Codec
from service.engine import Engine, Operation
from service.errors import Disconnected, NotReady
from service.limits import Limits
from service.metrics import CONTENT_TYPE, Metrics
from service.registry import Registry
from service.requests import Parsed, Target
from vaekit.client.wire import JSON_TYPE, ElboOptions
from vaekit.runtime import Model

OPERATIONS: tuple[Operation, ...] = ("encode", "decode", "sample", "elbo")
PREFIXES = ("", "/models/{name}", "/models/{name}/versions/{version}")
LARGE = 64 * 1024  # bytes of a body, or cells of a reply, beyond which a thread reads or writes it

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
        return "shutting down" if self.lifecycle.draining else self.registry.unready()

    def _inference(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            path = request.path_params
            async with self.registry.lend(path.get("name"), path.get("version")) as model:
                request.state.model = f"{model.manifest.name}@{model.manifest.version}"
                return await self._infer(operation, model, request)

        return endpoint

    async def _infer(self, operation: Operation, model: Model, request: Request) -> Response:
        self.engine.check_room()
        reader = codecs.reader(request.headers, operation)
        writer = codecs.writer(request.headers)
        with self.intake.reserve() as room:
            body = await self.intake.read(request, room)
            parsed = await self._read(reader, body, request, Target(operation, model.manifest, self._most(model)))
            del body  # the array is what is needed from here on
            job = make_job(operation, model, parsed, self.limits)
            request.state.rows = job.n
            result = await until_gone(request, self.engine.submit(job))
        alpha = parsed.options.alpha if isinstance(parsed.options, ElboOptions) else None
        return await self._write(writer, make_answer(job, result, alpha, self.alpha))

    def _most(self, model: Model) -> int:
        return self.limits.most_rows(model.manifest)

    async def _read(self, codec: Codec, body: bytearray, request: Request, target: Target) -> Parsed:
        query = dict(request.query_params)
        return await self._at_desk(len(body), codec.read, body, query, target)

    async def _write(self, codec: Codec, answer: Answer) -> Response:
        cells = sum(a.size for a in answer.rows.values() if a is not None)
        content = await self._at_desk(cells, codec.write, answer)
        return Response(content, headers=codec.headers(answer), media_type=codec.media_type)

    async def _at_desk(self, size: int, work: Callable[[*Ts], T], *args: *Ts) -> T:
        if size <= LARGE:
            return work(*args)
        return await asyncio.get_running_loop().run_in_executor(self.desk, work, *args)

    async def models(self, _: Request) -> Response:
        """GET /models."""
        return Response(self.registry.summary().model_dump_json(), media_type=JSON_TYPE)

    async def model(self, request: Request) -> Response:
        """GET /models/{name} and /models/{name}/versions/{version}: the manifest, and where it runs."""
        path = request.path_params
        async with self.registry.lend(path["name"], path.get("version")) as model:
            return _json(describe(model))

    async def healthz(self, _: Request) -> Response:
        """GET /healthz: the process answers."""
        return _json({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        """GET /readyz: requests will be answered."""
        if reason := self.unready():
            raise NotReady(reason)
        return _json({"status": "ready"})

    async def scrape(self, _: Request) -> Response:
        """GET /metrics."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)


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
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Disconnected("the caller hung up before its answer")
    finally:
        for waiting in (task, gone):
            waiting.cancel()
        await asyncio.wait({task, gone})  # until the job has left the queue


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
