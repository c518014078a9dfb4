"""Twenty seconds of mixed load: small and large requests, bad rows, disconnects. Every answer is right, none hangs."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import numpy as np
import pytest

from vaekit.runtime import Model

pytestmark = pytest.mark.anyio

SECONDS, CALLERS = 20.0, 24
LEAVES, BAD = 0.1, 0.05
SIZES, WEIGHTS = (1, 3, 40, 700), (60, 20, 15, 5)
LISTEN_AFTER = 60.0  # a request that takes longer has hung


class Soak:
    """Callers of one service, and the outcomes of their requests."""

    def __init__(self, url: str, x: Any, truth: dict[str, Any]) -> None:
        self._url, self._x, self._truth = url, x, truth
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def caller(self, seed: int, until: float) -> None:
        rng = random.Random(seed)
        async with httpx.AsyncClient(base_url=self._url, timeout=LISTEN_AFTER) as http:
            while monotonic() < until:
                await self._ask(http, rng)

    async def _ask(self, http: httpx.AsyncClient, rng: random.Random) -> None:
        n = rng.choices(SIZES, WEIGHTS)[0]
        at = rng.randrange(len(self._x) - n)
        operation = rng.choice(("elbo", "elbo", "encode"))
        rows = self._x[at : at + n].tolist()
        is_bad = rng.random() < BAD
        if is_bad:
            rows[rng.randrange(n)][3] = "n/a"  # a missing cell would make the row novel, not invalid
        headers = {"content-type": "application/json"}
        asking = http.post(f"/{operation}", content=json.dumps({"inputs": rows}), headers=headers)
        if rng.random() < LEAVES:
            try:
                await asyncio.wait_for(asking, rng.random() * 0.02)
            except TimeoutError:
                self.ends["left"] += 1
            return
        reply = await asking
        self.ends[str(reply.status_code)] += 1
        if reply.status_code == 200:
            self._check(operation, reply.json(), slice(at, at + n), is_bad)
        elif reply.status_code not in ({422, 429} if is_bad else {429}):
            self.wrong.append(f"{reply.status_code}: {reply.text[:200]}")

    def _check(self, operation: str, reply: dict[str, Any], at: slice, is_bad: bool) -> None:
        name = "elbo" if operation == "elbo" else "mu"
        want = self._truth[operation][at]
        got = np.array(reply[name])
        if is_bad or got.shape != want.shape or not np.allclose(got, want, rtol=1e-5, atol=1e-4):
            self.wrong.append(f"{operation} of rows {at}: {reply[name][:1]}")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_under_load_every_answer_is_right_and_every_caller_gets_one(
    process: Callable[..., Any], models_dir: Path
) -> None:
    with Model.load(models_dir / "breast-cancer", device="cpu") as model:
        x = model.sample(1000, seed=5, observe=True).samples
        truth = {"elbo": model.elbo(x).elbo, "encode": model.encode(x).mu}
    flags = ("--models", str(models_dir), "--default-model", "breast-cancer")
    started = process(*flags, VAE_MAX_QUEUE_ROWS="2000", VAE_LOG_LEVEL="error")  # the test does not read its log
    url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
    started.until("^(ready): digits")
    soak = Soak(url, x, truth)
    await asyncio.wait_for(
        asyncio.gather(*(soak.caller(seed, monotonic() + SECONDS) for seed in range(CALLERS))), SECONDS + LISTEN_AFTER
    )
    assert not soak.wrong, soak.wrong[:5]
    assert min(soak.ends[end] for end in ("200", "422", "left")) >= 5, soak.ends
    async with httpx.AsyncClient(base_url=url, timeout=LISTEN_AFTER) as http:
        figures = (await http.get("/metrics")).text
        for name, value in (("vae_queue_rows", 0), ("vae_queue_depth", 0), ("vae_http_requests_in_flight", 1)):
            assert re.search(rf"^{name} {value}\.0$", figures, re.MULTILINE), name
        assert (await http.post("/elbo", json={"inputs": x[:1].tolist()})).status_code == 200
