"""Processes of the service look for new versions by themselves, and no request fails while they are swapped in."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.test_service_updates import NAME, ROW, SELDOM, flip, listed, version

pytestmark = pytest.mark.anyio


def test_a_process_looks_for_new_versions_by_itself(process: Any, copied: Path, more_versions: Any) -> None:
    started = process("--models", str(copied), VAE_POLL_SECONDS="0.05")
    url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
    started.until("^(ready): breast-cancer")
    shutil.copytree(copied, copied.with_name("other"))
    more_versions(copied.with_name("other"), 2).rename(copied / NAME / "2")
    while httpx.get(f"{url}/models").json()["models"][0]["version"] != 2:
        pass
    assert f'vae_model_version{{model="{NAME}"}} 2.0' in httpx.get(f"{url}/metrics").text
    assert httpx.post(f"{url}/elbo", json={"inputs": [ROW]}).json()["version"] == 2


def test_sighup_makes_a_process_look_at_once_and_does_not_end_it(
    process: Any, copied: Path, more_versions: Any
) -> None:
    started = process("--model", f"iris={copied / NAME}", VAE_POLL_SECONDS="3600")
    url = started.until(r"listening on (http://127\.0\.0\.1:\d+) ")
    started.until("^(ready): iris, version 1")
    shutil.copytree(copied, copied.with_name("other"))
    more_versions(copied.with_name("other"), 2).rename(copied / NAME / "2")
    started.popen.send_signal(signal.SIGHUP)
    while httpx.get(f"{url}/models").json()["models"][0]["version"] != 2:
        pass
    assert started.popen.poll() is None


def test_a_given_bundle_that_is_not_there_ends_the_start_with_a_sentence(process: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, why in (("nowhere", "cannot be read: No such file"), ("empty", "no manifest.json there or in")):
        started = process("--model", f"iris={tmp_path / folder}")
        out, err = started.popen.communicate(timeout=60)
        assert (started.popen.returncode, out) == (1, "")
        assert why in " ".join(err.split())


async def test_no_request_fails_while_versions_are_swapped_and_some_are_broken(
    start: Any, copied: Path, more_versions: Any
) -> None:
    async with start(copied, poll_seconds=SELDOM) as service:
        seen, ends = [], asyncio.Event()

        async def call() -> None:
            while not ends.is_set():
                seen.append(await version(service))

        callers = [asyncio.create_task(call()) for _ in range(8)]
        for number in range(2, 10):
            broken = number % 4 == 0
            folder = more_versions(copied, number)
            if broken:
                flip(folder)
            await service.components.updates.look()
            count = len(seen)
            while len(seen) < count + 16:  # requests that are admitted after the swap
                await asyncio.sleep(0.001)
        ends.set()
        await asyncio.gather(*callers)
        await service.components.updates.settle()
        assert set(seen) == {1, 2, 3, 5, 6, 7, 9}
        assert (await listed(service))[NAME]["loaded"] == [9]
