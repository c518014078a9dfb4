"""Cases of KServe, OpenVINO Model Server, MLServer and reports of others that need no server in a certain state."""

from __future__ import annotations

import json

import httpx
import numpy as np

from tests.service.v2.cases import DIGITS, ENCODE, KSERVE, MLSERVER, OVMS, TRAP, Http, X, case, in_bytes, posted
from tests.service.v2.talk_v2 import BREAST, LENGTH, ROW, elements, infer, outputs, rows, tensor

# KServe, python/kserve/test/test_server.py


@case(KSERVE, "the list of models", 200)
async def models(http: Http) -> httpx.Response:
    reply = await http.get("/v2/models")
    assert {"breast-cancer", "breast-cancer.encode", "digits.sample"} <= set(reply.json()["models"])
    return reply


@case(KSERVE, "FP16 in JSON", 400)
async def fp16_in_json(http: Http) -> httpx.Response:
    return await infer(http, BREAST, rows(X, "FP16"))


@case(KSERVE, "FP16 in bytes", 200)
async def fp16_in_bytes(http: Http) -> httpx.Response:
    reply = await in_bytes(http, "FP16", [1, 30], X.astype("<f2").tobytes())
    assert outputs(reply)["elbo"] == outputs(await infer(http, BREAST, rows(X)))["elbo"]
    return reply


@case(KSERVE, "BF16 in bytes", 200)
async def bf16_in_bytes(http: Http) -> httpx.Response:
    halves = (X.astype("<f4").view("<u4") >> 16).astype("<u2")
    reply = await in_bytes(http, "BF16", [1, 30], halves.tobytes())
    assert outputs(reply)["elbo"] == outputs(await infer(http, BREAST, rows(X)))["elbo"]
    return reply


# OpenVINO Model Server, src/test/kfs_rest_*


@case(OVMS, "bytes without binary_data_size", 200)
async def without_size(http: Http) -> httpx.Response:
    head = json.dumps({"inputs": [{"name": "inputs", "shape": [1, 30], "datatype": "FP64"}]}).encode()
    reply = await posted(http, BREAST, head + X.tobytes(), inference_header_content_length=str(len(head)))
    assert outputs(reply)["elbo"] == outputs(await infer(http, BREAST, rows(X)))["elbo"]
    return reply


@case(OVMS, "no rows, a shape [0, D]", 200)
async def no_rows(http: Http) -> httpx.Response:
    reply = await infer(http, BREAST, tensor("inputs", [0, 30], []))
    assert all(one["shape"] == [0] and one["data"] == [] for one in reply.json()["outputs"])
    in_bytes_too = await in_bytes(http, "FP64", [0, 30], b"", parameters={"binary_data_output": True})
    assert outputs(in_bytes_too)["elbo"].shape == (0,)
    return reply


@case(OVMS, "scalars, a shape []", 200)
async def scalars(http: Http) -> httpx.Response:
    path = "/v2/models/breast-cancer.sample/infer"
    reply = await infer(http, path, tensor("n", [], [2], "INT64"), tensor("seed", [], [5], "UINT32"))
    assert outputs(reply)["samples"].shape == (2, 30)
    return reply


@case(OVMS, "data and binary_data_size in one input", 400)
async def data_and_bytes(http: Http) -> httpx.Response:
    head = json.dumps({"inputs": [rows(X, binary_data_size=240)]}).encode()
    return await posted(http, BREAST, head + X.tobytes(), inference_header_content_length=str(len(head)))


@case(OVMS, "a fraction in UINT32", 400)
async def fraction(http: Http) -> httpx.Response:
    return await infer(http, BREAST, tensor("inputs", [1, 30], [1.5] * 30, "UINT32"))


@case(OVMS, "a negative number in UINT32", 400)
async def negative_unsigned(http: Http) -> httpx.Response:
    return await infer(http, BREAST, tensor("inputs", [1, 30], [-1] * 30, "UINT32"))


@case(OVMS, "integers in BOOL", 400)
async def integers_in_bool(http: Http) -> httpx.Response:
    return await infer(http, BREAST, tensor("inputs", [1, 30], [1] * 30, "BOOL"))


