"""S3 on a free port of this machine, in a thread, its buckets folders. Knows the protocol, not what objects hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path

from localbucket import S3Handler


@dataclass
class Store:
    """A store and what happens before it takes what is sent."""

    folder: Path  # of the buckets
    host: str = ""  # with its port
    before: Callable[[str], bool] = lambda _: True  # of a request to write, "PUT /bucket/key"; False: it fails

    @property
    def environment(self) -> dict[str, str]:
        """By which the libraries find it, and nothing else."""
        keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        files = {"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
        return {**keys, **files, "AWS_ENDPOINT_URL": f"http://{self.host}"}

    def objects(self, bucket: str = "bucket") -> list[str]:
        """The keys of all objects of a bucket."""
        home = self.folder / bucket
        return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())


@contextmanager
def storing(folder: Path) -> Iterator[Store]:
    """A store with one bucket, `bucket`."""
    store = Store(folder)
    (folder / "bucket").mkdir(parents=True)

    class Handler(S3Handler):
        data_root = folder
        disable_nagle_algorithm = True  # else each answer waits for the last one's acknowledgement

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

        def do_PUT(self) -> None:  # noqa: N802  http.server calls it so
            self._unless_it_fails(super().do_PUT)

        def do_POST(self) -> None:  # noqa: N802  as above
            self._unless_it_fails(super().do_POST)

        def _unless_it_fails(self, go_on: Callable[[], None]) -> None:
            if store.before(f"{self.command} {self.path}"):
                go_on()
            else:
                self.send_error(500)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
