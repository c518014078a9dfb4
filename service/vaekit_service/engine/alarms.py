"""Compares the alarms of an answer with tolerance rules: a second job of the request, with only the rows of alarms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vaekit.runtime.explain.tolerance import Tolerated, work
from vaekit.runtime.results import RowArrays
from vaekit_service.engine.jobs import Job
from vaekit_service.engine.limits import Limits
from vaekit_service.messages import Answer


def alarms_job(job: Job, answer: Answer, limits: Limits, max_batch_rows: int) -> Job | None:
    """The job that compares the alarms of an answer with the rules in force; None: there are no rules or no alarms.

    Args:
        job: the job of the request.
        answer: its answer, before the rules are applied.
        limits, max_batch_rows: as for make_job.

    Raises:
        TooLarge: so many alarms that comparing them exceeds the limits.
    """
    alarms, alpha = answer.rows.get("is_anomaly"), answer.facts.get("alpha")
    if job.tolerances is None or alarms is None or not alarms.any():
        return None
    assert job.rows is not None
    assert isinstance(alpha, float)
    rows, draws = job.rows[alarms], work(job.model)
    limits.check_work(len(rows), draws, job.model.manifest, "alarms to compare with tolerance rules")
    return Job(
        job.model,
        "elbo",
        len(rows),
        rows,
        num_samples=job.num_samples,
        tolerances=job.tolerances,
        alarms_at=alpha,
        max_batch_rows=min(max_batch_rows, job.model.rows_at_once("surprise", draws)),
    )


def with_rules(job: Job, answer: Answer, found: RowArrays | None) -> Answer:
    """The answer after the rules in force, if there are any: fewer alarms, and `tolerated`.

    Args:
        job, answer: as for alarms_job.
        found: the result of its job; None: it had none.
    """
    if job.tolerances is None:
        return answer
    rules = Tolerated(np.zeros((job.n, len(job.tolerances)), dtype=bool))
    alarms = answer.rows["is_anomaly"]
    if found is not None:
        assert alarms is not None
        assert isinstance(found, Tolerated)
        rules = found.of_alarms(alarms)
        alarms = alarms & ~rules.removed
    columns = rules.columns(job.tolerances.names)
    return replace(answer, rows={**answer.rows, "is_anomaly": alarms, "tolerated": columns})
