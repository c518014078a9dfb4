"""Damages Arrow streams and sends them to a service, in its own process, because pyarrow's C++ code could crash it.

    python -m tests.service.fuzz_arrow MODELS [EXAMPLES]

MODELS is a folder with `mixed` of tests/kinds.py and the committed `digits`. Every reply must be a 200 or a problem
document with a status 4xx. The address space of the process is limited, so that a large allocation fails.
"""

from __future__ import annotations

import asyncio
import io
import resource
import struct
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kinds import NAMES, mixed_rows
from tests.service.test_service_arrow import ARROW, fixed, stream
from vaekit_service.app import create_app
from vaekit_service.logs import make_log
from vaekit_service.settings import load

ROOM = 2 * 2**30  # bytes that the process may allocate once the service is ready
TIMES = (pa.timestamp("s"), pa.timestamp("ns", "Europe/Berlin"), pa.time64("us"), pa.date64(), pa.duration("ms"))
NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**40, 2**63 - 1, -(2**63))


def bodies() -> list[tuple[str, bytes]]:
    """(path, stream) of every accepted form, and of one that is refused."""
    rows = pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) for row in mixed_rows(12).tolist()])
    words, pixels = rows["colour"].combine_chunks(), np.zeros((2, 64), np.uint8)
    of_words = words.dictionary_encode()
    of_views = pa.DictionaryArray.from_arrays(of_words.indices, of_words.dictionary.cast(pa.string_view()))
    of_both = pa.chunked_array([of_words[:5], words[5:].dictionary_encode()])
    seconds = pa.array([None, *range(11)], pa.int64())
    odd = {"load": pa.decimal128(38, 20), "size": pa.float16(), "stops": pa.uint8(), "on": pa.float32()}
    odder = rows.select(list(odd)).cast(pa.schema(odd))
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels.reshape(2, 8, 8, 1))
    mixed = [
        *(rows.set_column(4, "colour", colour) for colour in (words, of_words, of_views, of_both)),
        *(
            odder.append_column("colour", colour)
            for colour in (words.cast(pa.large_string()), words.cast("string_view"))
        ),
        *(odder.append_column("colour", seconds.cast(kind)) for kind in TIMES),
    ]
    return [
        *(("/models/mixed/elbo", stream(table)) for table in mixed),
        ("/models/mixed/encode", stream(rows, compression="lz4")),
        ("/models/mixed/decode", stream(pa.table({"latents": fixed(np.zeros((3, 2)))}))),
        ("/models/digits/elbo", stream(pa.table({"pixels": fixed(pixels)}))),
        ("/models/digits/elbo", stream(pa.table({"pixels": tensor}))),
    ]


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    data = bytearray(body)
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    for _ in range(draw(st.integers(0, 2))):
        place = 4 * draw(st.integers(0, len(data) // 4 - 2))
        struct.pack_into("<q", data, place, draw(st.sampled_from(NUMBERS)))
    return bytes(data[: draw(st.integers(0, len(data)) | st.just(len(data)))])


async def start(models: Path, held: AsyncExitStack) -> httpx.AsyncClient:
    app = create_app(load(models=models, device="cpu"), make_log("json", "error", io.StringIO()))
    await held.enter_async_context(app.router.lifespan_context(app))
    await app.state.components.registry.settled.wait()
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://service")


def main(models: Path, examples: int) -> None:
    loop, held = asyncio.new_event_loop(), AsyncExitStack()
    http = loop.run_until_complete(start(models, held))
    seen: set[int] = set()

    def answered(path: str, body: bytes) -> None:
        reply: Any = loop.run_until_complete(http.post(path, content=body, headers=ARROW))
        seen.add(reply.status_code)
        if reply.status_code != 200:
            assert 400 <= reply.status_code < 500, reply.text
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.json()["status"] == reply.status_code

    some = bodies()
    for path, body in some:
        answered(path, body)
    limit()
    for path, body in some:
        try_many(body, examples, partial(answered, path))
    loop.run_until_complete(held.aclose())
    loop.close()
    print(*sorted(seen))


def try_many(body: bytes, examples: int, answered: Callable[[bytes], None]) -> None:
    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(body))
    def every(data: bytes) -> None:
        answered(data)

    every()


def limit() -> None:
    """Limit the address space of the process to its current size plus ROOM."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 80)
