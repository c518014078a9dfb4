"""Where files are: a path on any file system that pyarrow knows.

A URI names its own file system (file://, s3://, gs://, hdfs://); anything else is a local path. Keys to a store are the
library's to find: its environment variables, its configuration files, the machine's role.
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

STORES = ("s3", "gcs", "abfs")  # of objects in buckets: S3, Google's, Azure's
SENT_AT_ONCE = 2**20  # bytes
KEYS = re.compile(r"(?<=://)[^/?]*@")  # of a URI that has them; they are for no message, summary or log


@dataclass(frozen=True)
class Place:
    """A file or folder, there or not yet."""

    filesystem: fs.FileSystem
    path: str  # as the file system has it
    text: str  # as the user has it, but for keys

    def __str__(self) -> str:
        return self.text

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    @property
    def is_in_store(self) -> bool:
        """Whether it is an object in a bucket: there are no folders, and an object is there once it is whole."""
        return self.filesystem.type_name in STORES

    @property
    def suffix(self) -> str:
        """The ending with its dot, in small letters."""
        return PurePosixPath(self.path).suffix.lower()

    @property
    def info(self) -> fs.FileInfo:
        """Whether it is there, and what.

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
        """Refuse a store's bucket that is not there.

        Raises:
            InputError: it is not.
        """
        if not self.is_in_store:
            return
        bucket = self.path.strip("/").partition("/")[0]
        try:
            found = self.filesystem.get_file_info(bucket)
        except (pa.ArrowException, OSError):
            return  # one that may not be looked at may still be written to
        if found.type == fs.FileType.NotFound:
            raise InputError(f"{self}: no bucket {bucket!r}")

    def below(self, name: str) -> Place:
        """What is there of this name, relative to this folder."""
        path, query = _parted(self.text)
        return Place(self.filesystem, _joined(self.path, name), f"{_joined(path, name)}{query}")

    def receive(self, file: Path) -> None:
        """Put a local file here, to its end whatever else happens in this thread.

        Were the stream written here, Ctrl-C would close it early, and a store takes what is closed for whole.
        (pyarrow's copy_files cannot be interrupted, but is silent where the last of an object is not taken.)
        """
        with ThreadPoolExecutor(1) as own:
            own.submit(self._receive, file).result()

    def _receive(self, file: Path) -> None:
        with file.open("rb") as whole, self.filesystem.open_output_stream(self.path, compression=None) as stream:
            shutil.copyfileobj(whole, stream, SENT_AT_ONCE)

    def open(self) -> pa.NativeFile:
        """The file, to be read anywhere in it."""
        return self.filesystem.open_input_file(self.path)

    def read(self) -> bytes:
        """The whole file."""
        with self.open() as file:
            return bytes(file.read())

    def files(self) -> list[fs.FileInfo]:
        """All files below this folder, by their paths."""
        selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
        found = [info for info in self.filesystem.get_file_info(selector) if info.is_file]
        return sorted(found, key=lambda info: str(info.path))

    def name_of(self, info: fs.FileInfo) -> str:
        """The path of a file below this folder, relative to it."""
        return PurePosixPath(info.path).relative_to(self.path).as_posix()

    def same_as(self, other: Place) -> bool:
        """Whether both are one file or folder."""
        if self.is_local and other.is_local:
            mine, its = Path(os.path.realpath(self.path)), Path(os.path.realpath(other.path))
            return mine == its or (mine.exists() and its.exists() and mine.samefile(its))
        return bool(self.filesystem.equals(other.filesystem)) and _plain(self.path) == _plain(other.path)

    def lies_in(self, other: Place) -> bool:
        """Whether it is below that folder."""
        if self.is_local and other.is_local:
            return Path(os.path.realpath(other.path)) in Path(os.path.realpath(self.path)).parents
        return bool(self.filesystem.equals(other.filesystem)) and _plain(other.path) in _plain(self.path).parents


def place(where: Path | str | Place) -> Place:
    """The place that a path or a URI names.

    Raises:
        InputError: a URI of a file system that pyarrow does not know, or cannot reach.
    """
    if isinstance(where, Place):
        return where
    text = str(where)
    if "://" not in text:
        return Place(fs.LocalFileSystem(), str(Path(text).absolute()), text)  # other processes may be elsewhere
    shown = KEYS.sub("", text)
    try:
        filesystem, path = fs.FileSystem.from_uri(text)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise InputError(f"{shown}: {str(exc).replace(text, shown)}") from exc
    return Place(filesystem, path, shown)


def names_a_folder(where: Path | str | Place) -> bool:
    """Whether an output of this name is a folder: it ends with a slash, or has no ending."""
    text, _ = _parted(str(where))
    return text.endswith("/") or not PurePosixPath(text).suffix


def _parted(text: str) -> tuple[str, str]:
    """What names a file, and the query of a URI, which tells how its file system is reached."""
    path, mark, query = text.partition("?") if "://" in text else (text, "", "")
    return path, mark + query


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _plain(path: str) -> PurePosixPath:
    return PurePosixPath(path.strip("/"))
