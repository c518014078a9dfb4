"""Jobs of one lane share calls and get the results that each would get alone; other jobs are in other lanes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.kinds import Published, mixed_rows
from vaekit.runtime import Explained, Model
from vaekit.tabular import encode
from vaekit_service.engine.batcher import JobSlice, Ticket
from vaekit_service.engine.jobs import Job, Slice, run

N = 24
CUTS = ((0, 1), (1, 2), (2, 15), (15, N))


@pytest.fixture(scope="module", params=["breast-cancer", "digits", "mixed", "several", "folded"])
def model(request: pytest.FixtureRequest, models_dir: Any) -> Iterator[Model]:
    if request.param in ("mixed", "several", "folded"):
        published: Published = request.getfixturevalue(request.param)
        folder = published.folder
    else:
        folder = models_dir / request.param
    with Model.load(folder, device="cpu") as loaded:
        yield loaded


def rows_of(model: Model) -> Any:
    if model.manifest.name == "mixed":
        return encode(mixed_rows(N, seed=3), model.spec)
    return encode(model.sample(N, seed=1, observe=True).samples.astype(model_dtype(model)), model.spec)


def model_dtype(model: Model) -> Any:
    return np.uint8 if len(model.spec.row_shape) == 3 else np.float64


def kinds(model: Model) -> dict[str, dict[str, Any]]:
    x, rng = rows_of(model), np.random.default_rng(0)
    z = rng.standard_normal((N, model.manifest.latent_dim)).astype(np.float32)
    several = model.manifest.members > 1
    members = {"members": rng.integers(model.manifest.members, size=N)} if several else {}
    return {
        "encode": {"operation": "encode", "rows": x},
        "decode": {"operation": "decode", "rows": z, **members},
        "elbo": {"operation": "elbo", "rows": x, "num_samples": 4},
        "bound": {"operation": "elbo", "rows": x, "num_samples": 4, "log_evidence": False},
        "features": {"operation": "elbo", "rows": x, "num_samples": 4, "features": True},
    }


def rows_of_job(job: Job, start: int, stop: int) -> Slice:
    return JobSlice(Ticket(job, float("inf")), start, stop)


def part_of(model: Model, asked: dict[str, Any], a: int, b: int) -> Slice:
    """Rows a to b as a slice of a job that also has two rows before and after them."""
    before, behind = max(0, a - 2), min(N, b + 2)
    cut = {name: value[before:behind] if name in ("rows", "members") else value for name, value in asked.items()}
    return rows_of_job(Job(model, n=behind - before, **cut), a - before, b - before)


def assert_close(got: Any, want: Any) -> None:
    for name, values in got.arrays().items():
        if values is not None:
            np.testing.assert_allclose(values, want.arrays()[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["encode", "decode", "elbo", "bound", "features"])
def test_rows_of_several_requests_get_the_results_of_one_request(model: Model, kind: str) -> None:
    asked = kinds(model)[kind]
    (whole,) = run([rows_of_job(Job(model, n=N, **asked), 0, N)])
    assert len(whole) == N
    for (a, b), answer in zip(CUTS, run([part_of(model, asked, a, b) for a, b in CUTS]), strict=True):
        assert len(answer) == b - a
        assert_close(answer, whole[a:b])


def test_rows_of_several_requests_get_the_explanations_of_one_request(model: Model) -> None:
    k = model.manifest.draws.default
    asked = {"operation": "elbo", "rows": rows_of(model), "num_samples": k, "explain": 2}
    (whole,) = run([rows_of_job(Job(model, n=N, **asked), 0, N)])
    assert isinstance(whole, Explained)
    assert whole.explanation is not None
    for (a, b), answer in zip(CUTS, run([part_of(model, asked, a, b) for a, b in CUTS]), strict=True):
        assert isinstance(answer, Explained)
        assert answer.explanation is not None
        for name in answer.explanation.dtype.names or ():
            np.testing.assert_array_equal(answer.explanation[name], whole.explanation[a:b][name], err_msg=name)
    assert Job(model, n=N, **asked).lane != Job(model, n=N, **{**asked, "explain": 3}).lane


@pytest.mark.parametrize("log_evidence", [True, False])
def test_each_request_uses_the_draws_of_its_own_seed(model: Model, log_evidence: bool) -> None:
    x, asked = rows_of(model), {"num_samples": 3, "log_evidence": log_evidence}
    jobs = [Job(model, "elbo", 6, x[:6], seed=seed, **asked) for seed in (1, 2, None)]
    assert len({job.lane for job in jobs}) == 1
    for job, answer in zip(jobs, run([rows_of_job(job, 0, 6) for job in jobs]), strict=True):
        assert_close(answer, model.elbo(x[:6], num_samples=3, seed=job.seed))


@pytest.mark.parametrize("observe", [False, True])
def test_each_sample_job_uses_its_own_seed(model: Model, observe: bool) -> None:
    def job(n: int, seed: int, temperature: float) -> Job:
        return Job(model, "sample", n, seed=seed, temperature=temperature, observe=observe)

    asked = [job(3, 1, 1.0), job(9, 2, 1.5), job(4, 1, 1.0)]
    assert len({one.lane for one in asked}) == 1
    firsts = run([rows_of_job(one, 0, 3) for one in asked])
    (rest,) = run([rows_of_job(asked[1], 3, 9)])
    again = run([rows_of_job(asked[1], 3, 9), rows_of_job(asked[0], 0, 3)])  # as after a failure
    for one, first in zip(asked, firsts, strict=True):
        want = model.sample(one.n, seed=one.seed or 0, temperature=one.temperature, observe=observe)
        assert_close(first, want[:3])
        if one is asked[1]:
            assert_close(rest, want[3:9])
            assert_close(again[0], want[3:9])
        if one is asked[0]:
            assert_close(again[1], want)


def test_jobs_that_differ_in_more_than_rows_are_in_different_lanes(models_dir: Any) -> None:
    with Model.load(models_dir / "breast-cancer", device="cpu") as one, Model.load(models_dir / "digits") as other:
        x, z = np.zeros((1, 30)), np.zeros((1, 8), np.float32)
        jobs = [
            Job(one, "encode", 1, x),
            Job(other, "encode", 1, x),
            Job(one, "elbo", 1, x, num_samples=2),
            Job(one, "elbo", 1, x, num_samples=3),
            Job(one, "elbo", 1, x, num_samples=2, features=True),
            Job(one, "decode", 1, z),
            Job(one, "sample", 1, seed=1),
            Job(one, "sample", 1, seed=1, observe=True),
        ]
        assert len({job.lane for job in jobs}) == len(jobs)
        assert Job(one, "encode", 5, np.zeros((5, 30))).lane == jobs[0].lane


def test_jobs_with_and_without_log_evidence_share_a_lane_only_if_they_share_a_graph(model: Model) -> None:
    def lanes(**more: Any) -> int:
        both = [Job(model, "elbo", 1, rows_of(model)[:1], log_evidence=asked, **more) for asked in (True, False)]
        return len({job.lane for job in both})

    assert ("bound" in model.graphs) == (model.manifest.prior.name == "aggregate")
    assert lanes() == (2 if "bound" in model.graphs else 1)
    assert lanes(features=True) == lanes(explain=2) == 1


def test_a_full_batch_runs_in_one_call_of_the_graph(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit.runtime.operations.MAX_ELEMENTS", 2**12)
    calls: list[int] = []
    whole = Model.run

    def counted(self: Model, operation: Any, feeds: Any) -> Any:
        calls.append(len(next(iter(feeds.values()))))
        return whole(self, operation, feeds)

    monkeypatch.setattr(Model, "run", counted)
    for name, asked in kinds(model).items():
        most = model.rows_at_once(Job(model, n=N, **asked).graph, asked.get("num_samples", 1))
        by_row = {name for name in ("rows", "members") if name in asked}
        repeated = {**asked, **{name: np.concatenate([asked[name]] * 40) for name in by_row}}
        calls.clear()
        run([rows_of_job(Job(model, n=most, **repeated), 0, min(most, 40 * N))])
        assert len(calls) == 1, name
