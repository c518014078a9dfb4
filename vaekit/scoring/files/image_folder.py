"""Reads image files of a folder, or one image file, in bounded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from vaekit.bundle import ImageSpec
from vaekit.errors import InputError
from vaekit.scoring.files.fragments import Chunk, Fragment, InputFile, file_of, translated
from vaekit.storage.paths import StoragePath
from vaekit.tabular.csv_text import PLAIN
from vaekit.tabular.image_files import SUFFIXES, class_of, read_pixels, select

LABEL = "folder"  # column with the class of each image: the first subfolder in its path


class ImageFolderSource:
    """The .png and .jpg files below a folder, in the order of their paths; `vaekit.tabular.image_files` has the rule.

    The table has the number of each image, its path in the folder and, if there are subfolders, its class.
    """

    text, indices, dialect = False, True, PLAIN
    unit: Literal["rows", "bytes"] = "rows"
    keys: Sequence[str] = ()

    def __init__(self, path: StoragePath, spec: ImageSpec, batch_rows: int) -> None:
        """Raises InputError if there is no image."""
        self.path = path
        self._is_folder = path.is_folder
        self._spec, self._batch_rows, self._done = spec, batch_rows, 0
        self._files, self.remarks = _files(path) if self._is_folder else ([file_of(path)], ())
        self.size = len(self._files)
        fields = [("row", pa.int64()), ("file", pa.string())]
        has_classes = any(class_of(file.name) for file in self._files)
        self.schema = pa.schema([*fields, *([(LABEL, pa.string())] if has_classes else [])])

    def done(self) -> int:
        return self._done

    def fragments(self, part_rows: int | None = None) -> list[Fragment]:
        most = part_rows or self.size
        return [
            Fragment(_joined(self._files[at : at + most]), at, len(self._files[at : at + most]), at)
            for at in range(0, self.size, most)
        ]

    def chunks(self) -> Iterator[Chunk]:
        for fragment in self.fragments():
            yield from self.read(fragment)

    def read(self, fragment: Fragment) -> Iterator[Chunk]:
        end = fragment.start + (fragment.rows or 0)
        for start in range(fragment.start, end, self._batch_rows):
            yield self._chunk(start, self._files[start : min(end, start + self._batch_rows)])

    def _chunk(self, start: int, files: Sequence[InputFile]) -> Chunk:
        pixels = np.zeros((len(files), *self._spec.row_shape), dtype=np.uint8)
        faults: list[str | None] = [None] * len(files)
        for i, file in enumerate(files):
            path = self.path.below(file.name) if self._is_folder else self.path
            try:
                with translated(path):
                    pixels[i] = read_pixels(path.read(), str(path), self._spec)
            except InputError as exc:
                faults[i] = str(exc).removeprefix(f"{path}: ")
            self._done += 1
        columns = [np.arange(start, start + len(files)), [file.name for file in files]]
        columns += [[class_of(file.name) for file in files]] if LABEL in self.schema.names else []
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self.schema, strict=True)]
        return Chunk(start, pa.RecordBatch.from_arrays(arrays, schema=self.schema), pixels, tuple(faults))


def is_image_file(path: StoragePath) -> bool:
    """Whether the path ends as an image does."""
    return path.suffix in SUFFIXES


def _files(folder: StoragePath) -> tuple[list[InputFile], tuple[str, ...]]:
    """The images of a folder, and a sentence about its other files."""
    found = {folder.name_of(info): info for info in folder.files()}
    names, remark = select(list(found))
    if not names:
        raise InputError(
            f"{folder}: no {', '.join(SUFFIXES)} files below this folder{f' ({remark})' if remark else ''}"
        )
    files = [InputFile(name, int(found[name].size or 0), int(found[name].mtime_ns or 0)) for name in names]
    return files, (remark,) if remark else ()


def _joined(files: Sequence[InputFile]) -> InputFile:
    """Several files as one, for messages and for the check of a resumed run."""
    first, last = files[0].name, files[-1].name
    name = first if first == last else f"{first} to {last}"
    return InputFile(name, sum(file.size for file in files), max(file.changed for file in files))
