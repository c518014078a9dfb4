"""What the score log keeps of one answered request until its rows are written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from vaekit.client.wire import RowId
from vaekit.runtime import Model
from vaekit_service.engine.jobs import Job
from vaekit_service.messages import Answer

ROW_BYTES = 512  # what a row takes while it waits: its figures, its ids, and its share of the entry


class Entry(NamedTuple):
    """The scored rows of one request, as references to the arrays of its answer. N rows."""

    micros: int  # since 1970, UTC
    request_id: str
    model: Model
    n: int
    elbo: NDArray[Any] | None  # (N,)
    p_value: NDArray[Any] | None  # (N,)
    is_anomaly: NDArray[Any] | None  # (N,)
    novel: NDArray[Any] | None  # (N,) of lists of names
    group: NDArray[Any] | None  # (N,)
    group_pooled: NDArray[Any] | None  # (N,)
    alpha: float | None
    num_samples: int
    seed: int | None
    ids: Sequence[RowId] | None
    inputs: NDArray[Any] | None  # (N, D) or (N, H, W, C); None: payloads are not asked for
    cost: int  # bytes of memory while it waits


def entry_of(job: Job, answer: Answer, request_id: str, *, payloads: bool) -> Entry:
    """The entry of an answered /elbo request."""
    rows, inputs, alpha = answer.rows.get, job.rows if payloads else None, answer.facts.get("alpha")
    return Entry(
        time.time_ns() // 1000, request_id, job.model, job.n,
        rows("elbo"), rows("p_value"), rows("is_anomaly"), rows("novel"), rows("group"), rows("group_pooled"),
        alpha if isinstance(alpha, float) else None, job.num_samples, job.seed, job.ids, inputs,
        job.n * ROW_BYTES + (0 if inputs is None else inputs.nbytes),
    )  # fmt: skip
