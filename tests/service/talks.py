"""A service on a socket, and requests whose bodies are sent in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.service.conftest import Run, Running
from tests.talk import SECONDS, Served, serving

ROW = b"[" + b",".join([b"1.5"] * 30) + b"]\n"
HEAD = "\r\n".join(
    [
        "POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: {kind}",
        "accept: {kind}",
        "transfer-encoding: chunked",
        "",
        "",
    ]
)
NDJSON, CSV = "application/x-ndjson", "text/csv"


@asynccontextmanager
async def streaming(start: Run, models_dir: Path, **settings: Any) -> AsyncIterator[tuple[Running, Served]]:
    """A service behind its own protocol, on a socket."""
    async with (
        start(models_dir, default_model="breast-cancer", **settings) as service,
        serving(service.app) as served,
    ):
        yield service, served


class Talk:
    """One request whose body is sent in pieces."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def begin(cls, served: Served, path: str = "/elbo", kind: str = NDJSON) -> Talk:
        reader, writer = await served.open()
        writer.write(HEAD.format(path=path, kind=kind).encode())
        return cls(reader, writer)

    async def say(self, piece: bytes) -> None:
        self.writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        await self.writer.drain()

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")

    async def head(self) -> dict[str, str]:
        top = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SECONDS)
        status, *lines = top.decode().split("\r\n")[:-2]
        return {"status": status[9:12], **dict(line.split(": ", 1) for line in lines)}

    async def chunk(self) -> bytes | None:
        """The next chunk of the reply, b'' at its end; None if the connection ends without it."""
        size = await asyncio.wait_for(self.reader.readline(), SECONDS)
        if not size:
            return None
        part = await asyncio.wait_for(self.reader.readexactly(int(size, 16) + 2), SECONDS)
        return part[:-2]

    async def rest(self) -> tuple[bytes, bool]:
        """All that is left of the reply, and whether it is complete."""
        parts = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts), part is not None
