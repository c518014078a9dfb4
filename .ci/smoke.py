"""Checks an installed wheel through the `vae` command and over HTTP, without the source files of the clone.

smoke.py base                                 checks a plain install
smoke.py service --models DIR --rows FILE     checks an install of vaekit[cpu,service]
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

VAE = str(Path(sys.executable).parent / "vae")
START_S, STOP_S = 60.0, 30.0


def check(holds: bool, what: str) -> None:
    """Print the result of a check; exit with 1 if it failed."""
    print(f"{'ok' if holds else 'FAILED'}: {what}", flush=True)
    if not holds:
        raise SystemExit(1)


def check_import(module: str, forbidden: set[str]) -> None:
    """Import a module in a new process and check that no module of `forbidden` is imported with it."""
    code = f"import sys, {module}; print(*sorted({forbidden!r} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
    but = f", but it loads {found}" if found else ""
    check(not found, f"import {module} loads none of {', '.join(sorted(forbidden))}{but}")


def top_level() -> set[str]:
    """Top-level packages of the installed wheel."""
    parts = {file.parts[0] for file in metadata.files("vaekit") or []}
    return {name for name in parts if name != ".." and not name.endswith(".dist-info")}


def base() -> None:
    """Check a plain install: the packages, the imports, the command line, and the error that names a missing extra."""
    names = top_level()
    check(names == {"vaekit", "vaekit_service", "vaekit_training"}, f"the wheel installs {', '.join(sorted(names))}")
    check_import("vaekit", {"torch", "onnxruntime", "fastapi", "vaekit_service", "vaekit_training"})
    check_import("vaekit.client", {"torch", "onnxruntime", "fastapi", "vaekit_service", "vaekit_training"})
    shown = subprocess.run([VAE, "--help"], check=True, capture_output=True, text=True).stdout
    check(all(word in shown for word in ("train", "serve", "score")), "vae --help lists train, serve and score")
    refused = subprocess.run([VAE, "serve", "--models", "."], capture_output=True, text=True)
    check(refused.returncode != 0, "vae serve without its extra fails")
    check(
        "vaekit[" in refused.stderr and "Traceback" not in refused.stderr,
        f"the error names the extra: {refused.stderr.strip()}",
    )


@contextmanager
def serving(models: Path) -> Iterator[str]:
    """Run `vae serve` and yield its address; afterwards check that SIGTERM ends it with exit code 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([VAE, "serve", "--models", str(models), "--port", str(port), "--device", "cpu"])
    try:
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        check(process.wait(STOP_S) == 0, "SIGTERM ends the service with exit code 0")
    finally:
        process.kill()
        process.wait()


def wait_until_ready(url: str) -> None:
    """Poll /readyz until it answers 200."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urlopen(f"{url}/readyz", timeout=5) as reply:
                check(reply.status == 200, "/readyz answers 200")
                return
        except (HTTPError, URLError, ConnectionError):
            time.sleep(0.1)
    check(False, f"/readyz answers 200 within {START_S:.0f} s")


def post(url: str, body: bytes) -> dict[str, Any]:
    """Post JSON and return the reply."""
    with urlopen(Request(url, body, {"content-type": "application/json"}), timeout=30) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer


def service(models: Path, rows: Path) -> None:
    """Serve the models and score the example rows."""
    check_import(
        "vaekit_service.app", {"torch", "vaekit_training", "sklearn", "matplotlib", "vaekit.cli", "vaekit.scoring"}
    )
    with serving(models) as url:
        wait_until_ready(url)
        answer = post(f"{url}/models/breast-cancer/elbo", rows.read_bytes())
        inputs = json.loads(rows.read_bytes())["inputs"]
        check(len(answer["elbo"]) == len(inputs), f"/elbo answers {len(inputs)} rows: p_value {answer['p_value']}")
        sums = [ll - kl for ll, kl in zip(answer["log_likelihood"], answer["kl"], strict=True)]
        gap = max(abs(e - s) for e, s in zip(answer["elbo"], sums, strict=True))
        check(gap < 1e-3, f"elbo = log_likelihood - kl within {gap:.1e} nats")


def main() -> None:
    """Run the checks of one install."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["base", "service"])
    parser.add_argument("--models", type=Path)
    parser.add_argument("--rows", type=Path)
    options = parser.parse_args()
    if options.what == "base":
        base()
    else:
        service(options.models, options.rows)


if __name__ == "__main__":
    main()
