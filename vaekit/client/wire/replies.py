"""JSON replies of the four operations, and of errors, as pydantic models. N rows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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
