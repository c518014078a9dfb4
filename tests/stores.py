"""Runs an S3 server in a thread, on a free port of this machine. Each bucket is a folder, each object a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path

from localbucket import S3Handler

from tests.http_servers import in_thread


@dataclass
class Store:
    """A running S3 server. `before` is called before each request that writes, and can make it fail."""

    folder: Path  # has one folder per bucket
    host: str = ""  # host and port
    before: Callable[[str], bool] = lambda _: True  # gets "PUT /bucket/key"; False: the request fails with 500

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which S3 libraries use this server, and no other credentials or config files."""
        keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        files = {"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
        return {**keys, **files, "AWS_ENDPOINT_URL": f"http://{self.host}"}

    def objects(self, bucket: str = "bucket") -> list[str]:
        """The keys of all objects of a bucket."""
        home = self.folder / bucket
        return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())


@contextmanager
def storing(folder: Path) -> Iterator[Store]:
    """Run a store with one bucket, named `bucket`; stop it at the end."""
    store = Store(folder)
    (folder / "bucket").mkdir(parents=True)

    class Handler(S3Handler):
        data_root = folder
        disable_nagle_algorithm = True  # otherwise each reply waits for the client to acknowledge the previous one

        def log_message(self, format: str, *args: object) -> None:
            """Log no requests."""

        def do_PUT(self) -> None:  # noqa: N802  http.server calls this name
            self._write(super().do_PUT)

        def do_POST(self) -> None:  # noqa: N802  as above
            self._write(super().do_POST)

        def _write(self, handle: Callable[[], None]) -> None:
            if store.before(f"{self.command} {self.path}"):
                handle()
            else:
                self.send_error(500)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.host = f"127.0.0.1:{server.server_port}"
    with in_thread(server):
        yield store
