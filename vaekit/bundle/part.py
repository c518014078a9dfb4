"""What every part of a manifest is: a frozen model. Knows how formats may grow, not what they hold."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Frozen; fields unknown to this minor format are ignored, so that newer bundles stay readable."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())
