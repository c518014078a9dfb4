"""Plays SageMaker: starts `serve`, probes /ping, calls /invocations, and ends the container."""

from __future__ import annotations

import io
import json
import signal
import socket
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.keyed import KEYS, TEXT, bearer
from vaekit_service.http.platforms import attributes_of
from vaekit_service.platform_settings import KILLED_AFTER

PUBLIC = "paths of the platform need no key"
ROWS = [[float(i + 1)] * 30 for i in range(3)]


def sagemaker(folder: Path, port: int) -> dict[str, str]:
    return {"VAE_PLATFORM": "sagemaker", "SM_MODEL_DIR": str(folder), "SAGEMAKER_BIND_TO_PORT": str(port)}


def npy(rows: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(rows))
    return file.getvalue()


@pytest.mark.parametrize("layout", ["bundle", "versions", "models"])
def test_sagemaker_runs_serve_and_calls_ping_and_invocations(
    container: Any, port: int, mounted: Any, layout: str
) -> None:
    url = f"http://127.0.0.1:{port}"
    process = container("serve", **sagemaker(mounted(layout), port))
    process.wait_until_ready(f"{url}/ping")
    as_json = httpx.post(f"{url}/invocations", json={"inputs": ROWS, "alpha": 0.1}).json()
    assert (as_json["model"], as_json["alpha"], len(as_json["score"])) == ("breast-cancer", 0.1, 3)
    headers = {"content-type": "application/x-npy", "accept": "application/x-npy"}
    arrays = httpx.post(f"{url}/invocations", content=npy(ROWS), headers=headers)
    found = np.load(io.BytesIO(arrays.content))
    assert found["score"].tolist() == as_json["score"]
    assert [line["platform"] for line in process.warnings() if line["event"].startswith(PUBLIC)] == ["sagemaker"]


