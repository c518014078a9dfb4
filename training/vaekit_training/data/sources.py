"""Reads files, folders and built-in datasets as columns or images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.columns import refuse_duplicate_names
from vaekit.tabular.folders import files_below
from vaekit.tabular.frames import index_columns_in
from vaekit_training.data.arrow import categories_in, from_arrow
from vaekit_training.data.csv_source import read_csv
from vaekit_training.data.image_folder import image_folder
from vaekit_training.sections import DataConfig

CSV = ".csv"
HOLD_COLUMNS = (CSV, ".parquet")


@dataclass(frozen=True)
class Source:
    """The contents of a source: columns by name, or images (N, H, W, C) uint8."""

    columns: dict[str, NDArray[Any]]
    images: NDArray[np.uint8] | None = None
    files: NDArray[np.object_] | None = None  # (N,) names of the files of images; None: they lie in one file
    stored: NDArray[Any] | None = None  # the memory-mapped array that the columns are views of, if any
    index: tuple[str, ...] = ()  # columns that hold the index of a pandas frame, according to the file's metadata
    written: bool = False  # whether numbers may be text, as in a CSV file
    remarks: tuple[str, ...] = ()  # what was left out, as sentences


def read(source: str, config: DataConfig | None = None) -> Source:
    """The contents of a file, folder or built-in dataset.

    Args:
        source: path, or name of a dataset.
        config: how a CSV file is written, and to which size images are scaled.

    Raises:
        InputError: the source is unknown, unreadable or ambiguous, or a size is given and it is no folder of images.
    """
    _check_unambiguous(source, Path())
    path, size = Path(source), config.resize if config is not None else None
    if source not in BUILT_IN and path.is_dir() and not parquet_files(path):
        found = image_folder(path, size)
        return Source(found.columns, found.pixels, found.names, remarks=found.remarks)
    if size is not None:
        raise InputError(f"data {source!r}: data.resize scales the images of a folder, and this is none")
    if source in BUILT_IN:
        return BUILT_IN[source]()
    reader = _READERS.get(path.suffix.lower()) if path.is_file() else (_parquet if path.is_dir() else None)
    if reader is None and not (path.is_file() and path.suffix.lower() == CSV):
        kinds = ", ".join((CSV, *_READERS))
        what = "no such file or folder" if not path.exists() else f"not a file of type {kinds}"
        raise InputError(f"data {source!r}: {what}, and not a built-in dataset ({', '.join(BUILT_IN)})")
    try:
        return reader(path) if reader is not None else Source(read_csv(path, config), written=True)
    except InputError as exc:
        if str(exc).startswith(("data ", str(path))):
            raise
        raise InputError(f"data {source!r}: {exc}") from exc
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:  # pyarrow raises subclasses of these
        raise InputError(f"data {source!r}: {exc}") from exc


def _breast_cancer() -> Source:
    """569 rows of 30 measurements of cell nuclei, and the label `malignant`.

    Source: Wolberg et al. (1995), as shipped with scikit-learn.
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = {str(name): data.data[:, d] for d, name in enumerate(data.feature_names)}
    return Source({**columns, "malignant": (data.target == 0).astype(np.int64)})


def _digits() -> Source:
    """1797 grey images of 8 x 8 pixels, 0..255.

    Source: Alpaydin and Kaynak (1998), as shipped with scikit-learn.
    """
    from sklearn.datasets import load_digits

    return Source({}, np.rint(load_digits().images * (255 / 16)).astype(np.uint8)[..., None])


