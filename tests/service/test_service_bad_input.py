"""Error replies to bad JSON bodies, headers and paths. test_service_bad_arrays.py has those to images and arrays."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

ROW = ", ".join(["1.0"] * 30)


def with_cell(text: str) -> str:
    """A body of two rows; the fourth value of the second row is `text`."""
    cells = ["1.0"] * 30
    cells[3] = text
    return f'{{"inputs": [[{ROW}], [{", ".join(cells)}]]}}'


def strictly(body: str) -> str:
    return body[:-1] + ', "strict": true}'


VECTOR = {
    "a row too narrow": ('{"inputs": [[1, 2, 3]]}', 422, "row 0: 3 values, expected 30"),
    "a ragged batch": (f'{{"inputs": [[{ROW}], [{ROW}, 1]]}}', 422, "row 1: 31 values, expected 30"),
    "NaN": (with_cell("NaN"), 422, "row 1, feature 'mean area': not finite: NaN"),
    "1e999": (with_cell("1e999"), 422, "row 1, feature 'mean area': not finite: Infinity"),
    "null, strictly": (strictly(with_cell("null")), 422, "row 1, feature 'mean area': missing"),
    "a string": (with_cell('"1.5"'), 422, "row 1, feature 'mean area': not a number: '1.5'"),
    "a nested list": (with_cell("[1]"), 422, "row 1, feature 'mean area': not a number: a list"),
    "an integer of 400 digits": (with_cell("9" * 400), 422, "row 1, feature 'mean area': not finite: 999"),
    "an empty batch": ('{"inputs": []}', 422, "inputs: no rows"),
    "no inputs": ("{}", 422, 'inputs: missing: the body is an empty object; expected {"inputs": [[30 values], ...]}'),
    "another name": ('{"rows": [[1]]}', 422, "missing: the body has 'rows'; expected {\"inputs\": [[30 values], ...]}"),
    "a row as the body": (f'{{"mean radius": 1, "{"x" * 99}": 2}}', 422, "missing: the body has 'mean radius', 'xxxxx"),
    "a list for a body": ("[[1]]", 422, "body: not an object: a list"),
    "a row of numbers": (
        '{"inputs": [1, 2]}',
        422,
        "inputs: expected a list of rows, each an object by column name or",
    ),
    "a row of text and numbers": ('{"inputs": ["app", 2]}', 422, "if this is one row, wrap it in []"),
    "rows, then a number": (f'{{"inputs": [[{ROW}], 2]}}', 422, "row 1: not a list: 2"),
    "an unknown field": (f'{{"inputs": [[{ROW}]], "imputs": 1}}', 422, "imputs: unknown field"),
    "truncated JSON": (f'{{"inputs": [[{ROW}', 400, "not JSON"),
    "an empty body": ("", 400, "not JSON: the body is empty"),
    "100,000 brackets": ("[" * 100_000, 400, "not JSON: recursion limit"),
    "100,000 brackets inside": ('{"inputs": ' + "[" * 100_000, 400, "not JSON: recursion limit"),
    "bytes that are not UTF-8": (b"\xff\xfe\x00", 400, "not JSON"),
    "num_samples of one": (f'{{"inputs": [[{ROW}]], "num_samples": 1}}', 422, "num_samples: should be greater"),
    "num_samples beyond K_max": (f'{{"inputs": [[{ROW}]], "num_samples": 257}}', 422, "257 is not between 2 and 256"),
    "a seed beyond 2**53": (f'{{"inputs": [[{ROW}]], "seed": 9007199254740992}}', 422, "seed: should be less"),
    "alpha of one": (f'{{"inputs": [[{ROW}]], "alpha": 1}}', 422, "alpha: should be less than 1"),
    "fdr of one": (f'{{"inputs": [[{ROW}]], "fdr": 1}}', 422, "fdr: should be less than 1"),
    "alpha of zero": (f'{{"inputs": [[{ROW}]], "alpha": 0}}', 422, "alpha: should be greater than 0"),
    "features as a number": (f'{{"inputs": [[{ROW}]], "features": 1}}', 422, "features: not true or false: 1"),
}


@pytest.mark.parametrize("case", VECTOR)
async def test_a_bad_body_gets_an_error_that_names_the_row_and_the_feature(service: Any, case: str) -> None:
    body, status, detail = VECTOR[case]
    reply = await service.post("/elbo", body)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    assert detail in reply.json()["detail"]


async def test_a_bad_row_by_column_name_gets_an_error_that_names_the_feature(service: Any, breast_cancer: Any) -> None:
    good = dict.fromkeys(breast_cancer.spec.names, 1.0)
    cases = [
        ([good, {**good, **{f"c{i}": 1 for i in range(1001)}}], "row 1: 1001 columns that the model does not have"),
        ([dict.fromkeys(list(good)[1:], 1.0)], "row 0, feature 'mean radius': missing"),
        ([{**good, "mean area": "1.5"}], "row 0, feature 'mean area': not a number: '1.5'"),
        ([good, [1.0] * 30], "row 1: not an object by column name like the rows before it: a list"),
        ([[1.0] * 30, good], "row 1: not a list: an object"),
    ]
    for inputs, detail in cases:
        reply = await service.post("/elbo", {"inputs": inputs})
        assert reply.status_code == 422
        assert reply.json()["detail"].startswith(detail)


async def test_bad_latents_get_an_error_that_names_the_latent(service: Any) -> None:
    for latents, detail in [
        ([[0.0] * 7], "row 0: 7 latents, expected 8"),
        ([[0.0] * 8, [0.0] * 7 + [None]], "row 1, latent 7: not a number: null"),
        ([[1e7] * 8], "row 0, latent 0: not within +-1e+06"),
    ]:
        reply = await service.post("/decode", {"latents": latents})
        assert (reply.status_code, reply.json()["detail"][: len(detail)]) == (422, detail)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"n": 0}, "n: should be greater than or equal to 1"),
        ({"n": 10_001}, "n: 10001 is not between 1 and 10000"),
        ({"n": 1, "temperature": -1}, "temperature: should be greater"),
        ({"n": 1, "observe": "yes"}, "observe: not true or false"),
        ({}, "n: missing"),
    ],
)
async def test_bad_options_of_sample_get_an_error_that_names_the_option(
    service: Any, body: dict[str, Any], detail: str
) -> None:
    reply = await service.post("/sample", body)
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith(detail)


async def test_options_of_a_json_request_in_the_query_are_refused(service: Any) -> None:
    reply = await service.post("/elbo?num_samples=4", {"inputs": [[1.0] * 30]})
    assert reply.status_code == 422
    assert "num_samples" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/elbo", {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("/elbo", {"content-type": "text/plain"}, 415),
        ("/elbo", {}, 415),
        ("/elbo", {"content-type": "application/json; charset=latin-1"}, 415),
        ("/elbo", {"content-type": "application/json; foo=bar; charset=latin1"}, 415),
        ("/elbo", {"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ("/sample", {"content-type": "application/x-npy"}, 415),
        ("/elbo", {"content-type": "application/json", "accept": "text/html"}, 406),
        ("/elbo", {"content-type": "application/json", "accept": "application/json;q=0"}, 406),
    ],
)
async def test_an_unsupported_content_type_or_reply_type_is_refused(
    service: Any, path: str, headers: dict[str, str], status: int
) -> None:
    reply = await service.http.post(path, content=b"{}", headers=headers)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")


class Unread(httpx.AsyncByteStream):
    """A body that fails the test if it is read."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""


