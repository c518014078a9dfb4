"""The JSON replies of the four operations and of errors, as pydantic models. N rows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Reply(BaseModel):
    """Base of all replies: the model and version that computed it. N rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    version: int


class RefusedRow(BaseModel):
    """A row that could not be read, of a request with errors=report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: int = Field(description="its number in the request, from 0")
    reason: str
    column: str | None = Field(description="null: the row as a whole")
    value: str | int | float | bool | None = Field(
        description="of the cell, or the beginning of the line; long text is cut"
    )
    id: str | int | None = Field(None, description="the caller's id of the row; absent if the caller sent none")


class RowsReply(Reply):
    """Base of replies to rows."""

    errors: list[RefusedRow] | None = Field(
        None,
        description="with errors=report: the rows that could not be read; all other fields are null there. Absent if "
        "all could be read",
    )
    image_size: list[list[int] | None] | None = Field(
        None, description="with resize: width and height of each image file; one of another size was scaled"
    )
    resize: str | None = Field(None, description="with resize: how image files are scaled, bilinear")
    ids: list[str | int | None] | None = Field(
        None, description="the ids of rows of CSV and NDJSON, and the file names of images that came as a form"
    )

    ignored_columns: list[str] | None = Field(
        None, description="columns of the rows that the model does not have, which were ignored; absent if none were"
    )
    warnings: list[str] | None = Field(
        None,
        description="for each ignored column that resembles an absent one, and why novel rows have no elbo; absent if "
        "there are none",
    )


class EncodeReply(RowsReply):
    mu: list[Any] = Field(description="posterior mean, (N, Z), or (N, M, Z) for a model with M members")
    sigma: list[Any] = Field(description="posterior standard deviation, shape as mu")
    weights: list[list[float] | None] | None = Field(None, description="q(m|x), (N, M), for a model with M members")


class DecodeReply(Reply):
    mean: list[Any] = Field(
        description="E[x|z] in raw units, (N, D) or (N, H, W, C) in 0..255; for a category its most probable level"
    )
    scale: list[Any] | None = Field(
        description="scale of p(x|z) in raw units, shape as mean; null if the likelihood has none"
    )
    df: list[list[float]] | None = Field(None, description="student_t: degrees of freedom, (N, D)")
    probabilities: dict[str, list[list[float]]] | None = Field(
        None, description="by category column: the probabilities of its levels, (N, levels), in the order of levels"
    )


class SampleReply(Reply):
    seed: int = Field(description="reproduces the samples")
    latents: list[list[float]] = Field(description="z, (n, Z)")
    samples: list[Any] = Field(description="x in raw units, (n, D) or (n, H, W, C); for a category the level")
    members: list[int] | None = Field(None, description="the member that drew each row, (n), for a model with members")


class AnomalousCell(BaseModel):
    """An anomalous cell of a row. Surprises are in nats, values in raw units, levels of categories are names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str = Field(description="the column's name; for images 'pixel (h, w)', in colour 'pixel (h, w, c)'")
    value: float | str | None = Field(description="null for a level unseen in training")
    surprise: float = Field(
        description="-E_q[log p(x_d|z)], with a kernel prior -log p(x_d | the other cells); comparable only within the "
        "same feature"
    )
    excess: float = Field(description="the surprise minus the feature's held-out median")
    p_value: float = Field(description="among the feature's held-out surprises; lower is more anomalous")
    relief: float = Field(
        description="fall of the row's score if the posterior ignores this cell and the cell has its usual surprise; "
        "with a kernel prior the excess; cells are sorted by relief, highest first"
    )
    expected: float | str = Field(description="given the rest of the row; for a category its most probable level")
    low: float | None = Field(
        description="lower end of the central 90 % of p(x_d | the rest); high is the upper end; null for a category"
    )
    high: float | None
    probability: float | None = Field(description="of the expected level; null unless the column is a category")


