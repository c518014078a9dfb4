"""Bodies and replies of CSV and NDJSON, for tests."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx


async def send(
    service: Any, path: str, body: str | bytes, kind: str, accept: str, status: int = 200, **more: Any
) -> httpx.Response:
    headers = {"content-type": kind, "accept": accept}
    reply: httpx.Response = await service.http.post(path, content=body, headers=headers, **more)
    assert reply.status_code == status, reply.text
    assert status != 200 or reply.headers["content-type"] == accept
    return reply


def csv_of(rows: Any, names: Any = None) -> str:
    file = io.StringIO()
    lines = csv.writer(file, lineterminator="\n")
    lines.writerows([*([] if names is None else [names]), *rows])
    return file.getvalue()


def ndjson_of(rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def records(reply: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reply.text)))


def objects(reply: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in reply.text.splitlines()]
