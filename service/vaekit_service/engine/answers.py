"""Makes a job from a request, and the answer from the job's result: scores, p-values and verdicts."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, Manifest, benjamini_hochberg
from vaekit.client.wire import MAX_SEED, DecodeOptions, ElboOptions, Request, RowOptions, SampleOptions
from vaekit.errors import InputError
from vaekit.runtime import Bound, Model
from vaekit.runtime.explain.explanation import check_explained, passes
from vaekit.runtime.explain.similar import check_similar, passes_of_similar
from vaekit.runtime.explain.tolerance import tolerances_of
from vaekit.runtime.latents import check_latents, check_members
from vaekit.runtime.results import RowArrays
from vaekit.runtime.sampling import check_temperature
from vaekit.tabular.novelty import no_score, novel_names, refuse_more_missing
from vaekit.tabular.series import Ends
from vaekit_service.engine.jobs import Job
from vaekit_service.engine.limits import Limits
from vaekit_service.messages import Answer, Fact, Operation, ParsedRequest

# Fields that a reply has even if they are null; other arrays are left out if there are none.
_ALWAYS_PRESENT = {"log_evidence", "scale", "p_value", "p_value_tail", "is_anomaly", "is_discovery"}


_OF_VERDICTS = {
    "fold_elbo",
    "p_value",
    "novel",
    "group",
    "group_pooled",
    "group_node",
}  # fields of a bound that the verdict or another field replaces


def make_job(operation: Operation, model: Model, parsed: ParsedRequest, limits: Limits, max_batch_rows: int) -> Job:
    """Make the job of a request and check it against the model and the limits.

    Args:
        operation, model, parsed: the operation, the model and the parsed body and options of the request.
        limits: limits on the size of one request.
        max_batch_rows: largest number of rows of one batch on the device.

    Raises:
        InputError: the model does not support an option, or does not accept its value.
        TooLarge: the request exceeds the limits.
    """
    job = _job(operation, model, parsed, limits)
    draws = _passes(model, job.num_samples, job.explain, job.similar)
    job.ignored, job.ids, ends = parsed.ignored, parsed.ids, parsed.ends
    total = job.n if ends is None else ends.total
    if job.ids is not None and len(job.ids) != total:
        raise InputError(f"ids: {len(job.ids)} ids for {total} rows")
    if job.ids is not None and ends is not None:
        job.ids = [job.ids[step] for step in ends.at]
    job.max_batch_rows = min(max_batch_rows, model.rows_at_once(job.graph, draws))
    return job


def rows_per_job(model: Model, options: Request, limits: Limits) -> int:
    """The largest number of rows that one job may have, for bodies whose rows become several jobs.

    Args:
        model, options: of the request; options that the model does not support are refused by make_job.
        limits: as for make_job.
    """
    manifest = model.manifest
    most = limits.rows_per_request(manifest)
    if isinstance(options, ElboOptions):
        k = options.num_samples or manifest.draws.default
        explain = min(options.explain or 0, manifest.input.dim)
        most = min(most, limits.rows_of_work(_passes(model, k, explain, options.similar), manifest))
        if options.similar:
            most = min(most, limits.rows_of_similar(options.similar, manifest))
    return most


def _job(operation: Operation, model: Model, parsed: ParsedRequest, limits: Limits) -> Job:
    options = parsed.options
    if isinstance(options, SampleOptions):
        return _sample_job(model, options, limits)
    assert parsed.rows is not None
    n = len(parsed.rows)
    limits.check_rows(n, model.manifest)
    if isinstance(options, RowOptions) and options.resize and not isinstance(model.manifest.input, ImageSpec):
        raise InputError("resize: this model accepts rows, not images; leave it out")
    if isinstance(options, RowOptions) and options.strict:
        refuse_more_missing(parsed.rows, model.manifest.most_missing)
    if isinstance(options, ElboOptions):
        return _elbo_job(model, parsed.rows, options, limits)
    if isinstance(options, DecodeOptions):
        members = _members(options, n, model.manifest)
        return Job(model, operation, n, check_latents(parsed.rows, model.manifest), members=members)
    return Job(model, operation, n, parsed.rows)


def _members(options: DecodeOptions, n: int, manifest: Manifest) -> NDArray[np.int64] | None:
    """The member (n,) of the ensemble that decodes each latent vector; None if the model is not an ensemble."""
    given = options.members
    each = [given] * n if isinstance(given, int) else given
    return check_members(each, n, manifest).get("member")


def _sample_job(model: Model, options: SampleOptions, limits: Limits) -> Job:
    limits.check_samples(options.n, model.manifest)
    check_temperature(model.manifest, options.temperature)
    if options.observe and "observe" not in model.manifest.operations:
        raise InputError("observe: this model cannot sample from p(x|z); send observe=false to get means")
    return Job(
        model,
        "sample",
        options.n,
        seed=secrets.randbelow(MAX_SEED + 1) if options.seed is None else options.seed,
        temperature=options.temperature,
        observe=options.observe,
    )


def _elbo_job(model: Model, rows: NDArray[Any], options: ElboOptions, limits: Limits) -> Job:
    draws = model.manifest.draws
    k = draws.default if options.num_samples is None else options.num_samples
    if not 2 <= k <= draws.maximum:
        raise InputError(f"num_samples: {k} is not between 2 and {draws.maximum}")
    if options.explain is not None:
        check_explained(model, options.explain, k, options.seed)
    if options.similar:
        check_similar(model, options.similar, show=True)
        limits.check_similar(len(rows), options.similar, model.manifest)
    limits.check_work(len(rows), _passes(model, k, options.explain or 0, options.similar), model.manifest)
    if options.features and "surprise" not in model.manifest.operations:
        raise InputError("features: this model was published without the log-likelihood of each feature; leave it out")
    return Job(
        model,
        "elbo",
        len(rows),
        rows,
        num_samples=k,
        seed=options.seed,
        log_evidence=options.log_evidence,
        features=options.features,
        explain=options.explain or 0,
        similar=options.similar,
        tolerances=tolerances_of(model, options.ignore),
    )


def _passes(model: Model, num_samples: int, explain: int, similar: int) -> int:
    """The number of latent draws of a row that an /elbo request takes, or what costs as much."""
    own = passes(model, explain) if explain else num_samples
    return own + passes_of_similar(model) if similar else own


def make_answer(job: Job, result: RowArrays, options: Request, default_alpha: float) -> Answer:
    """The answer to a job.

    Args:
        job: the job of the request.
        result: the output of the model for all rows of the job.
        options: the options of the request.
        default_alpha: false-alarm rate of the verdict if the request has no alpha.
    """
    if isinstance(result, Bound):
        assert isinstance(options, ElboOptions)
        rows, facts = _elbo(job, result, options, default_alpha)
    else:
        rows, facts = _reply_fields(result.arrays()), {"seed": job.seed} if job.operation == "sample" else {}
    warnings = [*job.ignored.warnings, *_without_score(job, result)]
    named: dict[str, Fact] = {"ignored_columns": list(job.ignored.columns), "warnings": warnings}
    facts |= {name: value for name, value in named.items() if value}
    manifest = job.model.manifest
    return Answer(manifest.name, manifest.version, job.n, rows, facts, manifest.input)


def of_steps(answer: Answer, ends: Ends | None) -> Answer:
    """The answer to windows as one to time steps: empty where no window ends, and says so.

    Args:
        answer: with one entry per window.
        ends: the time steps at which the windows end; None: the answer is to rows.
    """
    if ends is None:
        return answer
    n = len(ends.at)  # 0 if there is no window, but a row in its place
    rows = {name: None if a is None else ends.spread(a[:n]) for name, a in answer.rows.items()}
    facts = dict(answer.facts)
    if ends.reason is None:
        return replace(answer, n=ends.total, rows=rows)
    unscored = np.ones(ends.total, dtype=bool)
    unscored[ends.at] = False
    warnings = facts.get("warnings")
    facts["warnings"] = [*(warnings if isinstance(warnings, list) else []), ends.reason]
    if "p_value_reason" in facts and facts["p_value_reason"] is None:
        facts["p_value_reason"] = ends.reason
    return replace(answer, n=ends.total, rows=rows, facts=facts, unscored=unscored)


def _elbo(
    job: Job, bound: Bound, options: ElboOptions, default_alpha: float
) -> tuple[dict[str, NDArray[Any] | None], dict[str, Fact]]:
    verdict, facts = _verdict(job, bound, options, default_alpha)
    hidden = {} if options.log_evidence else {"log_evidence": None}  # null even if the graph computed it
    bits = job.model.bits_per_dim(bound)
    found = {name: a for name, a in bound.arrays().items() if name not in _OF_VERDICTS}
    rows = {**found, **hidden, "score": bound.score, **verdict, "bits_per_dim": bits}
    if bound.novel is not None:
        rows["novel"] = _novel(job, bound.novel)
    return _reply_fields(rows), {**facts, "num_samples": job.num_samples}


def _without_score(job: Job, result: RowArrays) -> list[str]:
    """Why rows have no ELBO, as one warning; empty if all have one."""
    if not isinstance(result, Bound) or result.novel is None or not np.count_nonzero(result.novel):
        return []  # only novel rows can lack one
    rows = np.flatnonzero(np.isnan(result.elbo))
    if not len(rows):
        return []
    return [f"no elbo for {len(rows)} of {job.n} rows, row {rows[0]} is the first: {no_score(job.model.manifest)}"]


def _novel(job: Job, novel: NDArray[np.bool_]) -> NDArray[np.object_]:
    """The names of the cells that make each row novel, (N,) of lists."""
    found = np.empty(len(novel), dtype=object)
    if np.count_nonzero(novel):  # several times faster than any() for a few rows
        assert job.rows is not None
        found[:] = novel_names(job.rows, job.model.manifest)
    else:
        found.fill([])
    return found


def _reply_fields(rows: dict[str, NDArray[Any] | None]) -> dict[str, NDArray[Any] | None]:
    return {name: a for name, a in rows.items() if a is not None or name in _ALWAYS_PRESENT}


def _verdict(
    job: Job, bound: Bound, options: ElboOptions, default_alpha: float
) -> tuple[dict[str, NDArray[Any] | None], dict[str, Fact]]:
    """p-values and verdicts if the request uses the draws of the calibration; otherwise the reason why it has none."""
    names = ("p_value", "p_value_tail", "is_anomaly", *(("is_discovery",) if options.fdr is not None else ()))
    rows: dict[str, NDArray[Any] | None] = dict.fromkeys(names)
    calibration = job.model.calibration(job.num_samples, job.seed)
    if isinstance(calibration, str):
        return rows, {"alpha": None, "p_value_reason": calibration}
    verdict = calibration.verdict(bound, default_alpha if options.alpha is None else options.alpha)
    rows |= {name: getattr(verdict, name) for name in ("p_value", "p_value_tail", "is_anomaly")}
    if verdict.group is not None:
        rows |= {"group": verdict.group, "group_pooled": verdict.group_pooled}
    if options.fdr is not None:
        rows["is_discovery"] = benjamini_hochberg(verdict.p_value, options.fdr).mask
    return rows, {"alpha": verdict.alpha, "p_value_reason": verdict.reason}
