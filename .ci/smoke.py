"""Checks an installed wheel through the `vae` command and over HTTP, without the source files of the clone.

smoke.py base                                 checks a plain install
smoke.py service --models DIR --rows FILE     checks an install of vaekit[cpu,service]
smoke.py demo --readme FILE                   runs the README's first example and the demo, with all four extras
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

NAMES = [str(Path(sys.executable).parent / name) for name in ("vae", "vaekit")]
VAE = NAMES[0]
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
    for name in NAMES:
        shown = subprocess.run([name, "score", "--help"], check=True, capture_output=True, text=True).stdout
        check(f"Usage: {Path(name).name} score" in shown, f"{Path(name).name} shows its own name in the usage line")
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "pumps"
        subprocess.run([VAE, "init", str(project)], check=True, capture_output=True)
        written = sorted(path.name for path in project.iterdir())
        check("config.toml" in written, f"vae init writes {', '.join(written)}")
    refused = subprocess.run([VAE, "demo"], capture_output=True, text=True)
    check(
        "pip install 'vaekit[cpu,service,training,scoring]'" in refused.stderr and refused.returncode == 1,
        f"vae demo names its extras: {refused.stderr.strip()}",
    )
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


def demo() -> None:
    """Run the demo until it serves, look at its page and its models, and end it as Ctrl-C does."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [NAMES[1], "demo", "--no-open", "--port", "0", "--out", f"{folder}/demo"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or "Ctrl-C" not in lines[-1]:
                lines.append(process.stdout.readline())
                print(lines[-1], end="", flush=True)
                if not lines[-1]:
                    check(False, "the demo serves")
            check(True, f"the demo serves after {time.monotonic() - started:.0f} s")
            url = next(word for line in lines for word in line.split() if word.startswith("http://"))
            with urlopen(f"{url}models", timeout=10) as reply:
                names = sorted(model["name"] for model in json.load(reply)["models"])
            check(names == ["digits", "sensors"], f"it serves {', '.join(names)}")
            with urlopen(url, timeout=10) as reply:
                kind = reply.headers["content-type"]
            check(kind.startswith("text/html"), f"its page is {kind}")
            process.send_signal(signal.SIGINT)
            check(process.wait(STOP_S) == 0, "Ctrl-C ends the demo with exit code 0")
        finally:
            process.kill()
            process.wait()


def first_snippet(readme: Path) -> None:
    """Run the first Python block of the README, which must need nothing but the extras that the README installs."""
    text = readme.read_text(encoding="utf-8")
    code, shown = (re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)[0] for kind in ("python", "text"))
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="", end="", flush=True)
    check(done.stdout == shown, "the first example of the README prints what the README shows")


def main() -> None:
    """Run the checks of one install."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["base", "service", "demo"])
    parser.add_argument("--models", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--readme", type=Path)
    options = parser.parse_args()
    if options.what == "base":
        base()
    elif options.what == "demo":
        first_snippet(options.readme)
        demo()
    else:
        service(options.models, options.rows)


if __name__ == "__main__":
    main()
