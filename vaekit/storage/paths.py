"""Resolves paths and URIs on every file system that pyarrow or fsspec supports.

A URI names its file system (file://, s3://, gs://, hdfs://); anything else is a local path. pyarrow reads the
credentials of an object store from environment variables, configuration files or the role of the machine. Any other
scheme (az://, ftp://, memory://) is left to fsspec and the package that it needs for that scheme.
"""

from __future__ import annotations

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs

from vaekit.errors import InputError
from vaekit.tabular.folders import files_below

STORES = ("s3", "gcs", "abfs")  # object stores: S3, Google Cloud Storage, Azure
STDOUT = "-"  # as an output: standard output
_FILES = (fs.FileType.File, fs.FileType.NotFound)  # and links to nowhere, which are refused by name when they are read
SENT_AT_ONCE = 2**20  # bytes per write
ARROW_SCHEMES = {"file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss"}
# Credentials in a URI: before the host, also if a password has an unescaped slash, and in the query
_BEFORE_HOST = re.compile(r"(?<=://)(?:[^/?]*|[^/?:@]*:(?!\d+/)[^?]*)@")
_IN_QUERY = re.compile(r"([?&][^=&]*(?:key|secret|token|sig|sas|password|credential)[^=&]*=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True)
class StoragePath:
    """A path on any file system. The file or folder may not exist yet."""

    filesystem: fs.FileSystem
    fs_path: str  # as the file system writes it, without the scheme
    text: str  # as the user wrote it, without credentials

    def __str__(self) -> str:
        return self.text

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    @property
    def is_in_store(self) -> bool:
        """Whether it is in an object store, which has no folders and shows an object only when complete."""
        return self.filesystem.type_name in STORES

    @property
    def is_stdout(self) -> bool:
        """Whether it stands for standard output, if it is an output."""
        return self.text == STDOUT

    @property
    def suffix(self) -> str:
        """The ending with its dot, in lower case."""
        return PurePosixPath(self.fs_path).suffix.lower()

    @property
    def info(self) -> fs.FileInfo:
        """Type, size and time of change.

        Raises:
            InputError: the file system does not answer.
        """
        try:
            return self.filesystem.get_file_info(self.fs_path)
        except (pa.ArrowException, OSError) as exc:
            raise InputError(f"{self}: {exc}") from exc

    @property
    def exists(self) -> bool:
        return bool(self.info.type != fs.FileType.NotFound)

    @property
    def is_folder(self) -> bool:
        return bool(self.info.type == fs.FileType.Directory)

    def check_bucket(self) -> None:
        """Check that the bucket of an object store exists.

        Raises:
            InputError: the bucket does not exist.
        """
        if not self.is_in_store:
            return
        bucket = self.fs_path.strip("/").partition("/")[0]
        try:
            found = self.filesystem.get_file_info(bucket)
        except (pa.ArrowException, OSError):
            return  # a bucket may be writable without being readable
        if found.type == fs.FileType.NotFound:
            raise InputError(f"{self}: bucket {bucket!r} does not exist")

    def below(self, name: str) -> StoragePath:
        """The path of a name in this folder."""
        path, query = _split_query(self.text)
        return StoragePath(self.filesystem, _joined(self.fs_path, name), f"{_joined(path, name)}{query}")

    def upload(self, file: Path) -> None:
        """Copy a complete local file to this path, even if this thread is interrupted.

        A second thread writes the stream. Otherwise Ctrl-C would close it early, and an object store publishes every
        stream that is closed. pyarrow's copy_files cannot be interrupted either, but it raises no error if the
        store rejects the end of an object.
        """
        with ThreadPoolExecutor(1) as thread:
            thread.submit(int).result()  # starts the thread: one interrupted in its start would not be waited for
            thread.submit(self._upload, file).result()

    def _upload(self, file: Path) -> None:
        with file.open("rb") as source, self.filesystem.open_output_stream(self.fs_path, compression=None) as stream:
            shutil.copyfileobj(source, stream, SENT_AT_ONCE)

    def open(self) -> pa.NativeFile:
        """The open file, for random access."""
        return self.filesystem.open_input_file(self.fs_path)

    def read(self) -> bytes:
        """The content of the file."""
        with self.open() as file:
            return bytes(file.read())

    def files(self) -> list[fs.FileInfo]:
        """All files below this folder, sorted by path; links on the local disk are followed, as in training."""
        if self.is_local:
            paths = [_joined(self.fs_path, name) for name in files_below(Path(self.fs_path))]
            found = [info for info in self.filesystem.get_file_info(paths) if info.type in _FILES]
        else:
            selector = fs.FileSelector(self.fs_path, recursive=True, allow_not_found=True)
            found = [info for info in self.filesystem.get_file_info(selector) if info.is_file]
        return sorted(found, key=lambda info: str(info.path))

    def name_of(self, info: fs.FileInfo) -> str:
        """The path of a file below this folder, relative to it."""
        return PurePosixPath(info.path).relative_to(self.fs_path).as_posix()

    def same_as(self, other: StoragePath) -> bool:
        """Whether both paths name the same file or folder."""
        if self.is_local and other.is_local:
            mine, its = Path(os.path.realpath(self.fs_path)), Path(os.path.realpath(other.fs_path))
            return mine == its or (mine.exists() and its.exists() and mine.samefile(its))
        return bool(self.filesystem.equals(other.filesystem)) and _plain(self.fs_path) == _plain(other.fs_path)

    def lies_in(self, other: StoragePath) -> bool:
        """Whether this path is below that folder."""
        if self.is_local and other.is_local:
            return Path(os.path.realpath(other.fs_path)) in Path(os.path.realpath(self.fs_path)).parents
        return bool(self.filesystem.equals(other.filesystem)) and _plain(other.fs_path) in _plain(self.fs_path).parents


def storage_path(where: Path | str | StoragePath) -> StoragePath:
    """Parse a path or a URI.

    Raises:
        InputError: neither pyarrow nor fsspec supports the file system of the URI, its package is missing, or it cannot
            be reached.
    """
    if isinstance(where, StoragePath):
        return where
    text = str(where)
    if "://" not in text:
        absolute = str(Path(text).absolute())  # other processes may have another working folder
        return StoragePath(fs.LocalFileSystem(), absolute, text)
    shown = without_credentials(text)
    try:
        if text.partition("://")[0].lower() not in ARROW_SCHEMES:
            return StoragePath(*_by_fsspec(text), shown)
        filesystem, path = fs.FileSystem.from_uri(text)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise InputError(f"{shown}: {str(exc).replace(text, shown)}") from exc
    return StoragePath(filesystem, path, shown)


def without_credentials(uri: str) -> str:
    """A URI as messages, summaries and logs show it."""
    return _IN_QUERY.sub(r"\1...", _BEFORE_HOST.sub("", uri))


def _by_fsspec(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system and the path of a URI, by fsspec.

    Raises:
        InputError: fsspec, or the package of this file system, is not installed.
        ValueError: no such file system.
    """
    scheme = uri.partition("://")[0]
    try:
        from fsspec.core import url_to_fs

        found, path = url_to_fs(uri)
    except ImportError as exc:
        raise InputError(f"{scheme}://: this file system needs a package that is not installed: {exc}") from exc
    return fs.PyFileSystem(fs.FSSpecHandler(found)), path


def names_a_folder(where: Path | str | StoragePath) -> bool:
    """Whether an output with this name is a folder: it ends with a slash or has no ending (.csv), and is not -."""
    if str(where) == STDOUT:
        return False
    text, _ = _split_query(str(where))
    return text.endswith("/") or not PurePosixPath(text).suffix


def _split_query(text: str) -> tuple[str, str]:
    """(path, query). The query of a URI holds options for its file system, such as the endpoint."""
    path, mark, query = text.partition("?") if "://" in text else (text, "", "")
    return path, mark + query


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _plain(path: str) -> PurePosixPath:
    return PurePosixPath(path.strip("/"))
