"""The settings for cloud platforms: what a platform's own arguments and environment variables mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from vaekit.errors import ConfigError

Platform = Literal["kserve", "sagemaker", "vertex"]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)

PORT = 8080  # of all three platforms, unless they name another
SAGEMAKER_MODEL = "/opt/ml/model"
# SageMaker kills a container 30 s after SIGTERM. Beyond this and VAE_DRAIN_SECONDS, a batch on the device has 5 s.
SHUTDOWN_SECONDS = 20
KILLED_AFTER = 30.0
DEVICE_SECONDS = 5.0

Variables = Mapping[str, str]


class PlatformSettings(BaseSettings):
    """The part of the settings that is for cloud platforms."""

    platform: Platform | None = Field(
        None,
        description="cloud platform that runs the service, kserve, sagemaker or vertex: its variables and paths are "
        "used, and its routes need no key; none: no platform",
    )
    health_route: str | None = Field(
        None, description="path that answers like /readyz; with vertex AIP_HEALTH_ROUTE; none: no such path"
    )
    predict_route: str | None = Field(
        None,
        description="path that answers `instances` with `predictions`; with vertex AIP_PREDICT_ROUTE; none: no such "
        "path",
    )

    @field_validator("health_route", "predict_route")
    @classmethod
    def _is_path(cls, route: str | None) -> str | None:
        if route is not None and (not route.startswith("/") or route.endswith("/") or set("{}?#") & set(route)):
            raise ValueError("expected a path that begins with /, does not end with it and has none of {}?#")
        return route

    @property
    def platform_paths(self) -> tuple[str, ...]:
        """The paths that the platform calls, and all below one that ends with a slash; probes are public anyway."""
        if self.platform == "kserve":
            return ("/v1", "/v1/", "/v2", "/v2/")
        if self.platform == "sagemaker":
            return ("/invocations",)
        return (self.predict_route,) if self.platform == "vertex" and self.predict_route else ()


def settings_of(platform: str | None, variables: Variables) -> dict[str, Any]:
    """The settings that a platform's environment variables stand for. They hold instead of VAE_ variables.

    Args:
        platform: the platform; None: there is none.
        variables: the environment.

    Raises:
        ConfigError: no such platform, or it has not set a variable that it always sets.
    """
    if platform is None:
        return {}
    if platform not in PLATFORMS:
        raise ConfigError(f"VAE_PLATFORM={platform!r}: the platforms are {', '.join(PLATFORMS)}")
    defaults = {"host": "0.0.0.0", "shutdown_seconds": SHUTDOWN_SECONDS}
    chosen = {name: value for name, value in defaults.items() if not variables.get(f"VAE_{name.upper()}")}
    return {**chosen, "platform": platform, **_CONTRACTS[platform](variables)}


def _kserve(variables: Variables) -> dict[str, Any]:  # noqa: ARG001 - KServe passes arguments only
    return {"port": PORT}


def _sagemaker(variables: Variables) -> dict[str, Any]:
    return {
        "port": variables.get("SAGEMAKER_BIND_TO_PORT") or PORT,
        "models": variables.get("SM_MODEL_DIR") or SAGEMAKER_MODEL,
    }


def _vertex(variables: Variables) -> dict[str, Any]:
    routes = {}
    for name, variable in (("health_route", "AIP_HEALTH_ROUTE"), ("predict_route", "AIP_PREDICT_ROUTE")):
        if not variables.get(variable):
            raise ConfigError(f"VAE_PLATFORM=vertex: {variable} is not set; Vertex AI sets it in every container")
        routes[name] = variables[variable]
    stored = {"models": variables["AIP_STORAGE_URI"]} if variables.get("AIP_STORAGE_URI") else {}
    return {"port": variables.get("AIP_HTTP_PORT") or PORT, **routes, **stored}


_CONTRACTS: Mapping[str, Callable[[Variables], dict[str, Any]]] = {
    "kserve": _kserve,
    "sagemaker": _sagemaker,
    "vertex": _vertex,
}


def check_end(platform: Platform | None, drain_seconds: float, shutdown_seconds: float) -> None:
    """Check that the service ends before SageMaker kills it.

    Raises:
        ConfigError: it may take longer.
    """
    longest = drain_seconds + shutdown_seconds + DEVICE_SECONDS
    if platform == "sagemaker" and longest >= KILLED_AFTER:
        raise ConfigError(
            f"VAE_DRAIN_SECONDS={drain_seconds:g} and VAE_SHUTDOWN_SECONDS={shutdown_seconds:g}: SageMaker kills the "
            f"service {KILLED_AFTER:g} s after SIGTERM; their sum must be below {KILLED_AFTER - DEVICE_SECONDS:g} s"
        )