def _photographs() -> Source:
    """520 colour tiles of 32 x 32 pixels, cut from the two photographs that ship with scikit-learn."""
    from sklearn.datasets import load_sample_images

    side = 32
    tiles = []
    for photograph in load_sample_images().images:  # (427, 640, 3); incomplete tiles at the edges are not used
        height, width = (length // side for length in photograph.shape[:2])
        grid = photograph[: height * side, : width * side].reshape(height, side, width, side, 3)
        tiles.append(grid.swapaxes(1, 2).reshape(-1, side, side, 3))
    return Source({}, np.concatenate(tiles))


BUILT_IN: dict[str, Callable[[], Source]] = {
    "breast-cancer": _breast_cancer,
    "digits": _digits,
    "photographs": _photographs,
}


def beside(source: str, folder: Path) -> str:
    """The path of the source in the folder, if it exists there and is not a built-in dataset; otherwise the source.

    Raises:
        InputError: it is both.
    """
    _check_unambiguous(source, folder)
    found = folder / source
    return str(found) if source not in BUILT_IN and found.exists() else source


def _check_unambiguous(source: str, folder: Path) -> None:
    """Refuse the name of a built-in dataset that is also that of a file or folder, which would not be read."""
    if source in BUILT_IN and (folder / source).exists():
        raise InputError(
            f"data {source!r}: a built-in dataset, and also a folder or file in {str(folder.resolve())!r}; write "
            f"'./{source}' for the latter, or rename it"
        )


def holds_columns(source: str) -> bool:
    """Whether the name of a source alone shows that it has columns and not images."""
    path = Path(source)
    return (
        source == "breast-cancer" or path.suffix.lower() in HOLD_COLUMNS or (path.is_dir() and any(parquet_files(path)))
    )


def _from_arrow(table: Any, of_file: Any) -> Source:
    """The columns of a table; of_file: metadata of the file that it was read from."""
    categories = categories_in(table.schema, of_file)
    columns = {
        name: from_arrow(table.column(name), table.field(name), is_category=name in categories)
        for name in table.column_names
    }
    return Source(columns, index=index_columns_in(table.schema))


def parquet_files(top: Path) -> tuple[Path, ...]:
    """A Parquet file, or all .parquet files below a folder sorted by path; () if there is none."""
    if top.is_file():
        return (top,) if top.suffix.lower() == ".parquet" else ()
    from vaekit.tabular.parquet_files import is_data_file

    found = filter(is_data_file, map(Path, files_below(top)))
    return tuple(top / file for file in sorted(found, key=str))


def _parquet(path: Path) -> Source:
    """Columns of a Parquet file or folder; subfolders named key=value add a column `key`."""
    from pyarrow.parquet import read_metadata

    from vaekit.tabular.parquet_files import dataset

    files = [str(file) for file in parquet_files(path)]
    base = path if path.is_dir() else path.parent
    try:
        return _from_arrow(dataset(files, str(base)).to_table(), read_metadata(files[0]).metadata)
    except ValueError:
        _refuse_unlike(parquet_files(path), path)  # raises a clearer message than pyarrow does
        raise


def _refuse_unlike(files: Sequence[Path], top: Path) -> None:
    """Refuse files whose columns differ from those of the first file; reads footers only."""
    from pyarrow import parquet

    first = None
    for file in files:
        where = f"data {str(top)!r}" + (f", {file.relative_to(top)}" if file != top else "")
        try:
            schema = parquet.read_schema(file).remove_metadata()
        except (OSError, ValueError) as exc:  # pyarrow raises subclasses of these
            raise InputError(f"{where}: {exc}") from exc
        first = schema if first is None else first
        refuse_unlike(where, first, schema)


def refuse_unlike(where: str, first: Any, schema: Any) -> None:
    """Refuse an Arrow schema with two columns of the same name, or with other columns than the first file.

    Raises:
        InputError: the schema is refused; the message names the column and both types.
    """
    from vaekit.tabular.parquet_files import first_difference

    refuse_duplicate_names(schema.names, f"{where}: ")
    if difference := first_difference(first, schema):
        name, there, here = difference
        raise InputError(
            f"{where}: column {name!r} is {here}, but in the first file it is {there}; all files need the same columns"
        )


def _npy(path: Path) -> Source:
    return from_array(np.load(path, allow_pickle=False))


def _npz(path: Path) -> Source:
    """The array `X`, or the only one with two or more axes; 1-d arrays of the same length become columns (labels)."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    wide = [name for name, a in arrays.items() if a.ndim > 1]
    name = "X" if "X" in wide else wide[0] if len(wide) == 1 else None
    if name is None:
        raise InputError(f"data {str(path)!r}: several arrays ({', '.join(arrays)}): name the array of rows X")
    main = from_array(arrays[name])
    n = len(arrays[name])
    more = {key: a for key, a in arrays.items() if a.ndim == 1 and len(a) == n}
    return Source({**main.columns, **more}, main.images)


def from_array(x: NDArray[Any]) -> Source:
    """Columns x0, x1, ... of an array (N, D), or images of uint8 (N, H, W) or (N, H, W, C); others are refused."""
    if x.dtype == np.uint8 and x.ndim in (3, 4):
        if x.size == 0 or (x.ndim == 4 and x.shape[-1] not in (1, 3, 4)):
            raise InputError(f"images of shape {x.shape}: expected (N, H, W) or (N, H, W, C) with 1, 3 or 4 channels")
        return Source({}, x if x.ndim == 4 else x[..., None])
    if x.ndim != 2:
        raise InputError(
            f"array of shape {x.shape} and type {x.dtype}: expected (N, D) numbers or (N, H, W[, C]) uint8"
        )
    return Source({f"x{d}": x[:, d] for d in range(x.shape[1])})


_READERS: dict[str, Callable[[Path], Source]] = {
    ".parquet": _parquet,
    ".npy": _npy,
    ".npz": _npz,
}
