"""Resolves paths and URIs on every file system that pyarrow supports.

A URI names its file system (file://, s3://, gs://, hdfs://); anything else is a local path. pyarrow finds the keys of
an object store in environment variables, configuration files or the role of the machine.
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
KEYS = re.compile(r"(?<=://)[^/?]*@")  # credentials in a URI, which no message, summary or log may show


@dataclass(frozen=True)
class Place:
    """The path of a file or folder that may not exist yet."""

    filesystem: fs.FileSystem
    path: str  # in the notation of the file system
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
        return PurePosixPath(self.path).suffix.lower()

    @property
    def info(self) -> fs.FileInfo:
        """Type, size and time of change.

        Raises:
            InputError: the file system does not answer.
        """
        try:
            return self.filesystem.get_file_info(self.path)
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
            InputError: it does not.
        """
        if not self.is_in_store:
            return
        bucket = self.path.strip("/").partition("/")[0]
        try:
            found = self.filesystem.get_file_info(bucket)
        except (pa.ArrowException, OSError):
            return  # a bucket may be writable without being readable
        if found.type == fs.FileType.NotFound:
            raise InputError(f"{self}: bucket {bucket!r} does not exist")

    def below(self, name: str) -> Place:
        """The path of a name in this folder."""
        path, query = _parted(self.text)
        return Place(self.filesystem, _joined(self.path, name), f"{_joined(path, name)}{query}")

    def receive(self, file: Path) -> None:
        """Copy a complete local file to this path, even if this thread is interrupted.

        A second thread writes the stream. Otherwise Ctrl-C would close it early, and an object store publishes every
        stream that is closed. (pyarrow's copy_files cannot be interrupted either, but raises nothing if the end of an
        object is not accepted.)
        """
        with ThreadPoolExecutor(1) as own:
            own.submit(self._receive, file).result()

    def _receive(self, file: Path) -> None:
        with file.open("rb") as source, self.filesystem.open_output_stream(self.path, compression=None) as stream:
            shutil.copyfileobj(source, stream, SENT_AT_ONCE)

    def open(self) -> pa.NativeFile:
        """The open file, for random access."""
        return self.filesystem.open_input_file(self.path)

    def read(self) -> bytes:
        """The content of the file."""
        with self.open() as file:
            return bytes(file.read())

    def files(self) -> list[fs.FileInfo]:
        """All files below this folder, sorted by path; links on the local disk are followed, as in training."""
        if self.is_local:
            paths = [_joined(self.path, name) for name in files_below(Path(self.path))]
            found = [info for info in self.filesystem.get_file_info(paths) if info.type in _FILES]
        else:
            selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
            found = [info for info in self.filesystem.get_file_info(selector) if info.is_file]
        return sorted(found, key=lambda info: str(info.path))

    def name_of(self, info: fs.FileInfo) -> str:
        """The path of a file below this folder, relative to it."""
        return PurePosixPath(info.path).relative_to(self.path).as_posix()

    def same_as(self, other: Place) -> bool:
        """Whether both paths name the same file or folder."""
        if self.is_local and other.is_local:
            mine, its = Path(os.path.realpath(self.path)), Path(os.path.realpath(other.path))
            return mine == its or (mine.exists() and its.exists() and mine.samefile(its))
        return bool(self.filesystem.equals(other.filesystem)) and _plain(self.path) == _plain(other.path)

    def lies_in(self, other: Place) -> bool:
        """Whether this path is below that folder."""
        if self.is_local and other.is_local:
            return Path(os.path.realpath(other.path)) in Path(os.path.realpath(self.path)).parents
        return bool(self.filesystem.equals(other.filesystem)) and _plain(other.path) in _plain(self.path).parents


def place(where: Path | str | Place) -> Place:
    """Parse a path or a URI.

    Raises:
        InputError: pyarrow does not support or cannot reach the file system of the URI.
    """
    if isinstance(where, Place):
        return where
    text = str(where)
    if "://" not in text:
        absolute = str(Path(text).absolute())  # other processes may have another working folder
        return Place(fs.LocalFileSystem(), absolute, text)
    shown = KEYS.sub("", text)
    try:
        filesystem, path = fs.FileSystem.from_uri(text)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise InputError(f"{shown}: {str(exc).replace(text, shown)}") from exc
    return Place(filesystem, path, shown)


def names_a_folder(where: Path | str | Place) -> bool:
    """Whether an output of this name is a folder: the name ends with a slash or has no ending, but is not `-`."""
    if str(where) == STDOUT:
        return False
    text, _ = _parted(str(where))
    return text.endswith("/") or not PurePosixPath(text).suffix


def _parted(text: str) -> tuple[str, str]:
    """(path, query): the query of a URI has options of its file system."""
    path, mark, query = text.partition("?") if "://" in text else (text, "", "")
    return path, mark + query


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _plain(path: str) -> PurePosixPath:
    return PurePosixPath(path.strip("/"))
