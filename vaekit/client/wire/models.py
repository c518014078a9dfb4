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
    proposed: list[int] = Field(
        [], description="the versions that wait for an operator; they only answer requests that name them"
    )


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
    """The device of a model and the default alpha, which GET /models/{name} adds to the manifest."""

    model_config = ConfigDict(frozen=True)

    device: Literal["cpu", "cuda"]
    providers: list[str] = Field(description="execution providers, by preference")
    precision: Literal["float32", "float16"] = Field(description="of the networks")
    graphs: dict[str, GraphInUse] = Field(description="by operation of the manifest")
    device_memory_bytes: int | None = Field(
        description="GPU memory in use by all processes; null on a CPU, and if CUDA does not report it"
    )
    default_alpha: float = Field(description="false-alarm rate of requests that give no alpha: VAE_ALPHA")


class ScoreThreshold(BaseModel):
    """The score beyond which a row is an anomaly."""

    model_config = ConfigDict(frozen=True)

    alpha: float
    score: float | None = Field(description="nats; null: only novel rows can be anomalies at this alpha")


class HeldOutScores(BaseModel):
    """The scores of the held-out rows that rows of one group are compared with, as a histogram."""

    model_config = ConfigDict(frozen=True)

    group: str | None = Field(description="name of the group; null if the model is not calibrated by group")
    rows: int = Field(description="n, number of held-out rows; with folds, of all folds together")
    fold_rows: list[int] | None = Field(None, description="number of held-out rows of each fold; null without folds")
    smallest_alpha: float = Field(description="the smallest possible p-value")
    edges: list[float] = Field(description="B + 1 round scores between which the rows are counted, nats, ascending")
    counts: list[int] = Field(description="B, number of held-out rows between two edges")
    above: int = Field(description="number of held-out rows whose score is above the last edge")
    novel: int = Field(description="number of held-out rows that are novel, and so in no bin")
    thresholds: list[ScoreThreshold] = Field(description="at up to 25 alphas; with folds the medians of the folds")


class CalibrationScores(BaseModel):
    """The reply of /models/{name}/calibration: the scores that p-values are computed from, as histograms."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    guarantee: float | None = Field(
        description="g in P(p_value <= alpha) <= g alpha; 1 without folds; null without a calibration"
    )
    reason: str | None = Field(None, description="why there is no calibration")
    groups: list[HeldOutScores] = Field(
        description="all held-out rows, and then each group that rows are compared with, if there are any"
    )


class ModelHealth(BaseModel):
    """The reply of /models/{name}/health: the last scored rows of one model version against its calibration."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    rows: int = Field(description="last scored rows, the window; 0: none yet, and the fields below are null")
    reading: str = Field(description="what the figures say")
    seconds: float | None = Field(None, description="since the oldest of these rows")
    alpha: float | None = Field(None, description="false-alarm rate of the anomalies that are counted")
    anomaly_rate: float | None = Field(None, description="share of rows with a p-value of at most alpha")
    anomaly_rate_low: float | None = Field(None, description="lower end of its 95 % interval")
    anomaly_rate_high: float | None = Field(None, description="upper end of its 95 % interval")
    anomaly_rate_p_value: float | None = Field(
        None, description="probability of as many anomalies or more if nothing has changed"
    )
    novel_rate: float | None = Field(None, description="share of rows that are unlike any training row")
    ks: float | None = Field(None, description="Kolmogorov-Smirnov distance of the scores from the calibration")
    ks_p_value: float | None = Field(None, description="probability of such a distance or more without a change")
    psi: float | None = Field(None, description="population stability index of the scores against the calibration")
    psi_p_value: float | None = Field(None, description="probability of such an index or more without a change")
    log10_evidence: float | None = Field(
        None,
        description="evidence of a change since the last restart of the test, valid however often it is read: without "
        "a change it ever reaches c with a probability of at most 10^-c",
    )
