"""docs/reference/wire.md and docs/reference/service.md: their requests work and their lists are complete."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.live import serving
from vaekit.client.wire import AnomalousCell, ElboReply, Reply
from vaekit_service.http.problems import PROBLEM_KINDS
from vaekit_service.settings import Settings

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference"
CELLS = "The cells of an explanation"
WIRE, SERVICE = (DOCS / "wire.md").read_text(), (DOCS / "service.md").read_text()
V2 = (DOCS / "v2.md").read_text(encoding="utf-8")
REQUESTS = re.findall(r"```http\nPOST (\S+)\n\n(.*?)```", WIRE, re.DOTALL)


COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", WIRE, re.DOTALL) for line in block.splitlines()]
SNIPPETS = re.findall(r"```python\n(.*?)```", WIRE, re.DOTALL)


def test_the_wire_page_shows_a_request_of_each_operation() -> None:
    assert {path.rpartition("/")[2] for path, _ in REQUESTS} == {"encode", "decode", "sample", "elbo"}


@pytest.mark.parametrize(("path", "body"), REQUESTS)
async def test_every_request_of_the_wire_page_is_answered(service: Any, path: str, body: str) -> None:
    reply = await service.post(path, body)
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_snippet_of_the_wire_page_runs(snippet: str, models_dir: Path) -> None:
    with serving(models_dir) as url:
        code = snippet.replace("http://127.0.0.1:8000", url)
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "b'vae-alpha': b'0.1'" in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_wire_page_is_answered(command: str, models_dir: Path) -> None:
    with serving(models_dir) as url:
        words = shlex.split(command.replace("http://127.0.0.1:8000", url))
        done = subprocess.run([*words, "--fail"], cwd=DOCS.parents[1], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_says_that_a_reply_that_failed_is_incomplete(process: Any, models_dir: Path, tmp_path: Path) -> None:
    url = process("--models", str(models_dir)).until(r"(http://127\.0\.0\.1:\d+)")
    good = "[" + ",".join(["1.0"] * 30) + "]\n"
    (tmp_path / "rows.ndjson").write_text(20_000 * good + "[1]\n")
    kinds = [word for name in ("content-type", "accept") for word in ("-H", f"{name}: application/x-ndjson")]
    address = f"{url}/models/breast-cancer/elbo?log_evidence=false"
    command = ["curl", "-s", "-T", str(tmp_path / "rows.ndjson"), *kinds, address]
    while (done := subprocess.run(command, capture_output=True, check=False)).stdout.startswith(b'{"type"'):
        time.sleep(0.1)  # the model is loading
    assert done.returncode == 18, done.stderr
    *rows, last = done.stdout.splitlines()
    assert json.loads(last)["problem"]["detail"] == "row 20000: 1 values, expected 30"
    assert 0 < len(rows) <= 20_000


def test_the_wire_page_has_every_field_of_an_elbo_reply() -> None:
    fields = set(ElboReply.model_fields) - set(Reply.model_fields)
    answered, cells = (WIRE.split(f"## {title}\n")[1].split("\n## ")[0] for title in ("What /elbo answers", CELLS))
    assert fields == set(re.findall(r"^\| `(\w+)` \|", answered, re.MULTILINE))
    told = {name for line in re.findall(r"^\| (`.+?) \|", cells, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)}
    assert told == set(AnomalousCell.model_fields)


def test_the_wire_page_has_every_status_and_title() -> None:
    rows = dict(re.findall(r"^\| (\d{3}) \| (.*) \|$", WIRE, re.MULTILINE))
    told = {kind for kind in PROBLEM_KINDS.values() if kind.status != 499}
    assert {str(kind.status) for kind in told} | {"405"} == set(rows)
    assert all(kind.title in rows[str(kind.status)] for kind in told)


async def test_the_wire_and_v2_pages_have_every_path(service: Any) -> None:
    for path in service.app.openapi()["paths"]:
        if path.startswith("/v2/"):
            assert f"`{path.replace('/versions/{version}', '').removeprefix('/v2')}`" in V2
        else:
            assert re.sub(r"^/models/\{name\}(/versions/\{version\})?", "", path) in WIRE


def test_the_service_page_has_every_setting_with_its_default_and_description() -> None:
    rows = re.findall(r"^\| `VAE_(\w+)` \| (.*?) \| (.*) \|$", SERVICE, re.MULTILINE)
    assert {name.lower(): (default, reason) for name, default, reason in rows} == {
        name: (shown(field.default), field.description) for name, field in Settings.model_fields.items()
    }


def shown(default: Any) -> str:
    return "none" if default is None else f"{default:g}" if isinstance(default, float) else str(default)


async def test_the_service_page_has_every_metric(service: Any) -> None:
    text = (await service.http.get("/metrics")).text
    names = set(re.findall(r"^# TYPE (vae_\w+?)(?:_created)? ", text, re.MULTILINE))
    assert names == set(re.findall(r"`(vae_\w+)`", SERVICE)) | {"vae_http_requests", "vae_rows"} & names
