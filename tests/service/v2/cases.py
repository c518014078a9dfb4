"""What a case of another project's tests of the Open Inference Protocol is: its source, its name and our status.

cases_triton.py and cases_others.py have those that need no server in a certain state; the tests beside them have the
others. docs/reference/v2.md lists all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import httpx
import numpy as np

from tests.service.v2.talk_v2 import BREAST, ROW, packed

Http = httpx.AsyncClient
Ask = Callable[[Http], Awaitable[httpx.Response]]
Test = TypeVar("Test")

TRITON, KSERVE, OVMS, MLSERVER, TRAP = "Triton L0_http", "KServe test_server", "OVMS kfs_rest", "MLServer rest", "trap"
DIGITS = "/v2/models/digits/infer"
ENCODE = "/v2/models/breast-cancer.encode/infer"
X = np.array([ROW], dtype="<f8")


class Case(NamedTuple):
    source: str
    name: str
    status: int  # that we answer
    ask: Ask


CASES: list[Case] = []


def case(source: str, name: str, status: int) -> Callable[[Ask], Ask]:
    """Add a case that is one request, or a few."""

    def add(ask: Ask) -> Ask:
        CASES.append(Case(source, name, status, ask))
        return ask

    return add


def case_of(source: str, name: str, status: int) -> Callable[[Test], Test]:  # noqa: ARG001  the reference is compared
    """Name the case that a test is of."""
    return lambda test: test


async def posted(http: Http, path: str, body: bytes | str, **headers: str) -> httpx.Response:
    """POST a body with headers whose names have underscores here."""
    return await http.post(path, content=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


async def in_bytes(http: Http, kind: str, shape: list[int], data: bytes, path: str = BREAST, **more: Any) -> Any:
    """Send the input `inputs` in bytes."""
    body, headers = packed({"inputs": (kind, shape, data)}, **more)
    return await http.post(path, content=body, headers=headers)
