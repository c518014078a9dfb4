"""Unpacks request bodies and packs replies: gzip, and deflate, which is zlib's format (RFC 9110, section 8.4.1)."""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import Executor

from vaekit_service.engine.limits import Reservation
from vaekit_service.errors import MediaType, Unparsable
from vaekit_service.messages import Body

_BITS = {"gzip": 31, "deflate": 15}  # wbits of zlib
_STEP = 256 * 1024  # bytes that are unpacked before the limits are checked again
_LARGE = 64 * 1024  # bytes; more are handled in a thread
_LEVEL = 1  # bodies are numbers: higher levels take several times as long for a few percent


def coding_of(content_encoding: bytes | None) -> str | None:
    """The coding of a request body; None: it is not packed.

    Raises:
        MediaType: another coding than gzip, deflate and identity.
    """
    if content_encoding is None:
        return None
    coding = content_encoding.decode("latin-1").strip().lower()
    if coding in ("", "identity"):
        return None
    if coding not in _BITS:
        raise MediaType(f"content-encoding {coding[:40]!r}: not supported; send gzip, deflate or identity")
    return coding


def reply_coding(accept_encoding: bytes | None) -> str | None:
    """The coding of the reply; None: it is not packed. Only a caller that accepts one coding alone asked for it."""
    wanted = (accept_encoding or b"").decode("latin-1").strip().lower()
    return wanted if wanted in _BITS else None


async def unpacked(body: Body, coding: str, memory: Reservation, pool: Executor) -> Body:
    """The unpacked body. Memory is reserved as it grows, so a small body cannot claim much.

    Raises:
        Unparsable: the body is not of this coding, or does not end where its data end.
        TooLarge, Overloaded: see Reservation.
    """
    whole, stream, loop = bytearray(), zlib.decompressobj(_BITS[coding]), asyncio.get_running_loop()
    for at in range(0, len(body), _LARGE):
        rest = bytes(body[at : at + _LARGE])
        while rest:
            if max(len(body), len(whole)) > _LARGE:  # a small body may become a large one
                part = await loop.run_in_executor(pool, _step, stream, rest, coding)
            else:
                part = _step(stream, rest, coding)
            memory.check_body(len(whole) + len(part))
            memory.hold(len(body) + len(whole) + len(part))
            whole += part
            rest = stream.unconsumed_tail
    if not stream.eof:
        raise Unparsable(f"body: the {coding} data end too early")
    return whole


def _step(stream: zlib._Decompress, data: bytes, coding: str) -> bytes:
    try:
        part = stream.decompress(data, _STEP)
    except zlib.error as exc:
        raise Unparsable(f"body: not {coding} data: {exc}") from None
    if stream.unused_data:
        raise Unparsable(f"body: bytes are left over behind the {coding} data")
    return part


async def packed(content: bytes, coding: str, pool: Executor) -> bytes:
    """A packed reply."""
    if len(content) <= _LARGE:
        return _packed(content, coding)
    return await asyncio.get_running_loop().run_in_executor(pool, _packed, content, coding)


def _packed(content: bytes, coding: str) -> bytes:
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _BITS[coding])
    return stream.compress(content) + stream.flush()
