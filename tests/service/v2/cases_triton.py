"""Cases of Triton's qa/L0_http that need no server in a certain state."""

from __future__ import annotations

import json
import zlib

import httpx

from tests.service.v2.cases import DIGITS, TRITON, Http, X, case, in_bytes, posted
from tests.service.v2.talk_v2 import BREAST, LENGTH, ROW, infer, outputs, packed, rows, tensor


@case(TRITON, "a raw body, length of the JSON 0", 200)
async def raw(http: Http) -> httpx.Response:
    reply = await posted(http, BREAST, X.tobytes(), inference_header_content_length="0")
    expected = outputs(await infer(http, BREAST, rows(X)))
    assert outputs(reply)["elbo"] == expected["elbo"]
    assert LENGTH in reply.headers
    return reply


@case(TRITON, "a raw body that is no whole number of rows", 400)
async def raw_part(http: Http) -> httpx.Response:
    return await posted(http, BREAST, X.tobytes()[:-1], inference_header_content_length="0")


@case(TRITON, "a raw body for a model of several inputs", 400)
async def raw_several(http: Http) -> httpx.Response:
    path = "/v2/models/breast-cancer.sample/infer"
    return await posted(http, path, b"\1\0\0\0\0\0\0\0", inference_header_content_length="0")


@case(TRITON, "a shape whose number of elements overflows 64 bits", 400)
async def overflow(http: Http) -> httpx.Response:
    return await infer(http, BREAST, tensor("inputs", [2**31 - 1] * 3, ROW))


@case(TRITON, "a shape whose number of bytes overflows 64 bits", 400)
async def byte_overflow(http: Http) -> httpx.Response:
    return await in_bytes(http, "FP64", [2**31 - 1, 2**31 - 1], X.tobytes())


@case(TRITON, "a size beyond 32 bits", 400)
async def size_overflow(http: Http) -> httpx.Response:
    return await infer(http, BREAST, tensor("inputs", [2**62, 30], ROW))


@case(TRITON, "a negative size", 400)
async def negative(http: Http) -> httpx.Response:
    return await infer(http, BREAST, tensor("inputs", [-1, 30], ROW))


def nested(depth: int) -> str:
    """A request with an unknown parameter of this depth."""
    deep = "[" * (depth - 2) + "]" * (depth - 2)  # inside the request and its parameters
    return json.dumps({"inputs": [rows(X)], "parameters": {"unknown": 0}}).replace('"unknown": 0', f'"unknown": {deep}')


@case(TRITON, "JSON of depth 120", 400)
async def too_deep(http: Http) -> httpx.Response:
    return await posted(http, BREAST, nested(120))


@case(TRITON, "JSON of depth 50", 200)
async def deep(http: Http) -> httpx.Response:
    return await posted(http, BREAST, nested(50))


@case(TRITON, "an output requested twice", 400)
async def twice(http: Http) -> httpx.Response:
    return await infer(http, BREAST, rows(X), outputs=[{"name": "elbo"}, {"name": "elbo"}])


@case(TRITON, "the index with a body nested 250,000 deep", 400)
async def deep_index(http: Http) -> httpx.Response:
    return await posted(http, "/v2/repository/index", "[" * 250_000)


@case(TRITON, "a length of the JSON of 99999999999, and the server lives on", 400)
async def long_header(http: Http) -> httpx.Response:
    reply = await posted(http, BREAST, b"{}", inference_header_content_length="99999999999")
    assert (await http.get("/v2/health/live")).json() == {"live": True}
    return reply


@case(TRITON, "a negative length of the JSON", 400)
async def negative_header(http: Http) -> httpx.Response:
    return await posted(http, BREAST, b"{}", inference_header_content_length="-1")


@case(TRITON, "a length of the JSON that is no number", 400)
async def header_of_text(http: Http) -> httpx.Response:
    return await posted(http, BREAST, b"{}", inference_header_content_length="two")


@case(TRITON, "a length of the JSON beyond the body", 400)
async def header_beyond(http: Http) -> httpx.Response:
    return await posted(http, BREAST, b"{}", inference_header_content_length="3")


@case(TRITON, "binary_data of one output against the default", 200)
async def one_in_bytes(http: Http) -> httpx.Response:
    wanted = [{"name": "elbo", "parameters": {"binary_data": False}}, {"name": "score"}]
    reply = await infer(http, BREAST, rows(X), outputs=wanted, parameters={"binary_data_output": True})
    head = json.loads(reply.content[: int(reply.headers[LENGTH])])
    assert ["data" in one for one in head["outputs"]] == [True, False]
    return reply


