"""The engine: one thread for one device, waiters in the event loop, and jobs that nobody waits for any more."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.engine import Engine
from service.errors import DeadlineExceeded, Overloaded
from service.jobs import Job
from vaekit.errors import NotFinite
from vaekit.runtime import Model
from vaekit.runtime.results import Posterior

pytestmark = pytest.mark.anyio


class Held:
    """A model whose encode waits for leave, says when it has begun, and cannot take a row below 0."""

    manifest = SimpleNamespace(name="held", version=1)

    def __init__(self) -> None:
        self.begun, self.leave = threading.Event(), threading.Event()
        self.ran: list[list[float]] = []

    def encode(self, rows: Any) -> Posterior:
        self.begun.set()
        assert self.leave.wait(30)
        self.ran.append(rows[:, 0].tolist())
        if (rows < 0).any():
            raise NotFinite("no")
        return Posterior(mu=rows, sigma=rows)


def job(model: Any, *values: float, most: int = 8) -> Job:
    return Job(model, "encode", len(values), np.array(values, dtype=float)[:, None], most=most)


@dataclass
class Busy:
    engine: Engine
    model: Held
    first: asyncio.Task[Any]

    def ask(self, *values: float, **more: Any) -> asyncio.Task[list[float]]:
        async def answer() -> list[float]:
            found: Any = await self.engine.submit(job(self.model, *values), **more)
            return list(found.mu[:, 0])

        return asyncio.create_task(answer())


async def busy() -> Busy:
    """An engine whose device is held by a first job."""
    engine = Engine(max_queue_rows=3)
    engine.start()
    on = Busy(engine, Held(), asyncio.create_task(asyncio.sleep(0)))
    on.first = on.ask(0)
    await asyncio.to_thread(on.model.begun.wait, 30)
    return on


async def test_what_waits_goes_together_once_the_device_is_free() -> None:
    on = await busy()
    waiting = [on.ask(1), on.ask(2, 3)]
    await asyncio.sleep(0)
    assert (on.engine.depth, on.engine.rows) == (2, 3)
    with pytest.raises(Overloaded, match="3 rows wait"):
        await on.ask(4)
    on.model.leave.set()
    assert await asyncio.gather(on.first, *waiting) == [[0], [1], [2, 3]]
    assert on.model.ran == [[0], [1, 2, 3]]
    await on.engine.close()


async def test_a_large_job_is_run_in_pieces_and_answered_whole() -> None:
    engine, model = Engine(max_queue_rows=3), Held()
    engine.start()
    model.leave.set()
    found: Any = await engine.submit(job(model, *range(20)))
    assert found.mu[:, 0].tolist() == list(range(20))
    assert [len(rows) for rows in model.ran] == [8, 8, 4]
    await engine.close()


async def test_a_job_that_nobody_waits_for_is_not_run() -> None:
    on = await busy()
    gone = on.ask(1)
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert on.engine.depth == 0
    on.model.leave.set()
    await on.ask(2)
    assert on.model.ran == [[0], [2]]
    await on.engine.close()


async def test_a_job_past_its_deadline_is_told_so_and_not_run() -> None:
    on = await busy()
    late, stays = on.ask(1, deadline=time.monotonic()), on.ask(2, deadline=time.monotonic() + 60)
    await asyncio.sleep(0)
    on.model.leave.set()
    with pytest.raises(DeadlineExceeded):
        await late
    assert await stays == [2]
    assert on.model.ran == [[0], [2]]
    await on.engine.close()


async def test_a_job_that_fails_fails_alone() -> None:
    on = await busy()
    waiting = [on.ask(1), on.ask(-1), on.ask(2)]
    await asyncio.sleep(0)
    on.model.leave.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert (answers[0], answers[2]) == ([1], [2])
    assert isinstance(answers[1], NotFinite)
    assert on.model.ran == [[0], [1, -1, 2], [1], [-1], [2]]
    assert await on.ask(3) == [3]
    await on.engine.close()


async def test_closing_the_engine_leaves_nobody_waiting() -> None:
    on = await busy()
    queued = on.ask(1)
    await asyncio.sleep(0)
    await on.engine.close()
    on.model.leave.set()
    for task in (on.first, queued):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_batch_is_its_jobs_alone_for_every_operation(models_dir: Any) -> None:
    """Joined, cut and alone: the same answers, to the tolerance that the service promises."""
    engine = Engine(max_queue_rows=10_000)
    engine.start()
    with Model.load(models_dir / "breast-cancer", device="cpu") as model:
        x = model.sample(24, seed=1).samples
        z = np.random.default_rng(0).standard_normal((24, model.manifest.latent_dim)).astype(np.float32)
        kinds: dict[str, Any] = {
            "encode": {"operation": "encode", "rows": x},
            "decode": {"operation": "decode", "rows": z},
            "elbo": {"operation": "elbo", "rows": x, "num_samples": 4},
            "surprise": {"operation": "elbo", "rows": x, "num_samples": 4, "features": True},
            "own draws": {"operation": "elbo", "rows": x, "num_samples": 4, "seed": 3},
        }
        for asked in kinds.values():
            whole = Job(model, n=24, most=24, **asked).run(0, 24).arrays()
            cuts = [(0, 1), (1, 2), (2, 15), (15, 24)]
            parts = [Job(model, n=b - a, most=5, **{**asked, "rows": asked["rows"][a:b]}) for a, b in cuts]
            answers = await asyncio.gather(*(engine.submit(part) for part in parts))
            for (a, b), answer in zip(cuts, answers, strict=True):
                for name, values in answer.arrays().items():
                    if values is not None:
                        np.testing.assert_allclose(values, whole[name][a:b], rtol=1e-5, atol=1e-5)
        sampled = [Job(model, "sample", n, seed=seed, most=5) for n, seed in ((3, 1), (13, 2))]
        for asked_for, answer in zip(sampled, await asyncio.gather(*map(engine.submit, sampled)), strict=True):
            want = model.sample(asked_for.n, seed=asked_for.seed or 0).samples
            np.testing.assert_allclose(answer.arrays()["samples"], want, rtol=1e-5, atol=1e-6)
    await engine.close()


async def test_a_caller_that_hangs_up_while_it_waits_leaves_the_queue(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await busy()
    monkeypatch.setattr(service.api.engine, "submit", lambda *_: on.engine.submit(job(on.model, 9)))
    body = [{"type": "http.request", "body": b'{"n": 1}', "more_body": False}, {"type": "http.disconnect"}]
    transport: Any = service.http._transport
    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/sample",
        "headers": headers,
        "query_string": b"",
        "root_path": "",
    }

    async def receive() -> Any:
        return body.pop(0)

    async def send(_: Any) -> None:
        return None

    await transport.app({**scope, "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}, receive, send)
    assert on.engine.depth == 0
    assert service.lines()[-1]["status"] == 499
    on.model.leave.set()
    await on.first
    assert on.model.ran == [[0.0]]
    await on.engine.close()
