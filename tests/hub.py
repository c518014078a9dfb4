"""A stand-in for the Hugging Face hub, in a thread on a free port: repositories, commits, tags, LFS and downloads.

It speaks the part of the hub's HTTP interface that the real client uses for `vae push` and `vae pull`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.http_servers import in_thread

LFS = (".onnx", ".npz", ".npy")  # as in the hub's default .gitattributes
TOKEN = "hf_test"


@dataclass
class Repository:
    """The files of each commit, and the commit of each branch and tag."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, a tag or a commit."""
        found = self.refs.get(revision) or self.tags.get(revision) or revision
        return found if found in self.commits else None

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        content = json.dumps({name: blob_id(data) for name, data in files.items()}, sort_keys=True)
        found = hashlib.sha1(f"{len(self.commits)}{content}".encode()).hexdigest()
        self.commits[found], self.refs[branch] = files, found
        return found


@dataclass
class Hub:
    """A running stand-in. `before` is called before each request; False: the request fails with 403, which the
    client does not try again."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # LFS, by sha256
    requests: list[str] = field(default_factory=list)
    before: Callable[[str], bool] = lambda _: True

    def environment(self, home: str) -> dict[str, str]:
        """Environment variables with which the client uses this hub, and no other files than those below `home`."""
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"}


def blob_id(data: bytes) -> str:
    """The id of git."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


Reply = tuple[int, Any, Mapping[str, str]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests."""

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self._body()
        self.hub.requests.append(f"{self.command} {path}")
        reply: Reply = (403, {"error": "refused"}, {})
        if self.hub.before(f"{self.command} {path}"):
            reply = (404, {"error": "not found"}, {})
            for method, pattern, answer in _ROUTES:
                if self.command == method and (match := re.fullmatch(pattern, path)):
                    reply = answer(self, match, body)
                    break
        status, content, headers = reply
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815  http.server calls these names

    def _repository(self, match: re.Match[str]) -> Repository | None:
        found = self.hub.repositories.get(match["id"])
        is_owner = self.headers.get("authorization") == f"Bearer {TOKEN}"
        return None if found is None or (found.private and not is_owner) else found

    def create(self, _: re.Match[str], body: bytes) -> Reply:
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials"}, {}
        if name in self.hub.repositories:
            return 409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"}, {}
        self.hub.repositories[name] = made = Repository(asked.get("private") or asked.get("visibility") == "private")
        made.commit("main", {".gitattributes": b"*.onnx filter=lfs\n"})
        return 200, {"url": f"{self.hub.url}/{name}", "name": name}, {}

    def info(self, match: re.Match[str], _: bytes) -> Reply:
        repository = self._repository(match)
        if repository is None:
            return 404, {"error": "Repository not found"}, {"x-error-code": "RepoNotFound"}
        commit = repository.resolve(match["revision"] or "main")
        if commit is None:
            return 404, {"error": "Revision not found"}, {"x-error-code": "RevisionNotFound"}
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
            for name, data in repository.commits[commit].items()
        ]
        return 200, {"id": match["id"], "sha": commit, "private": repository.private, "siblings": siblings}, {}

    def refs(self, match: re.Match[str], _: bytes) -> Reply:
        repository = self._repository(match)
        if repository is None:
            return 404, {"error": "Repository not found"}, {"x-error-code": "RepoNotFound"}
        listed = {
            kind: [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": c} for n, c in refs.items()]
            for kind, refs in (("branches", repository.refs), ("tags", repository.tags))
        }
        return 200, {**listed, "converts": [], "pullRequests": []}, {}

    def validate(self, _: re.Match[str], body: bytes) -> Reply:
        assert json.loads(body)["content"].startswith("---\nlibrary_name: vaekit\n")
        return 200, {"errors": [], "warnings": []}, {}

    def preupload(self, _: re.Match[str], body: bytes) -> Reply:
        asked = json.loads(body)["files"]
        modes = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LFS) else "regular", "shouldIgnore": False}
            for f in asked
        ]
        return 200, {"files": modes}, {}

    def batch(self, _: re.Match[str], body: bytes) -> Reply:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}, {}

    def put_object(self, match: re.Match[str], body: bytes) -> Reply:
        assert hashlib.sha256(body).hexdigest() == match["oid"]
        self.hub.objects[match["oid"]] = body
        return 200, b"", {}

    def commit(self, match: re.Match[str], body: bytes) -> Reply:
        repository = self._repository(match)
        assert repository is not None
        branch = match["revision"]
        files = dict(repository.commits[repository.refs[branch]])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        made = repository.commit(branch, files)
        return 200, {"commitUrl": f"{self.hub.url}/{match['id']}/commit/{made}", "commitOid": made}, {}

    def tag(self, match: re.Match[str], body: bytes) -> Reply:
        repository, tag = self._repository(match), json.loads(body)["tag"]
        assert repository is not None
        if tag in repository.tags:
            return 409, {"error": "Tag exists"}, {}
        found = repository.resolve(match["revision"])
        assert found is not None
        repository.tags[tag] = found
        return 200, {}, {}

    def download(self, match: re.Match[str], _: bytes) -> Reply:
        repository = self._repository(match)
        commit = None if repository is None else repository.resolve(match["revision"])
        if repository is None or commit is None:
            return 404, {"error": "Not found"}, {"x-error-code": "RepoNotFound"}
        data = repository.commits[commit].get(match["path"])
        if data is None:
            return 404, {"error": "Entry not found"}, {"x-error-code": "EntryNotFound"}
        return 200, data, {"x-repo-commit": commit, "etag": f'"{blob_id(data)}"', "accept-ranges": "none"}


_ID = r"(?P<id>[^/]+/[^/]+)"
_MODEL = rf"/api/models/{_ID}"
_ROUTES: list[tuple[str, str, Callable[[_Handler, re.Match[str], bytes], Reply]]] = [
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("GET", rf"{_MODEL}/refs", _Handler.refs),
    ("GET", rf"{_MODEL}(/revision/(?P<revision>.+))?", _Handler.info),
    ("POST", rf"{_MODEL}/preupload/.+", _Handler.preupload),
    ("POST", rf"{_MODEL}/commit/(?P<revision>.+)", _Handler.commit),
    ("POST", rf"{_MODEL}/tag/(?P<revision>.+)", _Handler.tag),
    ("POST", rf"/{_ID}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", _Handler.put_object),
    ("HEAD", rf"/{_ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.download),
    ("GET", rf"/{_ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.download),
]


@contextmanager
def hub() -> Iterator[Hub]:
    """Run a stand-in for the hub; stop it at the end."""
    found = Hub()
    handler = type("Handler", (_Handler,), {"hub": found})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    with in_thread(server):
        yield found
