"""OpenTelemetry traces of requests, with VAE_TRACES=true. Without it nothing here is imported or called.

The SDK reads where to send traces, the sampling and the name of the service from its own variables, OTEL_*. The span of
a request continues the trace of the caller (W3C Trace Context).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vaekit._version import __version__
from vaekit.errors import MissingExtra
from vaekit_service.http.layers import Layer
from vaekit_service.http.request_context import CONTEXT, RequestContext
from vaekit_service.stages import STAGES

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

PROBES = "healthz,readyz,metrics"  # not traced


def make_provider() -> TracerProvider:
    """The provider that exports traces by OTLP over HTTP, in the background.

    Raises:
        MissingExtra: the extra `traces` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise MissingExtra("VAE_TRACES needs OpenTelemetry: pip install 'vaekit[traces]'") from exc
    resource = Resource({SERVICE_NAME: "vaekit", "service.version": __version__}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def trace_layers(provider: TracerProvider) -> list[Layer]:
    """The middleware that makes the span of each request, the innermost first. They go outside all others."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.metrics import NoOpMeterProvider

    return [
        SpanFacts,
        partial(
            OpenTelemetryMiddleware,
            excluded_urls=PROBES,
            exclude_spans=["receive", "send"],
            tracer_provider=provider,
            meter_provider=NoOpMeterProvider(),
        ),
    ]


class SpanFacts:
    """ASGI middleware that gives the span of a request its route, its model and the seconds of each stage.

    Stages are attributes: as spans of their own, they cost 0.49 ms of CPU per request in place of 0.27 ms (2026-11-29,
    single rows, python -m benchmarks.serving --only observability).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from opentelemetry.trace import get_current_span

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":  # the span ends with the last byte of the reply
                span, context = get_current_span(), scope.get("state", {}).get(CONTEXT)
                if span.is_recording() and context is not None:
                    _describe(span, context, scope["method"])
            await send(message)

        await self._app(scope, receive, sending)


def _describe(span: Span, context: RequestContext, method: str) -> None:
    route = context.route or "unmatched"
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.route": route, "vae.request_id": context.id})
    if context.error is not None:
        span.set_attribute("error.type", context.error.partition(":")[0])
    if context.model is not None:
        span.set_attributes({"vae.model": context.model.name, "vae.version": context.model.version})
        span.set_attribute("vae.rows", context.rows or 0)
        for stage in STAGES:
            span.set_attribute(f"vae.{stage}_seconds", getattr(context.stages, stage))
