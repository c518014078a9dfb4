"""Calls a service with tritonclient.http, in its own environment: python triton_sync.py URL KEY EXPECTED.json"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton
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


def infer(client: Client, inputs: list[Any], model: str = MODEL, **more: Any) -> triton.InferResult:
    return client.infer(model, inputs, headers=dict(HEADERS), **more)


def refused(call: Callable[[], Any], status: str, words: str) -> None:
    try:
        call()
        raise AssertionError(f"{words}: not refused")
    except InferenceServerException as exc:
        found = exc
    assert (found.status(), words in found.message()) == (status, True), found


def check_health(client: Client) -> None:
    assert client.is_server_live(headers=HEADERS)
    assert client.is_server_ready(headers=HEADERS)
    assert client.is_model_ready(MODEL, headers=HEADERS)
    assert client.is_model_ready(MODEL, "1", headers=HEADERS)
    assert not client.is_model_ready("nothing", headers=HEADERS)


def check_metadata(client: Client) -> None:
    assert client.get_server_metadata(headers=HEADERS)["name"] == "vaekit"
    told = client.get_model_metadata(MODEL, headers=HEADERS)
    assert told["inputs"] == [{"name": "inputs", "datatype": "FP64", "shape": [-1, 30]}]
    assert told["versions"] == ["1"]
    config = client.get_model_config(MODEL, headers=HEADERS)
    assert config["input"][0]["dims"] == [30]
    assert config["max_batch_size"] > 0
    refused(
        lambda: client.get_model_metadata("x", headers=HEADERS), "404", "Request for unknown model: 'x' is not found"
    )


def check_infer(client: Client) -> None:
    for binary in (True, False):
        for datatype, dtype in (("FP64", np.float64), ("FP32", np.float32)):
            inputs = [given("inputs", ROWS.astype(dtype), datatype, binary=binary)]
            result = infer(client, inputs)  # without outputs the client asks for bytes
            np.testing.assert_allclose(result.as_numpy("elbo"), EXPECTED["elbo"], rtol=1e-6)
            assert result.as_numpy("is_anomaly").dtype == np.bool_
            assert result.get_response()["model_name"] == MODEL
            again = infer(client, inputs)  # the same objects
            np.testing.assert_array_equal(again.as_numpy("elbo"), result.as_numpy("elbo"))


def check_outputs(client: Client) -> None:
    inputs = [given("inputs", ROWS, "FP64")]
    for flags in ((True, True), (True, False), (False, False)):
        wanted = [
            triton.InferRequestedOutput(name, binary_data=flag)
            for name, flag in zip(("score", "novel"), flags, strict=True)
        ]
        result = infer(client, inputs, outputs=wanted)
        np.testing.assert_allclose(result.as_numpy("score"), -np.array(EXPECTED["elbo"]), rtol=1e-6)
        assert result.as_numpy("novel").shape == (3,)
        assert result.get_output("elbo") is None
    refused(
        lambda: infer(client, inputs, outputs=[triton.InferRequestedOutput("nothing")]), "400", "unexpected inference"
    )
    refused(
        lambda: infer(client, inputs, outputs=[triton.InferRequestedOutput("elbo", class_count=2)]),
        "501",
        "classification",
    )


def check_compression(client: Client) -> None:
    inputs = [given("inputs", np.repeat(ROWS, 50, axis=0), "FP64")]
    for sent in (None, "gzip", "deflate"):
        for received in (None, "gzip", "deflate"):
            result = infer(client, inputs, request_compression_algorithm=sent, response_compression_algorithm=received)
            np.testing.assert_allclose(result.as_numpy("elbo")[::50], EXPECTED["elbo"], rtol=1e-6)


def check_parameters(client: Client) -> None:
    inputs = [given("inputs", ROWS, "FP64")]
    options = {"alpha": 0.3, "explain": 2}
    result = infer(client, inputs, request_id="me", parameters=options, priority=1, timeout=5_000_000)
    assert result.get_response()["id"] == "me"
    assert result.get_response()["parameters"]["alpha"] == 0.3
    assert len(json.loads(result.as_numpy("explanation")[0])) == 2
    refused(lambda: infer(client, inputs, sequence_id=7, sequence_start=True), "501", "sequences")
    refused(lambda: infer(client, inputs, parameters={"alpha": 2.0}), "400", "alpha")


def check_other_models(client: Client) -> None:
    encoded = infer(client, [given("inputs", ROWS, "FP64")], f"{MODEL}.encode")
    np.testing.assert_allclose(encoded.as_numpy("mu"), EXPECTED["mu"], rtol=1e-4, atol=1e-5)
    decoded = infer(client, [given("latents", encoded.as_numpy("mu").astype(np.float64), "FP64")], f"{MODEL}.decode")
    assert decoded.as_numpy("mean").shape == (3, 30)
    drawn = infer(
        client,
        [given("n", np.array([4]), "INT64"), given("seed", np.array([1]), "INT64")],
        f"{MODEL}.sample",
        model_version="1",
    )
    assert drawn.as_numpy("samples").shape == (4, 30)


def check_table(client: Client) -> None:
    columns = [given(name, ROWS[:, [d]], "FP64") for d, name in enumerate(EXPECTED["names"])]
    result = infer(client, columns[::-1])
    np.testing.assert_allclose(result.as_numpy("elbo"), EXPECTED["elbo"], rtol=1e-6)


def check_images(client: Client) -> None:
    files = np.array([bytes.fromhex(text) for text in EXPECTED["files"]], dtype=np.object_)
    result = infer(client, [given("inputs", files, "BYTES")], "digits")
    np.testing.assert_allclose(result.as_numpy("elbo"), EXPECTED["image_elbo"], rtol=1e-6)


def check_async(client: Client) -> None:
    waiting = [client.async_infer(MODEL, [given("inputs", ROWS[[i]], "FP64")], headers=dict(HEADERS)) for i in range(3)]
    found = [float(one.get_result().as_numpy("elbo")[0]) for one in waiting]
    np.testing.assert_allclose(found, EXPECTED["elbo"], rtol=1e-6)


def check_body_by_hand(client: Client) -> None:  # noqa: ARG001  it is not used
    body, length = Client.generate_request_body([given("inputs", ROWS, "FP64")])
    assert length is not None
    assert len(body) - length == ROWS.nbytes


def check_statistics(client: Client) -> None:
    [found] = client.get_inference_statistics(MODEL, headers=HEADERS)["model_stats"]
    assert found["inference_stats"]["success"]["count"] > 10
    assert found["inference_count"] > 10
    assert len(client.get_inference_statistics(headers=HEADERS)["model_stats"]) == 8


def check_repository(client: Client) -> None:
    index = client.get_model_repository_index(headers=HEADERS)
    assert {one["state"] for one in index} == {"READY"}
    assert len(index) == 8
    client.unload_model(MODEL, headers=HEADERS)
    assert not client.is_model_ready(MODEL, headers=HEADERS)
    refused(lambda: infer(client, [given("inputs", ROWS, "FP64")]), "503", "unloaded")
    client.load_model(MODEL, headers=HEADERS)
    assert client.is_model_ready(MODEL, headers=HEADERS)
    files = {"file:1/model.onnx": b"graph"}
    refused(lambda: client.load_model(MODEL, headers=HEADERS, config="{}"), "501", "as it is in the models folder")
    refused(
        lambda: client.load_model(MODEL, headers=HEADERS, config="{}", files=files), "501", "as it is in the models"
    )


def check_what_there_is_not(client: Client) -> None:
    assert client.get_system_shared_memory_status(headers=HEADERS) == []
    assert client.get_cuda_shared_memory_status(headers=HEADERS) == []
    refused(lambda: client.register_system_shared_memory("a", "/a", 8, headers=HEADERS), "501", "function")
    refused(lambda: client.get_log_settings(headers=HEADERS), "501", "function")
    refused(lambda: client.update_log_settings({"log_info": True}, headers=HEADERS), "501", "function")
    refused(lambda: client.get_trace_settings(MODEL, headers=HEADERS), "501", "function")


def check_errors(client: Client) -> None:
    inputs = [given("inputs", ROWS[:, :29].copy(), "FP64")]
    refused(lambda: infer(client, inputs), "400", "expected numbers [N, 30]")
    refused(lambda: client.infer(MODEL, inputs), "401", "key")


if __name__ == "__main__":
    with Client(URL.removeprefix("http://"), concurrency=3) as connected:
        for name, check in list(globals().items()):
            if name.startswith("check_"):
                check(connected)
                print(name)