@case(TRITON, "one value too few", 400)
async def too_few(http: Http) -> httpx.Response:
    return await infer(http, BREAST, tensor("inputs", [1, 30], ROW[:-1]))


@case(TRITON, "two values too many", 400)
async def too_many(http: Http) -> httpx.Response:
    return await infer(http, BREAST, tensor("inputs", [1, 30], [*ROW, 1.0, 1.0]))


@case(TRITON, "bytes left over behind the tensors", 400)
async def left_over(http: Http) -> httpx.Response:
    body, headers = packed({"inputs": ("FP64", [1, 30], X.tobytes())})
    reply = await http.post(BREAST, content=body + b"\0", headers=headers)
    assert "unexpected additional input data" in reply.json()["error"]
    return reply


@case(TRITON, "too few bytes behind the JSON", 400)
async def too_short(http: Http) -> httpx.Response:
    body, headers = packed({"inputs": ("FP64", [1, 30], X.tobytes())})
    reply = await http.post(BREAST, content=body[:-1], headers=headers)
    assert "expecting 1 additional bytes" in reply.json()["error"]
    return reply


@case(TRITON, "a packed body of an unknown coding", 415)
async def unknown_coding(http: Http) -> httpx.Response:
    return await posted(http, BREAST, b"{}", content_encoding="br")


@case(TRITON, "a body packed with deflate", 200)
async def deflated(http: Http) -> httpx.Response:
    body = zlib.compress(json.dumps({"inputs": [rows(X)]}).encode())
    return await posted(http, BREAST, body, content_encoding="deflate")


@case(TRITON, "shared memory", 501)
async def shared_memory(http: Http) -> httpx.Response:
    region = {"name": "inputs", "shape": [1, 30], "datatype": "FP64", "parameters": {"shared_memory_region": "r"}}
    return await infer(http, BREAST, region)


@case(TRITON, "a request of a sequence", 501)
async def sequence(http: Http) -> httpx.Response:
    return await infer(http, BREAST, rows(X), parameters={"sequence_id": 7, "sequence_start": True})


@case(TRITON, "classification of an output", 501)
async def classification(http: Http) -> httpx.Response:
    return await infer(http, BREAST, rows(X), outputs=[{"name": "elbo", "parameters": {"classification": 2}}])


@case(TRITON, "a parameter whose name begins with triton_", 400)
async def reserved(http: Http) -> httpx.Response:
    return await infer(http, BREAST, rows(X), parameters={"triton_enable_empty_final_response": True})


@case(TRITON, "parameters that nobody knows", 200)
async def unknown_parameters(http: Http) -> httpx.Response:
    return await infer(http, BREAST, {**rows(X), "parameters": {"content_type": "np"}}, parameters={"header": "x"})


@case(TRITON, "an unknown model", 404)
async def unknown(http: Http) -> httpx.Response:
    reply = await infer(http, "/v2/models/x/infer", rows(X))
    assert reply.json() == {"error": "Request for unknown model: 'x' is not found"}
    return reply


@case(TRITON, "an unknown path below /v2", 404)
async def unknown_path(http: Http) -> httpx.Response:
    return await http.get("/v2/nothing")


@case(TRITON, "a wrong method", 405)
async def wrong_method(http: Http) -> httpx.Response:
    return await http.get(BREAST)


@case(TRITON, "settings of logs and traces", 501)
async def settings(http: Http) -> httpx.Response:
    assert (await http.post("/v2/logging", content=b"{}")).status_code == 501
    assert (await http.get("/v2/models/breast-cancer/trace/setting")).status_code == 501
    return await http.get("/v2/trace/setting")


@case(TRITON, "JSON that is cut off", 400)
async def cut_off(http: Http) -> httpx.Response:
    return await posted(http, BREAST, '{"inputs": [')


@case(TRITON, "an unknown input", 400)
async def unknown_input(http: Http) -> httpx.Response:
    return await infer(http, DIGITS, tensor("other", [1, 8, 8, 1], [0] * 64, "UINT8"))


@case(TRITON, "an unknown output", 400)
async def unknown_output(http: Http) -> httpx.Response:
    return await infer(http, BREAST, rows(X), outputs=[{"name": "other"}])
