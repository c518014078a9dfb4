"""The base class of the config's sections."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Positive = Annotated[FiniteFloat, Field(gt=0)]
Fraction = Annotated[FiniteFloat, Field(gt=0, lt=1)]
Share = Annotated[FiniteFloat, Field(ge=0, lt=1)]


class ConfigSection(BaseModel):
    """A section of the config: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
