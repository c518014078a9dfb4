"""What /models says of the served models, as pydantic models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ModelSummary(BaseModel):
    """One served model, as /models lists it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = Field(description="the version that answers when none is asked for")
    versions: list[int]
    state: Literal["loading", "ready", "failed"]
    reason: str | None = Field(None, description="why it failed")


class ModelList(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default: str | None
    models: list[ModelSummary]


class GraphInUse(BaseModel):
    """Where one graph runs."""

    model_config = ConfigDict(frozen=True)

    providers: list[str] = Field(description="execution providers, by preference")
    nodes: dict[str, int] = Field(description="how many of the graph's nodes each provider was given")
    threads: int = Field(description="that share one call on a CPU")


class ModelInUse(BaseModel):
    """What GET /models/{name} says beside the manifest: where a model runs."""

    model_config = ConfigDict(frozen=True)

    device: Literal["cpu", "cuda"]
    providers: list[str] = Field(description="execution providers, by preference")
    precision: Literal["float32", "float16"] = Field(description="of the networks")
    graphs: dict[str, GraphInUse] = Field(description="by operation of the manifest")
    device_memory_bytes: int | None = Field(
        description="GPU memory in use, by all processes together; null on a CPU, and where CUDA does not say"
    )
