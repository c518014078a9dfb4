"""The base class of all models in a manifest."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ManifestPart(BaseModel):
    """A frozen model. Unknown fields are ignored, so that bundles of a newer minor format stay readable."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())
