"""A lower bound for the latency of a Python server: a Starlette route that returns the bytes of the request.

python -m benchmarks.serving.arms.echo PORT
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def echo(request: Request) -> Response:
    """Return the body of the request."""
    return Response(await request.body(), media_type="application/octet-stream")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/elbo", echo, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
