"""Sends generated requests to every route of the OpenAPI document with schemathesis, and counts wrong replies.

Half of the cases follow the document as it is served. The other half follow it with the widths and names of the served
models filled in, so that more of them are answered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import venvs
from benchmarks.chaos.service import NAME, server
from benchmarks.plan import Plan
from benchmarks.processes import ROOT
from benchmarks.report import Figure, Measured
from benchmarks.serving.servers import LOAD_CORE, Running, pinned, started
from vaekit.client.wire import TIMEOUT_HEADER
from vaekit_service.keys.key import entry, line, new_key

EXAMPLES = (200, 5)  # full, quick; per operation and phase
DIMS, LATENTS = 30, 8  # of the model
TIMEOUT = 30  # seconds after which a request hangs
PATIENCE = 10  # seconds: smallest vae-timeout that is sent, since a smaller one asks for a 504
NOT_SUPPORTED = "V2: not supported"  # summary of operations that are answered with 501
SHOWN = 20_000  # characters of the tool's output that are kept
# A valid request may be refused: what a model accepts is not in the document.
CHECKS = ("--exclude-checks", "positive_data_acceptance")
TOOL = venvs.Peer("schemathesis", ("schemathesis==4.32.5",))


def measure(plan: Plan) -> Measured:
    """Count replies that are not as the document says, of generated requests with a key."""
    tool = venvs.make(TOOL, plan.peers or ROOT / "build" / "benchmarks" / "peers")
    key = new_key()
    keys = plan.work / "keys.toml"
    keys.write_text(line("fuzz", entry(key, ["infer", "read"])))
    own = server(ROOT / "models", 60.0)
    own = replace(own, command=(*own.command, "--default-model", NAME, "--keys-file", str(keys)))
    reports = []
    with started(own) as running:
        document = json.loads(running.get("/openapi.json", {"authorization": f"Bearer {key}"}))
        for number, each in enumerate((patient(document), filled_in(patient(document)))):
            file = plan.work / f"openapi-{number}.json"
            file.write_text(json.dumps(each))
            reports.append(_run(tool, running, file, key, plan.pick(*EXAMPLES)))
    return Measured(figures(reports), {"reports": reports})


def patient(document: dict[str, Any]) -> dict[str, Any]:
    """The document with a vae-timeout of at least PATIENCE, without the operations that are answered with 501 alone."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    for path, item in list(found["paths"].items()):
        kept = {method: operation for method, operation in item.items() if operation.get("summary") != NOT_SUPPORTED}
        found["paths"][path] = kept
        if not kept:
            del found["paths"][path]
    for item in found["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == TIMEOUT_HEADER:
                    parameter["schema"] = {"type": "number", "minimum": PATIENCE}
    return found


def filled_in(document: dict[str, Any]) -> dict[str, Any]:
    """The document for one model: rows of DIMS numbers, LATENTS latents, and its name and version in paths."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    for name, schema in found["components"]["schemas"].items():
        fields = schema.get("properties", {})
        for field, width in (("inputs", DIMS), ("latents", LATENTS)):
            if name.endswith(("MixedRows", "DecodeLatents")) and field in fields:
                numbers = {"type": "array", "minItems": width, "maxItems": width, "items": {"type": "number"}}
                fields[field] = {"type": "array", "minItems": 1, "maxItems": 20, "items": numbers}
    for item in found["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["schema"] = {"enum": [NAME] if parameter["name"] == "name" else [1]}
    return found


def _run(tool: Path, running: Running, document: Path, key: str, examples: int) -> dict[str, Any]:
    report = document.with_suffix(".report.json")
    command = [*pinned(LOAD_CORE), str(tool.parent / "st"), "run", str(document), "--no-color", *CHECKS]
    command += ["--url", f"http://127.0.0.1:{running.port}", "--header", f"Authorization: Bearer {key}"]
    command += ["--max-examples", str(examples), "--request-timeout", str(TIMEOUT), "--seed", "0"]
    command += ["--report", "json", "--report-json-path", str(report)]
    done = subprocess.run(
        command,
        cwd=document.parent,
        env={**os.environ, "HOME": str(document.parent)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if not report.exists():
        raise SystemExit(f"schemathesis ended with code {done.returncode}:\n{done.stdout[-2000:]}")
    sys.stderr.write(done.stdout[-600:])
    return {**json.loads(report.read_text()), "output": done.stdout[-SHOWN:]}


def figures(reports: list[dict[str, Any]]) -> list[Figure]:
    """The number of cases and of failures by kind. PUT is answered as POST on purpose, and is not in the document."""
    failures = dict.fromkeys(("5xx", "no reply within the timeout", "other than in the document"), 0)
    for report in reports:
        for failure in report["failures"]:
            is_put = failure["type"] == "UnsupportedMethodResponse" and all(
                operation.startswith("PUT ") for operation in failure["operations"]
            )
            if not is_put:
                failures[_kind(failure["type"])] += failure["count"]
        failures["no reply within the timeout"] += len(report["errors"])
    cases = sum(report["test_cases"]["generated"] for report in reports)
    accepted = sum(
        phase["accepted"]
        for report in reports
        for phases in report["valid_rates"].values()
        for phase in phases.values()
    )
    return [
        Figure("schemathesis: cases", cases, "requests"),
        Figure("schemathesis: valid requests that were answered", accepted, "requests"),
        *(Figure(f"schemathesis: {kind}", count, "requests", target=0.0) for kind, count in failures.items()),
    ]


def _kind(failure: str) -> str:
    if failure == "ServerError":
        return "5xx"
    return "no reply within the timeout" if "Timeout" in failure else "other than in the document"
