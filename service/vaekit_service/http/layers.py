"""Makes the middleware of the app: CORS if it is on, then the access log, then the guard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from vaekit.client import wire
from vaekit_service.components import Components
from vaekit_service.http.access_log import AccessLog
from vaekit_service.http.guard import Guard, GuardLayer
from vaekit_service.logs import Log

Layer = Callable[[ASGIApp], ASGIApp]

_SENT = ["authorization", "content-type", wire.TIMEOUT_HEADER, wire.RECORD_HEADER, wire.REQUEST_ID_HEADER]
_SHOWN = [
    wire.REQUEST_ID_HEADER,
    "retry-after",
    "server-timing",
    wire.MODEL_HEADER,
    wire.VERSION_HEADER,
    wire.SEED_HEADER,
    wire.ALPHA_HEADER,
    wire.NUM_SAMPLES_HEADER,
    wire.P_VALUE_REASON_HEADER,
    wire.IGNORED_COLUMNS_HEADER,
    wire.WARNINGS_HEADER,
    wire.INVALID_ROWS_HEADER,
    wire.RESIZE_HEADER,
]


def make_layers(
    components: Components, guard: Guard, log: Log, *, reply_seconds: float, origins: Sequence[str]
) -> list[Layer]:
    """The middleware, the innermost first.

    CORS is outside the access log, so that browsers can read problem documents too. Preflights have no key: CORS
    answers them, without a log line. Without origins they are requests like all others.

    Args:
        reply_seconds: time in which a caller must read its reply.
        origins: web pages that may read replies, such as https://example.com; empty: none.
    """
    layers: list[Layer] = [
        partial(GuardLayer, guard=guard),
        partial(
            AccessLog,
            log=log,
            metrics=components.metrics,
            memory=components.memory,
            lifecycle=components.lifecycle,
            reply_seconds=reply_seconds,
        ),
    ]
    if origins:
        cors = partial(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT"],
            allow_headers=_SENT,
            expose_headers=_SHOWN,
        )
        layers.append(cors)
    return layers


def wrapped(app: ASGIApp, layers: Sequence[Layer]) -> ASGIApp:
    """The app inside the layers."""
    return reduce(lambda inner, layer: layer(inner), layers, app)
