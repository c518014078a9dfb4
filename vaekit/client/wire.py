"""What travels: requests and replies as pydantic models, shared by the service and its clients. Knows no transport.

Array replies (`Accept: application/x-npy`) are one structured array, a record per row, whose fields have the names used
here, and Arrow replies a table whose columns have them; what is not per row travels as the headers named at the end of
this file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, FailFast, Field, FiniteFloat, NonNegativeFloat, Tag

MAX_EXPLAINED = 64  # cells of a row: who needs more wants the log-likelihoods of all features
MAX_SEED = 2**53 - 1  # what a JSON number carries exactly in every language

Cells = Annotated[list[FiniteFloat], FailFast()]
Rows = Annotated[list[Cells], FailFast(), Field(min_length=1)]
Objects = Annotated[
    list[Annotated[dict[str, FiniteFloat], FailFast()]],
    FailFast(),
    Field(min_length=1),
]
Cell = FiniteFloat | str | None  # of a table with categories or with cells that may be missing
TableCells = Annotated[list[Cell], FailFast()]
Table = Annotated[list[TableCells], FailFast(), Field(min_length=1)]
TableObjects = Annotated[list[Annotated[dict[str, Cell], FailFast()]], FailFast(), Field(min_length=1)]
Pixel = Annotated[int, Field(ge=0, le=255)]
PixelRow = Annotated[list[Annotated[list[Pixel], FailFast()]], FailFast()]
Pictures = Annotated[list[Annotated[list[PixelRow], FailFast()]], FailFast(), Field(min_length=1)]
Encoded = Annotated[
    list[Annotated[str, Field(description="base64 of a PNG or JPEG of the model's size")]],
    FailFast(),
    Field(min_length=1),
]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Request(BaseModel):
    """Strict: no strings for numbers, no unknown fields, nothing that is not finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class EncodeOptions(Request):
    """/encode takes no options."""


def _one_or_each(members: Any) -> str:
    return "each" if isinstance(members, list) else "one"


class DecodeOptions(Request):
    """What /decode takes beside the codes."""

    members: (
        Annotated[
            Annotated[int, Tag("one")] | Annotated[list[int], Tag("each")],
            Discriminator(_one_or_each),
        ]
        | None
    ) = Field(
        None,
        description="which member of the model the codes are of, from 0: one number for all, or one for each code; "
        "needed where the model has members, and not taken where it has none",
    )


class SampleOptions(Request):
    """What /sample takes beside the model."""

    n: Annotated[int, Field(ge=1, description="how many samples")]
    seed: Seed | None = Field(None, description="none: one is drawn and returned")
    temperature: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] = Field(
        1.0, description="scales the noise that goes into the prior"
    )
    observe: bool = Field(False, description="draw from p(x|z) instead of returning its mean")


class ElboOptions(Request):
    """What /elbo takes beside the rows."""

    num_samples: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Monte-Carlo draws K, from 2 to the model's K_max; null: the model's default"
    )
    seed: Seed | None = Field(None, description="draws of one's own; null: the published default draws")
    alpha: Annotated[FiniteFloat, Field(gt=0, lt=1)] | None = Field(
        None, description="false-alarm rate of the verdict; null: the service's default"
    )
    fdr: Annotated[FiniteFloat, Field(gt=0, lt=1)] | None = Field(
        None, description="false-discovery rate over the rows of this request; null: is_discovery is left out"
    )
    log_evidence: bool = Field(
        True, description="the importance-weighted bound too; false: null, and under an aggregate prior far less work"
    )
    features: bool = Field(False, description="also the log-likelihood of each feature")
    explain: Annotated[int, Field(ge=1, le=MAX_EXPLAINED)] | None = Field(
        None, description="also so many cells of each row, the oddest first; on the default draws alone"
    )


class VectorRows(Request):
    inputs: Rows = Field(description="rows in column order")


class VectorObjects(Request):
    inputs: Objects = Field(description="rows by column name")


class MixedRows(Request):
    inputs: Table = Field(
        description="rows in column order, of a model with categories or cells that may be missing: a category by its "
        "level's name, null for a missing cell"
    )


class MixedObjects(Request):
    inputs: TableObjects = Field(
        description="the same rows by column name; a column that may be missing need not be there"
    )


class ImagePixels(Request):
    inputs: Pictures = Field(description="H x W x C integers 0..255")


class ImageFiles(Request):
    inputs: Encoded


class Latents(Request):
    latents: Rows = Field(description="codes z, (N, Z)")


