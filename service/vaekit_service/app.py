"""Composes the service: create_app(settings) -> FastAPI. This file has no logic and no global state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from vaekit._version import __version__
from vaekit_service.components import Components, Lifecycle
from vaekit_service.engine.engine import INLINE_SECONDS, Engine
from vaekit_service.engine.limits import Limits, MemoryBudget
from vaekit_service.http import problems
from vaekit_service.http.admin import admin_router
from vaekit_service.http.docs_page import docs_router
from vaekit_service.http.fast_path import FastPath
from vaekit_service.http.guard import Guard
from vaekit_service.http.layers import make_layers, wrapped
from vaekit_service.http.openapi import DESCRIPTION, operation_id
from vaekit_service.http.platforms import check_free, platform_router
from vaekit_service.http.routes import make_handlers, operations_router, status_router
from vaekit_service.http.v2.infer import InferHandler
from vaekit_service.http.v2.repository import actions_router, index_router
from vaekit_service.http.v2.routes import INFER, infer_router, v2_router
from vaekit_service.keys.keyring import Keyring
from vaekit_service.keys.rates import RateLimits, parse_rate
from vaekit_service.logs import Log, make_log
from vaekit_service.memory import FreedMemory
from vaekit_service.metrics import Metrics
from vaekit_service.model_health.gauges import HealthGauges
from vaekit_service.model_health.monitor import ModelHealth
from vaekit_service.page.routes import page_router
from vaekit_service.repository.actions import ModelActions
from vaekit_service.repository.loader import ModelLoader
from vaekit_service.repository.registry import ModelRegistry
from vaekit_service.repository.source import ModelSource
from vaekit_service.repository.updates import ModelUpdates
from vaekit_service.score_log.log import ScoreLog, open_score_log
from vaekit_service.setting_lists import names
from vaekit_service.settings import Settings
from vaekit_service.tracing import make_provider, trace_layers
from vaekit_service.worker.large_json import LargeJson
from vaekit_service.worker.process import WorkerProcess


def create_app(settings: Settings, log: Log | None = None) -> FastAPI:
    """The service as an ASGI application; its components are in `app.state.components`.

    Args:
        settings: see vaekit_service/settings.py.
        log: the logger; None: a logger that writes to stderr in the format and from the level of the settings.

    Raises:
        ConfigError: the keys or their rate cannot be read, the score log needs pyarrow, or a path of a platform is one
            of the service's own.
        MissingExtra: traces are on, and OpenTelemetry is not installed.
    """
    log = log or make_log(settings.log_format, settings.log_level)
    components = make_components(settings, log)
    guard = make_guard(settings, components)
    layers = make_layers(
        components,
        guard,
        log,
        reply_seconds=settings.reply_seconds,
        origins=sorted(names(settings.cors_origins)),
    )
    if components.traces is not None:
        layers += trace_layers(components.traces)
    handlers = make_handlers(components)
    infer = InferHandler(handlers, components)
    app = FastPath(
        [operations_router(handlers), infer_router(infer)],
        {**{str(name): handler for name, handler in handlers.items()}, INFER: infer},
        wrap=partial(wrapped, layers=layers),
        title="vaekit",
        version=__version__,
        description=DESCRIPTION,
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/"}],  # the document is read from the service that it describes
        openapi_url=None,  # docs_router serves the document, and a page that works offline
        redirect_slashes=False,
        separate_input_output_schemas=False,  # replies leave out fields that are null by default
        generate_unique_id_function=operation_id,
        lifespan=lambda _: lifespan(components),
        telemetry={"auto_configure": False},
    )
    app.state.components = components
    app.include_router(status_router(components))
    app.include_router(docs_router())
    if settings.page:
        app.include_router(page_router())
    app.include_router(v2_router(components, admin=settings.admin))
    app.include_router(index_router(components))
    if settings.admin:
        actions = ModelActions(components.registry, components.updates)
        app.include_router(admin_router(components, actions))
        app.include_router(actions_router(components, actions))
    check_free(settings.predict_route, app.routes)
    app.include_router(
        platform_router(
            components,
            handlers,
            sagemaker=settings.platform == "sagemaker",
            health_route=settings.health_route,
            predict_route=settings.predict_route,
        )
    )
    guard.learn(app.routes)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    for layer in layers:
        app.add_middleware(layer)
    return app


def make_components(settings: Settings, log: Log) -> Components:
    """Create the components that the routes share."""
    metrics, lifecycle = Metrics(triton=settings.triton_metrics), Lifecycle()
    engine = Engine(max_queue_rows=settings.max_queue_rows, report=metrics, inline_seconds=INLINE_SECONDS)
    loader = ModelLoader(
        device=settings.device,
        threads=settings.threads,
        max_threads=settings.max_threads,
        precision=settings.precision,
        log=log,
        on_device=engine.call,
        max_batch_rows=settings.max_batch_rows,
        cuda=settings.cuda,
    )
    source = make_source(settings)
    registry = ModelRegistry(
        source.text, loader, default=settings.default_model, max_old_versions=settings.max_old_versions
    )
    updates = ModelUpdates(source, registry, loader, log, poll_seconds=settings.poll_seconds)
    limits = Limits(settings.max_rows, settings.max_cells, settings.max_work)
    codec_pool = ThreadPoolExecutor(2, thread_name_prefix="codec")  # more threads would hold more bodies in memory
    worker = WorkerProcess(settings.worker_bytes, log)
    memory = MemoryBudget(
        max_body_bytes=settings.max_body_bytes,
        max_inflight_bytes=settings.max_inflight_bytes,
        freed=FreedMemory(codec_pool).freed,
    )
    keyring = Keyring(settings.key_source, log, metrics.keys_reloaded)
    health = ModelHealth(rows=settings.health_rows, seconds=settings.health_seconds, alpha=settings.alpha, log=log)
    components = Components(
        registry,
        updates,
        engine,
        memory,
        limits,
        metrics,
        make_score_log(settings, metrics, log),
        lifecycle,
        keyring,
        health,
        codec_pool,
        worker,
        LargeJson(worker, codec_pool),
        alpha=settings.alpha,
        body_seconds=settings.body_seconds,
        stream_seconds=settings.stream_seconds,
        reply_seconds=settings.reply_seconds,
        answer_seconds=settings.answer_seconds,
        queue_timeout=settings.queue_timeout,
        stuck_seconds=settings.stuck_seconds,
        max_batch_rows=settings.max_batch_rows,
        server_timing=settings.server_timing,
        traces=make_provider() if settings.traces else None,
    )
    metrics.worker_ends = lambda: worker.ended
    metrics.reads_store = lambda: updates.reads_store
    metrics.observe(engine, registry, ready=lambda: components.unready() is None)
    metrics.add(HealthGauges(health, registry.loaded_models))
    return components


def make_source(settings: Settings) -> ModelSource:
    """Where the models are. Those with a URL get a local copy.

    Raises:
        InputError, StorageError, MissingExtra: see vaekit.storage.mirror.Mirror.
    """
    mirrors = []

    def local(where: Path | str) -> Path:
        if isinstance(where, Path):
            return where
        from vaekit.storage.mirror import Mirror  # needs pyarrow

        mirrors.append(Mirror(where, settings.cache, keep=settings.max_old_versions + 1, pins=settings.policies))
        return mirrors[-1].folder

    root = None if settings.models_root is None else local(settings.models_root)
    named = {name: local(where) for name, where in settings.named_bundles.items()}
    return ModelSource(root, named, settings.policies, mirrors)


def make_score_log(settings: Settings, metrics: Metrics, log: Log) -> ScoreLog | None:
    """Create the score log, which is off unless the settings name a folder."""
    found = open_score_log(
        settings.score_log,
        log,
        payloads=settings.score_log_payloads,
        file_bytes=settings.score_log_file_bytes,
        seconds=settings.score_log_seconds,
        max_bytes=settings.score_log_max_bytes,
    )
    if found is not None:
        metrics.score_log_rows = lambda: (found.rows_written, found.rows_dropped)
    return found


def make_guard(settings: Settings, components: Components) -> Guard:
    """Create the guard, which knows no routes yet."""
    rates = RateLimits(None if settings.rate_limit is None else parse_rate(settings.rate_limit, "VAE_RATE_LIMIT"))
    return Guard(
        components.keyring,
        rates,
        components.metrics,
        public=settings.public_access,
        public_paths=settings.public_paths,
        hosts=names(settings.allowed_hosts),
    )


@asynccontextmanager
async def lifespan(components: Components) -> AsyncIterator[None]:
    """Start the engine and the loading of models; stop both at shutdown. The socket is already listening."""
    components.engine.start()
    components.updates.start()
    components.keyring.start()
    components.health.start()
    if components.score_log is not None:
        components.score_log.start()
    try:
        yield
    finally:
        await components.keyring.close()
        await components.health.close()
        await components.engine.close()
        await components.updates.close()
        await components.worker.close()
        components.codec_pool.shutdown(wait=False, cancel_futures=True)
        if components.score_log is not None:
            await asyncio.to_thread(components.score_log.close)
        if components.traces is not None:  # sends the last spans: the last step, since it may wait for the collector
            await asyncio.to_thread(components.traces.shutdown)