class SimilarRow(BaseModel):
    """A training row of a kernel prior that is similar to a row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: int = Field(description="its number in the training source, from 0")
    weight: float = Field(
        description="q(i|x): the probability, given the row, that it comes from the kernel around this training row"
    )
    values: dict[str, float | None] = Field(description="its values by column, raw units; null for a missing cell")


class ElboReply(RowsReply):
    """Scores, verdicts and explanations. Bounds are in nats per row, fully normalised, for data in raw units."""

    elbo: list[float | None] = Field(
        description="null for a novel row that the model cannot score: one of a bundle before format 1.3; and for a "
        "time step at which no window ends, as are the other fields of that row"
    )
    log_likelihood: list[float | None] = Field(description="E_q[log p(x|z)]; null as elbo")
    kl: list[float | None] = Field(description="KL(q(z|x) || p(z)); null as elbo")
    log_evidence: list[float | None] | None = Field(
        description="the importance-weighted bound; null if log_evidence is false in the request"
    )
    score: list[float | None] = Field(description="-elbo: higher is more anomalous; novel rows rank above all others")
    novel: list[list[str] | None] | None = Field(
        None,
        description="the columns that make each row novel: levels unseen in training, values outside the column's "
        "range, or the missing cells of a row with more of them than any training row; empty for a row that is not "
        "novel; null for images",
    )
    p_value: list[float | None] | None = Field(
        description="split-conformal: P(p_value <= alpha) <= alpha, or with folds < 2 alpha (the manifest has the "
        "guarantee); lower is more anomalous; null if the draws have no calibration: p_value_reason says so"
    )
    p_value_tail: list[float | None] | None = Field(
        None,
        description="p_value, extrapolated beyond the highest held-out score, without a guarantee; null if there is no "
        "p_value, and if the calibration has no tail",
    )
    group: list[str | None] | None = Field(
        None,
        description="the calibration group that each row was compared with, as 'site=a, line=3' or 'all rows'; only if "
        "the model is calibrated by group and there are p-values",
    )
    group_pooled: list[bool | None] | None = Field(
        None,
        description="whether that group is larger than the row's own group, which has too few calibration rows or "
        "none; with group",
    )
    is_anomaly: list[bool | None] | None = Field(
        description="p_value <= alpha, unless tolerance rules remove the alarm; null where there is no verdict"
    )
    tolerated: list[list[str] | None] | None = Field(
        None,
        description="only with tolerance rules, of the request or the model: the columns whose rules removed the alarm "
        "of each row; empty for a row whose verdict is p_value <= alpha",
    )
    is_discovery: list[bool | None] | None = Field(
        None,
        description="with fdr: selected by the Benjamini-Hochberg procedure over the rows of this request; null where "
        "there is no p_value",
    )
    alpha: float | None = Field(description="the false-alarm rate of is_anomaly")
    p_value_reason: str | None = Field(
        description="why there are no p-values, or why no row can be an anomaly at this alpha, and what to do"
    )
    num_samples: int = Field(description="K")
    bits_per_dim: list[float | None] | None = Field(None, description="-elbo / (D ln 2), for likelihoods over pixels")
    feature_log_likelihood: list[Any] | None = Field(
        None,
        description="with features: E_q[log p(x_d|z)], which adds up to log_likelihood; with a kernel prior "
        "log p(x_d | the other cells), which does not; (N, D) or (N, H, W, C); 0 where a cell is missing",
    )
    observed_count: list[int | None] | None = Field(
        None,
        description="number of observed columns of each row; only if any column may be missing; null without a window",
    )
    explanation: list[list[AnomalousCell] | None] | None = Field(
        None, description="with explain: the most anomalous cells of each row, the most anomalous first"
    )
    kl_p_value: list[float | None] | None = Field(
        None,
        description="with explain: p-value of kl among held-out KLs; lower means a more anomalous combination of cells",
    )
    similar: list[list[SimilarRow] | None] | None = Field(
        None, description="with similar: the training rows most similar to each row, the most similar first"
    )


class Problem(BaseModel):
    """RFC 9457 problem document, application/problem+json."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field("about:blank", description="URI reference of the kind of problem")
    title: str
    status: int
    detail: str
    instance: str | None = Field(None, description="id of the request")
