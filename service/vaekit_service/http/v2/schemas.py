"""The bodies of the Open Inference Protocol, for the OpenAPI document. Requests are read by codecs/v2."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from vaekit_service.codecs.v2.tensors import DATATYPES

Parameters = dict[str, Any]
Datatype = Annotated[str, WithJsonSchema({"type": "string", "enum": list(DATATYPES)})]


class _V2(BaseModel):
    model_config = ConfigDict(protected_namespaces=())  # the protocol has names such as model_name


class V2Error(_V2):
    """The body of every reply with another status than 200."""

    error: str


class V2Live(_V2):
    live: bool


class V2Ready(_V2):
    ready: bool


class V2ModelReady(_V2):
    name: str
    ready: bool


class V2Server(_V2):
    name: str
    version: str
    extensions: list[str]


class V2Models(_V2):
    models: list[str] = Field(description="names of the models that answer")


class V2TensorMetadata(_V2):
    name: str
    datatype: Datatype
    shape: list[int] = Field(description="-1 for a size that may vary, such as the number of rows")


class V2Model(_V2):
    name: str
    versions: list[str]
    platform: str
    inputs: list[V2TensorMetadata]
    outputs: list[V2TensorMetadata]


class V2ConfigTensor(_V2):
    name: str
    data_type: str
    dims: list[int] = Field(description="without the number of rows, unless max_batch_size is 0")
    optional: bool = False


class V2Config(_V2):
    """The configuration of a model, in the form of Triton's ModelConfig."""

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(description="rows of one request; 0: the model has no rows")
    input: list[V2ConfigTensor]
    output: list[V2ConfigTensor]
    version_policy: dict[str, Any]
    instance_group: list[dict[str, Any]]
    dynamic_batching: dict[str, Any]


class V2Duration(_V2):
    count: int
    ns: int = Field(description="nanoseconds of all together")


class V2InferenceStatistics(_V2):
    """Requests and their times."""

    success: V2Duration
    fail: V2Duration
    queue: V2Duration
    compute_input: V2Duration
    compute_infer: V2Duration
    compute_output: V2Duration
    cache_hit: V2Duration
    cache_miss: V2Duration


class V2BatchStatistics(_V2):
    """Batches of one size."""

    batch_size: int
    compute_input: V2Duration
    compute_infer: V2Duration
    compute_output: V2Duration


class V2ModelStatistics(_V2):
    name: str
    version: str
    last_inference: int = Field(description="milliseconds since 1970; 0: none yet")
    inference_count: int = Field(description="rows")
    execution_count: int = Field(description="batches")
    inference_stats: V2InferenceStatistics
    response_stats: dict[str, Any]
    batch_stats: list[V2BatchStatistics]
    memory_usage: list[dict[str, Any]]


class V2Statistics(_V2):
    model_stats: list[V2ModelStatistics]


class V2IndexEntry(_V2):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE", "LOADING"]
    reason: str


class V2Loaded(_V2):
    name: str
    load: bool


class V2Unloaded(_V2):
    name: str
    unload: bool


class V2RequestInput(_V2):
    name: str
    shape: list[int]
    datatype: Datatype
    parameters: Parameters | None = None
    data: list[Any] | None = Field(None, description="values, flat or nested; none with binary_data_size")


class V2RequestOutput(_V2):
    name: str
    parameters: Parameters | None = None


class V2InferRequest(_V2):
    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[V2RequestInput] = Field([])
    outputs: list[V2RequestOutput] | None = None


class V2ReplyOutput(_V2):
    name: str
    datatype: Datatype
    shape: list[int]
    parameters: Parameters | None = None
    data: list[Any] | None = None


class V2InferReply(_V2):
    model_name: str
    model_version: str
    id: str | None = None
    parameters: Parameters
    outputs: list[V2ReplyOutput]