def test_invocations_take_csv_and_lines_as_sagemaker_sends_them(container: Any, port: int, mounted: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    container("serve", **sagemaker(mounted("bundle"), port)).wait_until_ready(f"{url}/ping")
    expected = httpx.post(f"{url}/invocations", json={"inputs": ROWS}).json()["score"]
    columns = [column["name"] for column in httpx.get(f"{url}/models/breast-cancer").json()["input"]["columns"]]
    plain = "".join(",".join(map(str, row)) + "\n" for row in ROWS)
    named = ",".join(columns) + "\n" + plain
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    for text, kind in (
        (plain, "text/csv"),
        (plain, "text/csv; charset=utf-8"),
        (plain, "text/csv;header=absent"),
        (named, "text/csv; header=present"),
        (lines, "application/jsonlines"),
    ):
        headers = {"content-type": kind}
        assert httpx.post(f"{url}/invocations", content=text, headers=headers).json()["score"] == expected, kind
    headers = {"content-type": "text/csv", "accept": "application/jsonlines"}
    reply = httpx.post(f"{url}/invocations", content=plain, headers=headers)
    assert [json.loads(line)["score"] for line in reply.text.splitlines()] == expected
    reply = httpx.post(f"{url}/invocations", content=plain, headers={"content-type": "text/csv", "accept": "text/csv"})
    assert len(reply.text.splitlines()) == 4


def test_custom_attributes_name_the_operation_and_its_options(container: Any, port: int, mounted: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    container("serve", **sagemaker(mounted("bundle"), port)).wait_until_ready(f"{url}/ping")

    def invoke(attributes: str, **more: Any) -> httpx.Response:
        headers = {"x-amzn-sagemaker-custom-attributes": attributes, **more.pop("headers", {})}
        return httpx.post(f"{url}/invocations", headers=headers, **more)

    reply = invoke("operation=encode", json={"inputs": ROWS})
    assert set(reply.json()) >= {"mu", "sigma"}
    assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "operation=encode"
    assert len(invoke("operation=sample", json={"n": 2, "seed": 1}).json()["samples"]) == 2
    csv = {"content-type": "text/csv", "accept": "text/csv"}
    stream = invoke("operation=encode", content=",".join(map(str, ROWS[0])) + "\n", headers=csv)
    assert stream.text.startswith("mu.0,")
    assert stream.headers["x-amzn-sagemaker-custom-attributes"] == "operation=encode"
    array = {"content": npy(ROWS), "headers": {"content-type": "application/x-npy"}}
    assert invoke("alpha=0.2,explain=1", **array).json()["alpha"] == 0.2
    assert "alpha" in invoke("c000b4f9-df62-4c85-a0bf-7c525f9104a4", json={"inputs": ROWS}).json()
    refused = invoke("operation=delete", json={"inputs": ROWS})
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "operation: 'delete' is none of encode, decode, sample, elbo",
    )
    assert invoke("alpha=x", **array).status_code == 422


def test_custom_attributes_are_options_or_nothing() -> None:
    assert attributes_of(b"alpha=0.1,operation=elbo") == attributes_of(b"alpha=0.1&operation=elbo")
    assert attributes_of(b"a trace: 12") == {}
    with pytest.raises(ValueError, match="gives an option twice"):
        attributes_of(b"alpha=0.1,alpha=0.2")


def test_sagemaker_routes_exist_only_on_sagemaker(container: Any, port: int, mounted: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    process = container("serve", f"--models={mounted('bundle')}", f"--port={port}", VAE_ALLOW_ANONYMOUS="true")
    process.wait_until_ready(f"{url}/readyz")
    assert httpx.get(f"{url}/ping").status_code == 404
    assert httpx.post(f"{url}/invocations", json={"inputs": ROWS}).status_code == 404


def test_with_keys_only_the_routes_of_sagemaker_are_open(container: Any, port: int, mounted: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    process = container("serve", VAE_KEYS=TEXT, **sagemaker(mounted("bundle"), port))
    process.wait_until_ready(f"{url}/ping")
    assert httpx.post(f"{url}/invocations", json={"inputs": ROWS}).status_code == 200
    for path, body in (("/elbo", {"inputs": ROWS}), ("/encode", {"inputs": ROWS})):
        assert httpx.post(url + path, json=body).status_code == 401
        assert httpx.post(url + path, json=body, headers=bearer(KEYS["infer"])).status_code == 200
    assert httpx.get(f"{url}/models").status_code == 401
    assert [line["event"].partition(":")[0] for line in process.warnings()] == [PUBLIC]


def load_until(stop: threading.Event, url: str, statuses: list[int]) -> None:
    with httpx.Client(timeout=60) as client:
        while not stop.is_set():
            try:
                statuses.append(client.post(f"{url}/invocations", json={"inputs": ROWS * 100}).status_code)
            except httpx.ConnectError:  # the listener is closed
                return


def test_sagemaker_ends_a_container_under_load(container: Any, port: int, mounted: Any) -> None:
    """Every request that was accepted is answered, and the process ends by itself."""
    url = f"http://127.0.0.1:{port}"
    process = container("serve", **sagemaker(mounted("bundle"), port))
    process.wait_until_ready(f"{url}/ping")
    stop, statuses = threading.Event(), list[int]()
    callers = [threading.Thread(target=load_until, args=(stop, url, statuses)) for _ in range(4)]
    for caller in callers:
        caller.start()
    while len(statuses) < 8:
        sleep(0.01)
    start = monotonic()
    process.popen.send_signal(signal.SIGTERM)
    try:
        assert process.popen.wait(KILLED_AFTER) == 0
        assert monotonic() - start < 10
    finally:
        stop.set()
        for caller in callers:
            caller.join(60)
    assert set(statuses) == {200}


@pytest.mark.slow
def test_sagemaker_need_not_kill_a_container_whose_caller_never_ends_its_request(
    container: Any, port: int, mounted: Any
) -> None:
    """With the settings of the platform, and 30 s after SIGTERM."""
    process = container("serve", VAE_BODY_SECONDS="600", **sagemaker(mounted("bundle"), port))
    process.wait_until_ready(f"http://127.0.0.1:{port}/ping")
    with socket.create_connection(("127.0.0.1", port)) as caller:
        head = "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        caller.sendall(head.encode())
        sleep(0.5)
        start = monotonic()
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(KILLED_AFTER) == 0
        assert monotonic() - start > 15  # it waited for the request
