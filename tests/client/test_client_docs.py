"""The snippets in the client's how-to run, and its reference lists every error and field."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vaekit.client
from vaekit.client import ElboResult

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "client.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / "use-the-client.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_snippet_of_the_how_to_runs(snippet, url):
    code = snippet.replace("http://127.0.0.1:8000", url)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_error_of_the_client_is_in_the_table():
    errors = {name for name in vaekit.client.__all__ if not name.endswith(("Result", "Client"))} - {"ClientError"}
    assert errors <= set(re.findall(r"^\| `(\w+)` \|", REFERENCE, re.MULTILINE))


def test_every_field_of_elbo_result_is_in_the_table():
    line = next(line for line in REFERENCE.splitlines() if line.startswith("| `elbo("))
    fields = {field.name for field in dataclasses.fields(ElboResult)} - {"model", "version"}
    assert fields == set(re.findall(r"`(\w+)`", line.split("|")[2]))


def test_the_wire_models_do_not_import_httpx_and_the_client_does_not_import_onnxruntime():
    code = """
import sys
import vaekit.client.wire
assert "httpx" not in sys.modules
from vaekit import AsyncClient, Client
assert not {"onnxruntime", "pyarrow", "torch", "fastapi"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
