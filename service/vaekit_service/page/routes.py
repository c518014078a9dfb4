"""GET / and GET /page/...: the files of the page. They hold no data; the page asks the other routes for that."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vaekit_service.http.access import needs
from vaekit_service.page.files import INDEX, PageFile, page_files

# Nothing is loaded from another host or from the HTML itself, nothing may frame the page, and no form is sent.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # asks each time whether the ETag is still the same
    "vary": "accept-encoding",
}
# gzip, with another weight than 0
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


def page_router() -> APIRouter:
    """The routes of the page. Its files need no key, unless VAE_PUBLIC is nothing."""
    router = APIRouter()
    for path, endpoint in (("/", _index), ("/page/{path:path}", _file)):
        router.add_api_route(
            path, endpoint, methods=["GET", "HEAD"], include_in_schema=False, dependencies=needs("page")
        )
    return router


async def _index(request: Request) -> Response:
    return _reply(request, page_files()[INDEX])


async def _file(request: Request, path: str) -> Response:
    found = None if path == INDEX else page_files().get(path)  # its addresses are relative to /
    if found is None:
        raise HTTPException(404)
    return _reply(request, found)


def _reply(request: Request, file: PageFile) -> Response:
    headers = {**_HEADERS, "etag": file.etag}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if _GZIP.search(request.headers.get("accept-encoding", "")):
        headers["content-encoding"] = "gzip"
        return Response(file.compressed, media_type=file.media_type, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
