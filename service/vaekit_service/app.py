"""Composes the service: create_app(settings) -> FastAPI. No logic of its own and nothing global."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from vaekit import __version__
from vaekit_service.components import Components, Lifecycle
from vaekit_service.engine.engine import AT_ONCE, Engine
from vaekit_service.engine.limits import Limits
from vaekit_service.engine.model_registry import ModelRegistry
from vaekit_service.http import docs_page, openapi, problems
from vaekit_service.http.access_log import AccessLog
from vaekit_service.http.body import Intake
from vaekit_service.http.fast_path import FastPath
from vaekit_service.http.routes import Named, inference_routes, quiet_routes
from vaekit_service.logs import Log, make_log
from vaekit_service.metrics import Metrics
from vaekit_service.settings import Settings


def create_app(settings: Settings, log: Log | None = None) -> FastAPI:
    """The service as an ASGI application; its parts are in `app.state.api`.

    Args:
        settings: see vaekit_service/settings.py.
        log: where log lines go; None: to stderr, as the settings say.
    """
    log = log or make_log(settings.log_format, settings.log_level)
    api = make_api(settings, log)
    envelope = partial(AccessLog, log=log, metrics=api.metrics, reply_seconds=settings.reply_seconds)
    app = FastPath(
        short=inference_routes(api),
        envelope=envelope,
        title="vaekit",
        version=__version__,
        docs_url=None,  # ours needs no script from elsewhere
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lambda _: lifespan(api),
        telemetry={"auto_configure": False},
    )
    app.state.api = api
    document = openapi.document()
    app.router.routes.extend(quiet_routes(api))
    app.router.routes.append(Named("/openapi.json", partial(_openapi, openapi.dumps(document))))
    app.router.routes.append(Named("/docs", partial(_docs, docs_page.render(document))))
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_middleware(envelope)
    return app


def make_api(settings: Settings, log: Log) -> Components:
    """The parts that the routes stand on."""
    metrics, lifecycle = Metrics(), Lifecycle()
    engine = Engine(max_queue_rows=settings.max_queue_rows, report=metrics, at_once=AT_ONCE)
    registry = ModelRegistry(
        settings.models,
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        default=settings.default_model,
        max_old_versions=settings.max_old_versions,
        log=log,
        on_device=engine.call,
        most_rows=settings.max_batch_rows,
        cuda=settings.cuda,
    )
    intake = Intake(
        max_body_bytes=settings.max_body_bytes,
        max_inflight_bytes=settings.max_inflight_bytes,
    )
    limits = Limits(settings.max_rows, settings.max_cells, settings.max_work)
    desk = ThreadPoolExecutor(2, thread_name_prefix="codec")  # two: more would only hold more memory at once
    api = Components(
        registry,
        engine,
        intake,
        limits,
        metrics,
        lifecycle,
        desk,
        alpha=settings.alpha,
        body_seconds=settings.body_seconds,
        answer_seconds=settings.answer_seconds,
        queue_timeout=settings.queue_timeout,
        max_batch_rows=settings.max_batch_rows,
    )
    metrics.watch(engine, registry, ready=lambda: api.unready() is None)
    return api


@asynccontextmanager
async def lifespan(api: Components) -> AsyncIterator[None]:
    """Start the engine and the loading of models; stop both. The listener is up from the first of it."""
    api.engine.start()
    api.registry.start()
    try:
        yield
    finally:
        await api.engine.close()
        await api.registry.close()
        api.desk.shutdown(wait=False, cancel_futures=True)


async def _openapi(text: bytes, _: Request) -> Response:
    return Response(text, media_type="application/json")


async def _docs(html: str, _: Request) -> Response:
    return HTMLResponse(html, headers={"content-security-policy": docs_page.POLICY})
