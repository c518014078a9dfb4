"""Writes infer requests of the Open Inference Protocol and reads their replies, independently of the service's code."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

LENGTH = "inference-header-content-length"
DTYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
ROW = [1.0] * 30
BREAST = "/v2/models/breast-cancer/infer"


def tensor(name: str, shape: list[int], data: Any, datatype: str = "FP64", **parameters: Any) -> dict[str, Any]:
    """An input with its values in the JSON."""
    given = {"parameters": parameters} if parameters else {}
    return {"name": name, "shape": shape, "datatype": datatype, **given, "data": data}


def rows(x: Any, datatype: str = "FP64", **parameters: Any) -> dict[str, Any]:
    """The input `inputs` in the JSON, flat."""
    a = np.asarray(x)
    return tensor("inputs", list(a.shape), a.reshape(-1).tolist(), datatype, **parameters)


def elements(values: list[bytes]) -> bytes:
    """BYTES behind the JSON."""
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def packed(inputs: Mapping[str, tuple[str, list[int], bytes]], **more: Any) -> tuple[bytes, dict[str, str]]:
    """(body, headers) of a request whose inputs, (datatype, shape, bytes) by name, are behind the JSON."""
    listed = [
        {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, (kind, shape, data) in inputs.items()
    ]
    head = json.dumps({"inputs": listed, **more}).encode()
    return head + b"".join(data for _, _, data in inputs.values()), {LENGTH: str(len(head))}


async def infer(http: httpx.AsyncClient, path: str, *inputs: dict[str, Any], **more: Any) -> httpx.Response:
    """Send inputs as JSON."""
    return await http.post(path, content=json.dumps({"inputs": list(inputs), **more}))


def outputs(reply: httpx.Response) -> dict[str, NDArray[Any]]:
    """The outputs of a reply by name, from JSON or from bytes; BYTES as objects."""
    assert reply.status_code == 200, reply.text
    length = reply.headers.get(LENGTH)
    head = json.loads(reply.content if length is None else reply.content[: int(length)])
    assert (reply.headers["content-type"] == "application/octet-stream") == (length is not None)
    tail = b"" if length is None else reply.content[int(length) :]
    found = {}
    for one in head["outputs"]:
        if "data" in one:
            dtype = object if one["datatype"] == "BYTES" else DTYPES[one["datatype"]]
            found[one["name"]] = np.array(one["data"], dtype=dtype).reshape(one["shape"])
            continue
        data, tail = tail[: one["parameters"]["binary_data_size"]], tail[one["parameters"]["binary_data_size"] :]
        found[one["name"]] = values(data, one["datatype"]).reshape(one["shape"])
    assert not tail
    return found


def values(data: bytes, datatype: str) -> NDArray[Any]:
    if datatype != "BYTES":
        return np.frombuffer(data, DTYPES[datatype])
    found = []
    while data:
        end = 4 + struct.unpack("<I", data[:4])[0]
        found.append(data[4:end].decode())
        data = data[end:]
    return np.array(found, dtype=object)


def refused(reply: Any, status: int) -> str:
    """The message of an error of the protocol."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json()) == ["error"]
    return str(reply.json()["error"])
