"""The service that is disturbed: `vae serve` with a models folder that it looks at often."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.serving.contenders import by_name, json_request
from benchmarks.serving.servers import Server

NAME = "breast-cancer"  # the committed model of 30 columns


def server(models: Path, poll_seconds: float) -> Server:
    """`vae serve` on a CPU with one thread per call."""
    command = ("env", f"VAE_POLL_SECONDS={poll_seconds}", sys.executable, "-m", "vaekit", "serve")
    flags = ("--models", str(models), "--port", "PORT", "--device", "cpu", "--threads", "1", "--log-level", "error")
    return Server("vaekit", (*command, *flags), json_request, by_name, ready="/readyz")
