"""The Hugging Face hub as a place of bundles: hf://owner/name[@revision], one model in each repository.

The files of a bundle are at the top of the repository. Each version is one commit with the tag v<version>, so no reader
ever sees half a bundle.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from vaekit.errors import InputError, MissingExtra, StoreError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEME = "hf://"
_REPOSITORY = re.compile(r"hf://(?P<id>[\w.-]{1,96}/[\w.-]{1,96})(@(?P<revision>[^@?#\s]{1,255}))?/?")
SECONDS = 100.0  # in which the hub must answer; its own client would wait forever
CARD = "README.md"  # the file that the hub shows as the model card


def tag_of(version: int) -> str:
    """The tag of a version in its repository."""
    return f"v{version}"


@dataclass
class HubFolder:
    """A repository at one revision.

    Args:
        repository: owner/name.
        asked: the branch, tag or commit; None: the default branch.
        text: the URL.
    """

    repository: str
    asked: str | None
    text: str
    commit: str | None = None  # of the files that were listed last
    _api: HfApi = field(default_factory=lambda: _client(), repr=False)

    def __str__(self) -> str:
        return self.text

    @property
    def revision(self) -> str | None:
        return self.commit

    def where(self, prefix: str) -> str:
        """The URL of what is below a prefix."""
        return f"{self.text}/{prefix}".rstrip("/")

    def at_version(self, version: int) -> HubFolder:
        """The same repository at the tag of a version."""
        return HubFolder(self.repository, tag_of(version), f"{SCHEME}{self.repository}@{tag_of(version)}")

    def files(self) -> dict[str, str]:
        """The files of the repository: the id of each one's content, by path.

        Raises:
            StoreError: no such repository or revision, no permission, or the hub does not answer.
        """
        with _translated(self.text):
            info = self._api.model_info(self.repository, revision=self.asked, files_metadata=True, timeout=SECONDS)
        self.commit = info.sha
        return {one.rfilename: one.blob_id or "" for one in info.siblings or ()}

    def fetch(self, name: str, to: Path) -> None:
        """Download one file of the commit that was listed.

        Raises:
            StoreError: it is not there, or the hub does not answer.
        """
        with _translated(f"{self.text}: {name}"), TemporaryDirectory(dir=to.parent, prefix=".hub-") as folder:
            found = self._api.hf_hub_download(
                self.repository, name, revision=self.commit or self.asked, local_dir=folder
            )
            os.replace(found, to)  # noqa: PTH105 - hf_hub_download returns a string

    def has_tag(self, tag: str) -> bool:
        """Whether the repository exists and has a tag. Raises: see `files`."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with _translated(self.text):
            try:
                refs = self._api.list_repo_refs(self.repository)
            except RepositoryNotFoundError:
                return False
        return any(one.name == tag for one in refs.tags)

    def commit_all(self, files: Mapping[str, Path | bytes], message: str, tag: str, *, private: bool) -> str:
        """Replace the content of the repository by these files in one commit with a tag; returns the commit.

        The repository is created if there is none. Files whose names begin with a dot stay.

        Args:
            files: the content of each file by its path.
            message: of the commit.
            private: whether a new repository can be read by its owner only.

        Raises:
            StoreError: no permission, or the hub does not answer.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        with _translated(self.text):
            self._api.create_repo(self.repository, private=private, exist_ok=True)
            there = self.files()
            gone = [name for name in there if name not in files and not name.startswith(".")]
            add = [CommitOperationAdd(name, _content(content)) for name, content in files.items()]
            done = self._api.create_commit(
                self.repository,
                [*add, *(CommitOperationDelete(name) for name in gone)],
                commit_message=message,
                revision=self.asked,
            )
            self._api.create_tag(self.repository, tag=tag, revision=done.oid)
        return str(done.oid)


def _content(content: Path | bytes) -> str | bytes:
    return content if isinstance(content, bytes) else str(content)


def hub_folder(url: str) -> HubFolder:
    """The repository of a URL.

    Raises:
        InputError: the URL has another form.
        MissingExtra: huggingface-hub is not installed.
    """
    match = _REPOSITORY.fullmatch(url)
    if match is None:
        raise InputError(
            f"{url}: expected hf://OWNER/NAME, or hf://OWNER/NAME@REVISION for a branch, a tag or a commit"
        )
    return HubFolder(match["id"], match["revision"], url.rstrip("/"))


def _client() -> HfApi:
    try:
        from huggingface_hub import HfApi, get_session
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as exc:
        raise MissingExtra("huggingface-hub is not installed: pip install 'vaekit[hub]'") from exc
    if not sys.stderr.isatty():
        disable_progress_bars()
    get_session().timeout = SECONDS  # of requests without a timeout of their own
    return HfApi(library_name="vaekit")


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Raise errors of the hub and of its connection as StoreError."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except HfHubHTTPError as exc:
        raise StoreError(f"{what}: {_first_sentence(exc)}") from exc
    except (OfflineModeIsEnabled, HFValidationError) as exc:
        raise StoreError(f"{what}: {exc}") from exc
    except OSError as exc:
        raise StoreError(f"{what}: {exc.strerror or exc}") from exc
    except (RuntimeError, ValueError) as exc:  # of an upload
        raise StoreError(f"{what}: {exc}{f' {_first_sentence(exc.__cause__)}' if exc.__cause__ else ''}") from exc
    except Exception as exc:
        if not type(exc).__module__.startswith(("httpx", "httpcore", "huggingface_hub")):  # its HTTP client's errors
            raise
        raise StoreError(f"{what}: {type(exc).__name__}: {exc}") from exc


def _first_sentence(exc: BaseException) -> str:
    """The text of an error of the hub, which has several lines of advice."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(exc).__name__
