"""Opens an input by the ending of its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.scoring.files.csv_file import CsvSource
from vaekit.scoring.files.fragments import RowSource, translated
from vaekit.scoring.files.image_folder import ImageFolderSource, is_image_file
from vaekit.scoring.files.npy_file import ImageSource, NpySource
from vaekit.scoring.files.parquet_file import ArrowSource, ParquetSource
from vaekit.storage.paths import StoragePath, storage_path
from vaekit.tabular.csv_text import PLAIN, CsvDialect, one_column

ARROW = (".arrow", ".feather")


def open_source(
    where: Path | str | StoragePath,
    spec: VectorSpec | ImageSpec,
    batch_rows: int,
    columns: Sequence[str] | None = None,
    csv: CsvDialect = PLAIN,
) -> RowSource:
    """The source for a .csv, .parquet, .arrow, .feather or .npy file, or for a folder of Parquet files or of images.

    Args:
        where: path or URI of the input.
        spec: input of the model; for images a folder of images, one image, or .npy.
        batch_rows: largest number of rows per chunk.
        columns: columns to read besides the model's; None: all.
        csv: how a .csv file is written.

    Raises:
        InputError: the input does not exist, its ending is unknown, or its content does not match the ending.
    """
    source = storage_path(where)
    if not source.exists:
        raise InputError(f"{source}: no such file or folder")
    with translated(source):
        if isinstance(spec, ImageSpec):
            return _image_source(source, spec, batch_rows)
        return _table_source(source, spec, batch_rows, None if columns is None else [*_names(spec), *columns], csv)


def _names(spec: VectorSpec) -> list[str]:
    """The columns that the model reads; of a model of windows those of a window, and those of a time step."""
    beside = () if spec.window is None else (*spec.step.names, *spec.window.beside)
    return [*spec.names, *beside]


def _image_source(source: StoragePath, spec: ImageSpec, batch_rows: int) -> RowSource:
    if source.is_folder or is_image_file(source):
        return ImageFolderSource(source, spec, batch_rows)
    if source.suffix != ".npy":
        raise InputError(
            f"{source}: a model of images reads a folder of images, one image (.png, .jpg) or a .npy file, "
            "(N, H, W, C), uint8"
        )
    return ImageSource(source, spec, batch_rows)


def _table_source(
    source: StoragePath, spec: VectorSpec, batch_rows: int, columns: Sequence[str] | None, csv: CsvDialect
) -> RowSource:
    if source.is_folder or source.suffix == ".parquet":
        return ParquetSource(source, batch_rows, columns)
    if source.suffix in ARROW:
        return ArrowSource(source, batch_rows, columns)
    if source.suffix == ".npy":
        return NpySource(source, (spec, spec.step), batch_rows)
    if source.suffix == ".csv":
        found = CsvSource(source, batch_rows, columns, csv)
        if spec.dim > 1 and (other := csv.other(found.names)):
            raise InputError(f"{source}: {one_column(found.names[0], other, source.open)}")
        return found
    hint = "; save the rows of an .npz with numpy.save" if source.suffix == ".npz" else ""
    raise InputError(f"{source}: expected .csv, .parquet, .arrow, .feather, .npy, or a folder of .parquet files{hint}")
