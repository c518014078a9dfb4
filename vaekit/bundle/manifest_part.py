"""The base class of everything in a manifest."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ManifestPart(BaseModel):
    """Frozen; fields unknown to this minor format are ignored, so that newer bundles stay readable."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())
