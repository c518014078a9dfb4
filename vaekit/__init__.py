"""The public names of vaekit: Model, Client, AsyncClient, Detector. Each is imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vaekit._version import __version__

if TYPE_CHECKING:
    from vaekit.client import AsyncClient, Client
    from vaekit.detector import Detector
    from vaekit.runtime import Model

__all__ = ["AsyncClient", "Client", "Detector", "Model", "__version__"]

_MODULES = {  # the module that defines each name
    "AsyncClient": "vaekit.client",
    "Client": "vaekit.client",
    "Detector": "vaekit.detector",
    "Model": "vaekit.runtime",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'vaekit' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
