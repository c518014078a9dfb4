"""The page at /: its files, their headers, who may read them, and what the vendored files are."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.service.keyed import KEYS, TEXT, bearer
from vaekit.chart_style import DARK, LIGHT
from vaekit_service.page.files import STATIC, page_files
from vaekit_service.page.routes import POLICY

pytestmark = pytest.mark.anyio

ADDRESS = re.compile(r"""(?:src|href)="([^"]+)"|from "([^"]+)"|import "([^"]+)"|url\(([^)]+)\)""")
MAX_COMPRESSED = 150_000  # bytes


async def test_the_page_and_all_files_that_it_names_are_served(service: Any) -> None:
    index = await service.http.get("/")
    assert index.status_code == 200
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    named = {address for found in ADDRESS.findall(index.text) for address in found if address.startswith("page/")}
    assert len(named) > 3
    types = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
    for address in named:
        reply = await service.http.get(f"/{address}")
        assert (reply.status_code, reply.headers["content-type"]) == (200, types[address.rpartition(".")[2]]), address


async def test_every_file_says_what_a_browser_may_do_with_it(service: Any) -> None:
    for path in ("/", "/page/js/main.js", "/page/css/page.css"):
        headers = (await service.http.get(path)).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-cache"
    assert "unsafe" not in POLICY


async def test_an_unchanged_file_is_not_sent_again(service: Any) -> None:
    first = await service.http.get("/page/js/main.js")
    again = await service.http.get("/page/js/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_files_are_compressed_for_those_who_accept_it(service: Any) -> None:
    plain = await service.http.get("/page/js/main.js", headers={"accept-encoding": "identity"})
    short = await service.http.get("/page/js/main.js", headers={"accept-encoding": "gzip"})
    assert plain.headers.get("content-encoding") is None
    refused = await service.http.get("/page/js/main.js", headers={"accept-encoding": "br, gzip;q=0"})
    assert refused.headers.get("content-encoding") is None
    weighed = await service.http.get("/page/js/main.js", headers={"accept-encoding": "gzip;q=0.5, *;q=0"})
    assert weighed.headers["content-encoding"] == short.headers["content-encoding"] == "gzip"
    assert short.content == plain.content == (STATIC / "js/main.js").read_bytes()


@pytest.mark.parametrize(
    "path",
    ["index.html", "vendor/README.md", "vendor/lit-html/LICENSE", "..%2froutes.py", "%2e%2e/files.py", "nothing", ""],
)
async def test_other_paths_have_no_file(service: Any, path: str) -> None:
    reply = await service.http.get(f"/page/{path}")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


async def test_the_files_need_no_key_unless_nothing_is_public(start: Any, models_dir: Path) -> None:
    async with start(models_dir, keys=TEXT) as running:
        assert (await running.http.get("/")).status_code == 200
        assert (await running.http.get("/models")).status_code == 401
    async with start(models_dir, keys=TEXT, public="nothing") as running:
        assert (await running.http.get("/")).status_code == 401
        assert (await running.http.get("/", headers=bearer(KEYS["read"]))).status_code == 200


async def test_a_page_that_is_called_by_another_host_is_refused(start: Any, models_dir: Path) -> None:
    async with start(models_dir, allowed_hosts="localhost") as running:
        assert (await running.http.get("/", headers={"host": "evil.example"})).status_code == 421
        assert (await running.http.get("/", headers={"host": "localhost"})).status_code == 200


async def test_the_page_can_be_turned_off(start: Any, models_dir: Path) -> None:
    async with start(models_dir, page=False) as running:
        assert (await running.http.get("/")).status_code == 404
        assert (await running.http.get("/page/js/main.js")).status_code == 404


def test_the_page_weighs_less_than_150_kb() -> None:
    weights = {name: len(gzip.compress(file.content, 9)) for name, file in page_files().items()}
    assert sum(weights.values()) < MAX_COMPRESSED, weights


def test_every_import_of_the_page_is_a_file_of_the_page() -> None:
    files = page_files()
    for name, file in files.items():
        if name.startswith("js/"):
            text = file.content.decode()
            for address in re.findall(r'^(?:(?:import|export|\}).* from|import) "([^"]+)"', text, re.MULTILINE):
                assert ((STATIC / name).parent / address).resolve().relative_to(STATIC).as_posix() in files, (
                    name,
                    address,
                )


def test_no_file_of_the_page_names_another_host_or_has_inline_code() -> None:
    for name, file in page_files().items():
        text = file.content.decode()
        if not name.startswith("vendor/"):
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
            assert not re.search(r"\bstyle=[\"']|\son\w+=[\"']|\beval\(|new Function", text), name


def test_the_vendored_files_are_those_of_the_note() -> None:
    rows = re.findall(r"^\| .+ \| `(.+)` \| `(.+)` \|$", (STATIC / "vendor/README.md").read_text(), re.MULTILINE)
    found = {
        path.relative_to(STATIC / "vendor").as_posix() for path in STATIC.glob("vendor/*/**/*.*") if path.is_file()
    }
    assert found == {name for name, _ in rows}
    for name, digest in rows:
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest, name


def test_the_page_has_the_colours_of_charts_and_reports() -> None:
    light, dark = (STATIC / "css/palette.css").read_text(encoding="utf-8").split("@media (prefers-color-scheme: dark)")
    for text, colours in ((light, LIGHT), (dark, DARK)):
        assert dict(re.findall(r"--([\w-]+): (#\w+);", text)) == dict(colours)
