"""Cases of the tests of Triton, KServe, OpenVINO Model Server and MLServer, which need no server in a certain state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.service.v2 import cases_others, cases_triton  # noqa: F401  they add their cases
from tests.service.v2.cases import CASES, Case

pytestmark = pytest.mark.anyio


def test_no_case_is_there_twice() -> None:
    names = [(one.source, one.name) for one in CASES]
    assert len(set(names)) == len(names) > 50


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"{one.source}: {one.name}")
async def test_a_case_of_another_project_is_answered_as_the_reference_says(service: Any, one: Case) -> None:
    reply = await one.ask(service.http)
    assert reply.status_code == one.status, reply.text
    if one.status == 200:
        return
    assert reply.headers["content-type"] == "application/json"
    assert "content-encoding" not in reply.headers
    error = json.loads(reply.content)
    assert list(error) == ["error"]
    assert isinstance(error["error"], str)
    assert error["error"]
