"""Opens the source that fits an input's name. Knows which formats there are, not what is in them."""

from __future__ import annotations

from pathlib import Path

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.scoring.csvfile import CsvSource
from vaekit.scoring.npyfile import ImageSource, NpySource
from vaekit.scoring.parquetfile import ParquetSource
from vaekit.scoring.pieces import Source, translated


def open_source(path: Path, spec: VectorSpec | ImageSpec, batch_rows: int) -> Source:
    """The source for a .csv or .parquet file, a folder of Parquet files, or a .npy file.

    Args:
        path: the input.
        spec: what the model takes; a model of images takes .npy alone.
        batch_rows: rows of a piece, at most.

    Raises:
        InputError: no such input, another ending, or a file that is not what its name says.
    """
    ending = path.suffix.lower()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    with translated(path):
        if isinstance(spec, ImageSpec):
            if ending != ".npy":
                raise InputError(f"{path}: a model of images scores .npy files: (N, H, W, C), uint8")
            return ImageSource(path, spec, batch_rows)
        if path.is_dir() or ending == ".parquet":
            return ParquetSource(path, batch_rows)
        if ending == ".npy":
            return NpySource(path, spec, batch_rows)
        if ending == ".csv":
            return CsvSource(path, batch_rows)
    hint = "; of an .npz, save the rows alone by numpy.save" if ending == ".npz" else ""
    raise InputError(f"{path}: expected .csv, .parquet, .npy, or a folder of .parquet files{hint}")