class Reply(BaseModel):
    """Which model answered, and what it said. N rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    version: int


class EncodeReply(Reply):
    mu: list[Any] = Field(description="posterior mean, (N, Z), or (N, M, Z) of a model of M members")
    sigma: list[Any] = Field(description="posterior scale, as mu")
    weights: list[list[float]] | None = Field(None, description="q(m|x), (N, M), of a model of M members")


class DecodeReply(Reply):
    mean: list[Any] = Field(
        description="E[x|z] in raw units, (N, D) or (N, H, W, C) in 0..255; of a category its most probable level"
    )
    scale: list[Any] | None = Field(description="scale of p(x|z) in raw units, as mean; null where it has none")
    df: list[list[float]] | None = Field(None, description="student_t: degrees of freedom, (N, D)")
    probabilities: dict[str, list[list[float]]] | None = Field(
        None, description="by category column: the probability of each of its levels, (N, levels), in their order"
    )


class SampleReply(Reply):
    seed: int = Field(description="gives the same samples again")
    latents: list[list[float]] = Field(description="z, (n, Z)")
    samples: list[Any] = Field(description="x in raw units, (n, D) or (n, H, W, C); of a category the level")
    members: list[int] | None = Field(None, description="which member drew each, (n), of a model of several")


class OddCell(BaseModel):
    """One cell of a row, and what the model makes of it; nats, and raw units. A category's levels are names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str = Field(description="the column's name; of pictures 'pixel (h, w, c)'")
    value: float | str
    surprise: float = Field(description="-E_q[log p(x_d|z)]: compares with those of the same feature alone")
    excess: float = Field(description="the surprise less the feature's held-out median")
    p_value: float = Field(description="among the feature's own held-out surprises; lower is odder")
    relief: float = Field(
        description="how far the row's score falls where this cell is as surprising as usual and the rest need not "
        "account for it: what the cells are ordered by"
    )
    expected: float | str = Field(description="given the rest of the row; of a category its most probable level")
    low: float | None = Field(description="of the central 90 % of p(x_d | the rest); null of a category")
    high: float | None
    probability: float | None = Field(description="of the expected level; null where the column is no category")


class ElboReply(Reply):
    """In nats, per row, fully normalised, in the data's own units."""

    elbo: list[float]
    log_likelihood: list[float] = Field(description="E_q[log p(x|z)]")
    kl: list[float] = Field(description="KL(q(z|x) || p(z))")
    log_evidence: list[float] | None = Field(
        description="the importance-weighted bound; null where log_evidence was false"
    )
    score: list[float] = Field(description="-elbo: higher is odder")
    p_value: list[float | None] | None = Field(
        description="split-conformal, P(p_value <= alpha) <= alpha, or of folds < 2 alpha as the manifest's guarantee "
        "says; lower is odder; null with p_value_reason, for all rows or for one"
    )
    p_value_tail: list[float | None] | None = Field(
        None,
        description="p_value, extrapolated beyond the highest held-out score, without a guarantee; null where it is "
        "null, and where the calibration has no tail",
    )
    is_anomaly: list[bool | None] | None = Field(description="p_value <= alpha; null where there is no verdict")
    is_discovery: list[bool | None] | None = Field(
        None,
        description="when asked for by fdr: found by Benjamini-Hochberg over the rows of this request; null where "
        "there is no p_value",
    )
    alpha: float | None = Field(description="the false-alarm rate of is_anomaly")
    p_value_reason: str | None = Field(description="why there is no p_value, or no verdict, or not for every row")
    num_samples: int = Field(description="K")
    bits_per_dim: list[float] | None = Field(None, description="-elbo / (D ln 2), for likelihoods over pixels")
    feature_log_likelihood: list[Any] | None = Field(
        None, description="(N, D) or (N, H, W, C), when asked for; 0 where a cell is missing"
    )
    observed_count: list[int] | None = Field(
        None, description="how many columns of each row are not missing; where any column may be"
    )
    explanation: list[list[OddCell]] | None = Field(
        None, description="the cells of each row that are oddest for it, the oddest first, when asked for"
    )
    kl_p_value: list[float] | None = Field(
        None, description="kl among held-out rows' KLs, with an explanation; lower is odder: the combination is"
    )


class Problem(BaseModel):
    """RFC 9457 problem document, application/problem+json."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field("about:blank", description="a URI reference that names the kind of problem")
    title: str
    status: int
    detail: str
    instance: str | None = Field(None, description="the request's id")


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


# Headers of array and Arrow replies.
MODEL_HEADER = "vae-model"
VERSION_HEADER = "vae-version"
SEED_HEADER = "vae-seed"
ALPHA_HEADER = "vae-alpha"
NUM_SAMPLES_HEADER = "vae-num-samples"
P_VALUE_REASON_HEADER = "vae-p-value-reason"

TIMEOUT_HEADER = "vae-timeout"  # seconds that the caller waits; later, its request is not run any more
REQUEST_ID_HEADER = "x-request-id"
KEY_HEADER = "authorization"  # Bearer <key>

JSON_TYPE = "application/json"
NPY_TYPE = "application/x-npy"
ARROW_TYPE = "application/vnd.apache.arrow.stream"
PICTURE_TYPES = ("image/png", "image/jpeg")
PROBLEM_TYPE = "application/problem+json"
