"""Reads the files of the page once, with what their replies need: type, ETag and a compressed copy."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page."""

    media_type: str
    etag: str
    content: bytes
    compressed: bytes  # gzip


@cache
def page_files() -> dict[str, PageFile]:
    """The files that are served, by their path below static/. Licences and notes are not."""
    paths = sorted(path for path in STATIC.rglob("*") if path.suffix in _TYPES)
    return {path.relative_to(STATIC).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(_TYPES[path.suffix], etag, content, gzip.compress(content, mtime=0))
