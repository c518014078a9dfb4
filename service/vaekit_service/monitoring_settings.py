"""The settings of timings, model health, metrics, traces and the log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class MonitoringSettings(BaseSettings):
    """The part of the settings that is for those who watch the service."""

    server_timing: bool = Field(
        True, description="send the seconds of each stage of a request with its reply, in the header Server-Timing"
    )
    health_rows: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        5_000,
        description="last scored rows of each model version that are compared with its calibration (model health), at "
        "most 1,000,000; 0: none",
    )
    health_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        10.0, description="seconds between two such comparisons"
    )
    triton_metrics: bool = Field(
        False, description="list counters of the models under Triton's names too, nv_inference_*, for its dashboards"
    )
    traces: bool = Field(
        False,
        description="send OpenTelemetry traces, as the variables OTEL_* say; needs the extra `traces`; see "
        "docs/how-to/run-the-service.md",
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="console for people, or json for a log collector"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug also shows the requests of probes and scrapes"
    )
