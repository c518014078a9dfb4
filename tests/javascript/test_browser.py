"""The JavaScript package scores bundles and calls the service from a page in Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.http_servers import in_thread
from tests.javascript.conftest import run_in
from tests.live import serving
from vaekit_service.keys.key import entry, line, new_key

CHROMIUM = shutil.which("chromium")
NAMES = ("digits", "kernel", "grouped", "windowed")
TOLERANCE = 1e-5  # of scores, relative above 1 nat
LONGEST = 300  # seconds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]


class Files(SimpleHTTPRequestHandler):
    """Serves a folder, and keeps what the page reports."""

    reports: dict[str, Any]
    reported: threading.Event

    def do_POST(self) -> None:
        self.reports.update(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()
        self.reported.set()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def web_server(folder: Path) -> Iterator[tuple[str, type[Files]]]:
    handler = type("Own", (Files,), {"reports": {}, "reported": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    with in_thread(server):
        yield f"http://127.0.0.1:{server.server_address[1]}", handler


@pytest.fixture(scope="module")
def site(
    package: Path, cases: Path, node_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a page, the bundled package, ONNX Runtime's WASM, bundles and cases."""
    folder = tmp_path_factory.mktemp("site")
    page = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    (package / "node_modules" / ".page.js").write_text(page, encoding="utf-8")  # where imports find the packages
    options = ["--bundle", "--format=esm", "--platform=browser", f"--outfile={folder / 'page.js'}"]
    run_in(package, ["npx", "--no-install", "esbuild", "node_modules/.page.js", *options], node_environment)
    (folder / "index.html").write_text('<script type="module" src="page.js"></script>', encoding="utf-8")
    Image.new("L", (8, 8)).save(folder / "image.png")  # zeros
    (folder / "onnxruntime").symlink_to(package / "node_modules" / "onnxruntime-web" / "dist")
    (folder / "cases").symlink_to(cases / "bundles")
    (folder / "bundles").mkdir()
    for name in NAMES:
        case = json.loads((cases / "bundles" / f"{name}.json").read_text(encoding="utf-8"))
        (folder / "bundles" / name).symlink_to(case["folder"])
    return folder


@pytest.fixture(scope="module")
def report(site: Path, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page reports."""
    key, profile = new_key(), tmp_path_factory.mktemp("profile")
    keys = line("page", entry(key, ["infer"]))
    with web_server(site) as (url, handler), serving(models_dir, keys=keys, cors_origins=url) as service:
        settings = {"names": NAMES, "service": service, "key": key}
        (site / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        command = [str(CHROMIUM), *flags, "--remote-debugging-port=0", f"{url}/index.html"]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert handler.reported.wait(LONGEST), "the page reported nothing"
        finally:
            browser.terminate()
            browser.wait(30)
    assert "error" not in handler.reports, handler.reports["error"]
    return handler.reports


@pytest.mark.parametrize("name", NAMES)
def test_a_page_scores_bundles_as_python_does(name: str, report: dict[str, Any], cases: Path) -> None:
    case = json.loads((cases / "bundles" / f"{name}.json").read_text(encoding="utf-8"))
    for found, part in zip(report["scores"][name], case["parts"], strict=True):
        want = part["expected"]
        assert found["p_value"] == want["p_value"]
        assert found["is_anomaly"] == want["verdicts"]["0.05"]["is_anomaly"]
        for got, elbo in zip(found["elbo"], want["elbo"], strict=True):
            assert (got is None) == (elbo is None)
            assert elbo is None or abs(got - elbo) <= TOLERANCE * max(1.0, abs(elbo))


def test_a_page_calls_the_service_with_a_key_and_reads_its_errors(report: dict[str, Any]) -> None:
    found = report["service"]
    assert found["ready"] is True
    assert found["score"] == pytest.approx([37.284821], rel=1e-5)  # as in docs/reference/bundle-reader.md
    assert found["isNotFound"] is True
    assert found["requestId"]
