"""Calls a service with KServe's client, in its own environment: python kserve_client.py URL KEY EXPECTED.json"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

URL, KEY, EXPECTED = sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
HEADERS = {"Authorization": f"Bearer {KEY}"}
ROWS = np.array(EXPECTED["rows"])  # (3, 30)
MODEL = "breast-cancer"
Client = InferenceRESTClient


def request(a: np.ndarray, datatype: str, *, binary: bool, name: str = "inputs", **more: object) -> InferRequest:
    given = InferInput(name, list(a.shape), datatype)
    given.set_data_from_numpy(a, binary_data=binary)
    return InferRequest(MODEL, [given], **more)


async def check_health(client: Client) -> None:
    assert await client.is_server_live(URL, headers=HEADERS) is True
    assert await client.is_server_ready(URL, headers=HEADERS) is True
    assert await client.is_model_ready(URL, MODEL, headers=HEADERS)
    assert not await client.is_model_ready(URL, "nothing", headers=HEADERS)


async def check_infer(client: Client) -> None:
    for binary in (False, True):
        for datatype, dtype in (("FP64", np.float64), ("FP32", np.float32)):
            asked = request(ROWS.astype(dtype), datatype, binary=binary)
            reply = await client.infer(URL, asked, MODEL, dict(HEADERS))
            found = {one.name: one.as_numpy() for one in reply.outputs}
            np.testing.assert_allclose(found["elbo"], EXPECTED["elbo"], rtol=1e-6)
            assert found["is_anomaly"].dtype == np.bool_
            assert reply.model_name == MODEL
            assert reply.id  # the client sends one of its own


async def check_outputs_in_bytes(client: Client) -> None:
    wanted = [RequestedOutput("score", parameters={"binary_data": True}), RequestedOutput("novel")]
    asked = request(ROWS, "FP64", binary=True, request_outputs=wanted, parameters={"alpha": 0.3})
    reply = await client.infer(URL, asked, MODEL, dict(HEADERS))
    assert [one.name for one in reply.outputs] == ["score", "novel"]
    np.testing.assert_allclose(reply.outputs[0].as_numpy(), -np.array(EXPECTED["elbo"]), rtol=1e-6)
    assert reply.parameters["alpha"] == 0.3


async def check_dict_without_id(client: Client) -> None:
    tensor = {"name": "inputs", "shape": [3, 30], "datatype": "FP64", "data": ROWS.tolist()}
    reply = await client.infer(URL, {"inputs": [tensor]}, MODEL, dict(HEADERS))
    np.testing.assert_allclose(reply.outputs[0].as_numpy(), EXPECTED["elbo"], rtol=1e-6)


async def check_half_precision(client: Client) -> None:
    reply = await client.infer(URL, request(ROWS.astype(np.float16), "FP16", binary=True), MODEL, dict(HEADERS))
    assert reply.outputs[0].as_numpy().shape == (3,)


async def check_images(client: Client) -> None:
    files = np.array([bytes.fromhex(text) for text in EXPECTED["files"]], dtype=np.object_)
    reply = await client.infer(URL, request(files, "BYTES", binary=True), "digits", dict(HEADERS))
    np.testing.assert_allclose(reply.outputs[0].as_numpy(), EXPECTED["image_elbo"], rtol=1e-6)


async def check_errors(client: Client) -> None:
    for model, width, status, words in ((MODEL, 29, 400, "expected numbers"), ("x", 30, 404, "unknown model: 'x'")):
        try:
            await client.infer(URL, request(ROWS[:, :width].copy(), "FP64", binary=False), model, dict(HEADERS))
            raise AssertionError(f"{words}: not refused")
        except httpx.HTTPStatusError as exc:
            found = exc
        assert (found.response.status_code, words in str(found)) == (status, True), found


async def main() -> None:
    async with Client(RESTConfig(protocol="v2")) as connected:
        for name, check in list(globals().items()):
            if name.startswith("check_"):
                await check(connected)
                print(name)


if __name__ == "__main__":
    asyncio.run(main())
