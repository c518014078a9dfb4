"""A stream of any length takes little memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.service.conftest import Process
from tests.service.talks import CSV, HEAD, Talk


def resident(pid: int) -> int:
    """Bytes of memory that a process has used at most."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
def test_100_mb_of_csv_take_little_memory(process: Callable[..., Process], models_dir: Path) -> None:
    began = process("--models", str(models_dir), VAE_DEFAULT_MODEL="breast-cancer")
    address = began.until(r"(http://127\.0\.0\.1:\d+)")
    rng = np.random.default_rng(0)
    block = "".join(",".join(f"{value:.6g}" for value in row) + "\n" for row in rng.normal(10, 3, (2000, 30))).encode()
    blocks, headers = 100 * 10**6 // len(block) + 1, {"content-type": f"{CSV};header=absent", "accept": CSV}
    with httpx.Client(base_url=address, timeout=60) as http:
        while http.get("/readyz").status_code != 200:
            pass
        assert http.post("/elbo", content=block, headers=headers).text.count("\n") == 2001
        before = resident(began.popen.pid)
    rows = asyncio.run(exchanged(address, block, blocks))
    assert rows == 1 + 2000 * blocks
    grown = resident(began.popen.pid) - before
    print(f"{len(block) * blocks / 1e6:.0f} MB of CSV: {grown / 1e6:.1f} MB more memory")
    assert grown < 40e6


async def exchanged(address: str, block: bytes, blocks: int) -> int:
    """Send blocks and read the reply at the same time, as curl does; returns the number of its lines."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        HEAD.format(path="/elbo?log_evidence=false", kind=CSV)
        .replace(f"type: {CSV}", f"type: {CSV};header=absent")
        .encode()
    )
    talk = Talk(reader, writer)

    async def send() -> None:
        for _ in range(blocks):
            await talk.say(block)
        talk.end()

    async def lines() -> int:
        await talk.head()
        found = 0
        while part := await talk.chunk():
            found += part.count(b"\n")
        assert part == b""
        return found

    found, _ = await asyncio.gather(lines(), send())
    writer.close()
    return found
