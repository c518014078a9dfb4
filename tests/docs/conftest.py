"""The docs site, built once per test run, and its address on a local server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, once_per_run
from tests.http_servers import in_thread
from tests.page.conftest import page_tools, play  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site's HTML; a warning of Sphinx is an error."""

    def build(folder: Path) -> Path:
        command = [sys.executable, "-m", "docs.builder", "--out", str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder / "html"

    return once_per_run(tmp_path_factory, "docs", build)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def site_url(site: Path) -> Iterator[str]:
    """The address of a server of the site."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    with in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"
