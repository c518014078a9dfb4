"""Calls a service with tritonclient.http.aio, in its own environment: python triton_aio.py URL KEY EXPECTED.json"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http.aio as triton
from tritonclient.utils import InferenceServerException

URL, KEY, EXPECTED = sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
HEADERS = {"Authorization": f"Bearer {KEY}"}
ROWS = np.array(EXPECTED["rows"])  # (3, 30)
MODEL = "breast-cancer"
Client = triton.InferenceServerClient


def given(name: str, a: Any, datatype: str, *, binary: bool = True) -> triton.InferInput:
    found = triton.InferInput(name, list(a.shape), datatype)
    found.set_data_from_numpy(a, binary_data=binary)
    return found


async def check_status(client: Client) -> None:
    assert await client.is_server_live(headers=HEADERS)
    assert await client.is_server_ready(headers=HEADERS)
    assert await client.is_model_ready(MODEL, headers=HEADERS)
    assert (await client.get_server_metadata(headers=HEADERS))["name"] == "vaekit"
    assert (await client.get_model_metadata(MODEL, headers=HEADERS))["outputs"][0]["name"] == "elbo"
    assert (await client.get_model_config(MODEL, headers=HEADERS))["backend"] == "onnxruntime"
    assert len(await client.get_model_repository_index(headers=HEADERS)) == 8
    assert (await client.get_inference_statistics(MODEL, headers=HEADERS))["model_stats"]


async def check_many_at_once(client: Client) -> None:
    async def score(i: int, binary: bool) -> float:
        result = await client.infer(
            MODEL, [given("inputs", ROWS[[i]], "FP64", binary=binary)], headers=dict(HEADERS), request_id=str(i)
        )
        assert result.get_response()["id"] == str(i)
        return float(result.as_numpy("elbo")[0])

    calls = [score(i % 3, bool(i % 2)) for i in range(60)]
    found = await asyncio.gather(*calls)
    np.testing.assert_allclose(found, EXPECTED["elbo"] * 20, rtol=1e-6)


async def check_outputs_and_compression(client: Client) -> None:
    for coding in ("gzip", "deflate"):
        for binary in (True, False):
            result = await client.infer(
                MODEL,
                [given("inputs", ROWS, "FP64")],
                outputs=[triton.InferRequestedOutput("elbo", binary_data=binary)],
                headers=dict(HEADERS),
                request_compression_algorithm=coding,
                response_compression_algorithm=coding,
            )
            np.testing.assert_allclose(result.as_numpy("elbo"), EXPECTED["elbo"], rtol=1e-6)


async def check_images(client: Client) -> None:
    files = np.array([bytes.fromhex(text) for text in EXPECTED["files"]], dtype=np.object_)
    result = await client.infer("digits", [given("inputs", files, "BYTES")], headers=dict(HEADERS))
    np.testing.assert_allclose(result.as_numpy("elbo"), EXPECTED["image_elbo"], rtol=1e-6)


async def check_errors(client: Client) -> None:
    for model, width, status, words in ((MODEL, 29, "400", "expected numbers"), ("x", 30, "404", "unknown model: 'x'")):
        try:
            await client.infer(model, [given("inputs", ROWS[:, :width].copy(), "FP64")], headers=dict(HEADERS))
            raise AssertionError(f"{words}: not refused")
        except InferenceServerException as exc:
            found = exc
        assert (found.status(), words in found.message()) == (status, True), found


async def check_repository(client: Client) -> None:
    await client.unload_model(MODEL, headers=HEADERS)
    assert not await client.is_model_ready(MODEL, headers=HEADERS)
    await client.load_model(MODEL, headers=HEADERS)
    assert await client.is_model_ready(MODEL, headers=HEADERS)


async def main() -> None:
    async with Client(URL.removeprefix("http://")) as connected:
        for name, check in list(globals().items()):
            if name.startswith("check_"):
                await check(connected)
                print(name)


if __name__ == "__main__":
    asyncio.run(main())