@case(OVMS, "binary_data_size that overflows the offset", 400)
async def offset_overflow(http: Http) -> httpx.Response:
    big = {"name": "inputs", "shape": [1, 30], "datatype": "FP64", "parameters": {"binary_data_size": 2**63 - 1}}
    head = json.dumps({"inputs": [big]}).encode()
    return await posted(http, BREAST, head + X.tobytes(), inference_header_content_length=str(len(head)))


@case(OVMS, "a negative binary_data_size", 400)
async def negative_size(http: Http) -> httpx.Response:
    small = {"name": "inputs", "shape": [1, 30], "datatype": "FP64", "parameters": {"binary_data_size": -1}}
    head = json.dumps({"inputs": [small]}).encode()
    return await posted(http, BREAST, head + X.tobytes(), inference_header_content_length=str(len(head)))


@case(OVMS, "a length of an element of BYTES beyond the tensor", 400)
async def element_overflow(http: Http) -> httpx.Response:
    return await in_bytes(http, "BYTES", [1], b"\xff\xff\xff\xff", DIGITS)


@case(OVMS, "an escaped path", 200)
async def escaped(http: Http) -> httpx.Response:
    return await http.get("/v2/models/breast%2Dcancer/ready")


@case(OVMS, "an escaped slash in a name", 404)
async def escaped_slash(http: Http) -> httpx.Response:
    return await http.get("/v2/models/a%2Fb/ready")


# MLServer, tests/rest


@case(MLSERVER, "paths with and without a version", 200)
async def versions(http: Http) -> httpx.Response:
    for what in ("", "/ready", "/config", "/stats"):
        assert (await http.get(f"/v2/models/breast-cancer/versions/1{what}")).status_code == 200
        assert (await http.get(f"/v2/models/breast-cancer{what}")).status_code == 200
    assert (await http.get("/v2/models/breast-cancer/versions/9/ready")).status_code == 404
    return await infer(http, "/v2/models/breast-cancer/versions/1/infer", rows(X))


# Traps: reports of others


@case(TRAP, "no id, or null: the reply has none (kserve#3094)", 200)
async def no_id(http: Http) -> httpx.Response:
    assert "id" not in (await infer(http, BREAST, rows(X))).json()
    assert (await infer(http, BREAST, rows(X), id="7")).json()["id"] == "7"
    reply = await infer(http, BREAST, rows(X), id=None)
    assert "id" not in reply.json()
    return reply


@case(TRAP, "NaN in JSON (MLServer#1154)", 400)
async def nan_in_json(http: Http) -> httpx.Response:
    reply = await infer(http, BREAST, rows(np.full((1, 30), np.nan)))
    assert "NaN and Infinity are not JSON" in reply.json()["error"]
    return reply


@case(TRAP, "null among numbers: a missing cell", 200)
async def null_among_numbers(http: Http) -> httpx.Response:
    reply = await infer(http, BREAST, tensor("inputs", [1, 30], [None, *ROW[1:]]))
    assert json.loads(outputs(reply)["novel"][0]) == ["mean radius"]  # no training row lacked it
    return reply


@case(TRAP, "JSON input, output in bytes, no length header", 200)
async def json_in_bytes_out(http: Http) -> httpx.Response:
    reply = await infer(http, BREAST, rows(X), parameters={"binary_data_output": True})
    assert LENGTH in reply.headers
    return reply


@case(TRAP, "a table of integers", 200)
async def integers(http: Http) -> httpx.Response:
    reply = await infer(http, BREAST, tensor("inputs", [1, 30], [1] * 30, "INT32"))
    assert outputs(reply)["elbo"] == outputs(await infer(http, BREAST, rows(X)))["elbo"]
    return reply


@case(TRAP, "BYTES for a table of numbers", 400)
async def bytes_for_numbers(http: Http) -> httpx.Response:
    return await in_bytes(http, "BYTES", [1, 30], elements([b"1.0"] * 30), ENCODE)
