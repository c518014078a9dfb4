"""The replies of /models, as pydantic models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ModelSummary(BaseModel):
    """One model in the reply of /models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = Field(
        description="the version that is used if a request names none: the newest that could be loaded, or the pinned "
        "one; 0 if the model's folder cannot be read"
    )
    versions: list[int]
    state: Literal["loading", "ready", "failed"]
    reason: str | None = Field(None, description="why it failed")
    failed: dict[int, str] = Field({}, description="the versions that could not be loaded, each with the reason")
    pinned: int | None = Field(None, description="the version that the model is pinned to; null: the latest")
    loaded: list[int] = Field([], description="the versions in memory")


class ModelList(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default: str | None
    models: list[ModelSummary]


class GraphInUse(BaseModel):
    """The providers and threads of one graph."""

    model_config = ConfigDict(frozen=True)

    providers: list[str] = Field(description="execution providers, by preference")
    nodes: dict[str, int] = Field(description="number of the graph's nodes assigned to each provider")
    threads: int = Field(description="threads of one call on a CPU")


class ModelInUse(BaseModel):
    """The device of a model, which GET /models/{name} adds to the manifest."""

    model_config = ConfigDict(frozen=True)

    device: Literal["cpu", "cuda"]
    providers: list[str] = Field(description="execution providers, by preference")
    precision: Literal["float32", "float16"] = Field(description="of the networks")
    graphs: dict[str, GraphInUse] = Field(description="by operation of the manifest")
    device_memory_bytes: int | None = Field(
        description="GPU memory in use by all processes; null on a CPU, and if CUDA does not report it"
    )