async def test_a_body_of_ten_gigabytes_is_refused_before_it_is_read(service: Any) -> None:
    headers = {"content-type": "application/json", "content-length": str(10 * 2**30)}
    reply = await service.http.post("/elbo", content=Unread(), headers=headers)
    assert (reply.status_code, reply.headers["connection"]) == (413, "close")


async def test_an_endless_body_is_refused_at_the_size_limit(start: Any, models_dir: Any) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 2**16
            yield b"1," * 2**15

    headers = {"content-type": "application/json"}
    async with start(models_dir, default_model="breast-cancer", max_body_bytes=2**20) as service:
        reply = await service.http.post("/elbo", content=endless(), headers=headers)
        assert (reply.status_code, sent) == (413, 2**20 + 2**16)
        assert service.components.memory.held == 0


async def test_a_body_that_does_not_arrive_in_time_is_a_408(start: Any, models_dir: Any) -> None:
    import asyncio

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"inputs": '
        await asyncio.Event().wait()

    headers = {"content-type": "application/json"}
    async with start(models_dir, default_model="breast-cancer", body_seconds=0.01) as service:
        reply = await service.http.post("/elbo", content=stalled(), headers=headers)
        assert (reply.status_code, reply.headers["connection"]) == (408, "close")


async def test_a_request_over_the_limits_is_too_large(start: Any, models_dir: Any) -> None:
    rows = [[1.0] * 30] * 5
    async with start(models_dir, default_model="breast-cancer", max_rows=4) as service:
        assert (await service.post("/elbo", {"inputs": rows})).status_code == 413
        assert (await service.post("/elbo", {"inputs": rows[:4]})).status_code == 200
    async with start(models_dir, default_model="breast-cancer", max_work=30 * 16 * 4) as service:
        assert (await service.post("/elbo", {"inputs": rows})).status_code == 413
        assert (await service.post("/elbo", {"inputs": rows, "num_samples": 8})).status_code == 200


async def test_very_many_unknown_fields_get_one_short_error(service: Any) -> None:
    body = json.dumps({f"field {i}": 1 for i in range(100_000)})
    reply = await service.post("/elbo", body)
    assert reply.status_code == 422
    assert reply.json()["detail"] == "body: 100001 unknown fields; /docs lists the fields of each operation"


@pytest.mark.parametrize(
    "path",
    [
        "/models/nobody/elbo",
        "/models/Breast-Cancer/elbo",
        "/models/..%2fbreast-cancer/elbo",
        "/models/%2e%2e/elbo",
        "/models/breast-cancer%00/elbo",
        "/models/breast-cancer/versions/0/elbo",
        "/models/breast-cancer/versions/01/elbo",
        "/models/breast-cancer/versions/-1/elbo",
        "/models/breast-cancer/versions/latest/elbo",
        "/models/breast-cancer/versions/99999999999999999999/elbo",
    ],
)
async def test_an_unknown_model_or_version_is_a_404_that_lists_the_known_ones(service: Any, path: str) -> None:
    reply = await service.post(path, {"inputs": [[1.0] * 30]})
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")
    listed = "versions: 1" if "versions" in path else "breast-cancer, digits"
    assert listed in reply.json()["detail"]


async def test_an_unsupported_method_is_a_405_problem(service: Any) -> None:
    reply = await service.http.get("/elbo")
    assert (reply.status_code, set(reply.headers["allow"].split(", "))) == (405, {"POST", "PUT"})
    assert reply.json()["status"] == 405
    assert (await service.http.post("/elbo/")).status_code == 404
