"""Files, folders and built-in sets as columns or pictures. Knows formats; not what a column is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Source:
    """What a file holds: columns by name, and pictures (N, H, W, C) uint8 where it has them."""

    columns: dict[str, NDArray[Any]]
    pictures: NDArray[np.uint8] | None = None
    stored: NDArray[Any] | None = None  # the array that columns are of, where it stays in its file


def read(source: str) -> Source:
    """What a file, folder or built-in set holds.

    Raises:
        InputError: the source is unknown or unreadable.
    """
    if source in BUILT_IN:
        return BUILT_IN[source]()
    path = Path(source)
    if path.is_dir() and not parquet_files(path):
        return Source({}, _pictures(path))
    reader = _READERS.get(path.suffix.lower()) if path.is_file() else (_parquet if path.is_dir() else None)
    if reader is None:
        kinds = ", ".join(_READERS)
        what = "no such file" if not path.exists() else f"not one of {kinds}"
        raise InputError(f"data {source!r}: {what}, nor a built-in set ({', '.join(BUILT_IN)})")
    try:
        return reader(path)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:  # pyarrow's errors are among these
        raise InputError(f"data {source!r}: {exc}") from exc


def _breast_cancer() -> Source:
    """569 rows of 30 measures of cell nuclei, and `malignant` (Wolberg et al. 1995; ships with scikit-learn)."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = {str(name): data.data[:, d] for d, name in enumerate(data.feature_names)}
    return Source({**columns, "malignant": (data.target == 0).astype(np.int64)})


def _digits() -> Source:
    """1797 pictures of 8 x 8 pixels, 0..255 (Alpaydin and Kaynak 1998; ships with scikit-learn)."""
    from sklearn.datasets import load_digits

    return Source({}, np.rint(load_digits().images * (255 / 16)).astype(np.uint8)[..., None])


def _photographs() -> Source:
    """520 pieces of 32 x 32 pixels, in colour, of the two photographs that ship with scikit-learn."""
    from sklearn.datasets import load_sample_images

    side = 32
    pieces = []
    for photograph in load_sample_images().images:  # (427, 640, 3); what is left over at the edges is not used
        height, width = (length // side for length in photograph.shape[:2])
        grid = photograph[: height * side, : width * side].reshape(height, side, width, side, 3)
        pieces.append(grid.swapaxes(1, 2).reshape(-1, side, side, 3))
    return Source({}, np.concatenate(pieces))


BUILT_IN: dict[str, Callable[[], Source]] = {
    "breast-cancer": _breast_cancer,
    "digits": _digits,
    "photographs": _photographs,
}


def beside(source: str, folder: Path) -> str:
    """A source that is relative to a folder, from anywhere; a built-in set, or what is not there, as it was."""
    found = folder / source
    return str(found) if source not in BUILT_IN and found.exists() else source


def from_arrow(column: Any) -> NDArray[Any]:
    """The cells of an Arrow array: numbers, booleans, dates, or objects with None where one is missing."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)  # to_numpy would take a missing cell for a level
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_time(kind) or pa.types.is_duration(kind):
        column = column.cast(pa.string() if pa.types.is_time(kind) else pa.int64())
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(whole.to_numpy(zero_copy_only=False))


def _from_arrow(table: Any) -> Source:
    twice = [name for name in table.column_names if table.column_names.count(name) > 1]
    if twice:
        raise InputError(f"two columns of one name: {twice[0]!r}")
    return Source({name: from_arrow(table.column(name)) for name in table.column_names})


def _csv(path: Path) -> Source:
    import pyarrow as pa
    from pyarrow import csv

    whole = min(path.stat().st_size + 1, 2**31 - 1)  # a column's type is taken from the first block
    table = csv.read_csv(path, read_options=csv.ReadOptions(block_size=whole))
    for field in table.schema:
        if pa.types.is_binary(field.type):  # what pyarrow makes of text that it cannot decode
            raise InputError(f"data {str(path)!r}: column {field.name!r} is not UTF-8 text: save the file as UTF-8")
    return _from_arrow(table)


def parquet_files(top: Path) -> tuple[Path, ...]:
    """One file, or every .parquet file below a folder in the order of their paths; () where there is none.

    Files and folders whose name starts with a dot or an underscore are left out, as other readers do.
    """
    if top.is_file():
        return (top,) if top.suffix.lower() == ".parquet" else ()
    found = (file.relative_to(top) for file in top.rglob("*") if file.suffix.lower() == ".parquet" and file.is_file())
    return tuple(top / file for file in sorted(found) if not any(part.startswith((".", "_")) for part in file.parts))


def _parquet(path: Path) -> Source:
    """Folders named key=value give a column of that name."""
    from pyarrow import dataset

    files = [str(file) for file in parquet_files(path)]
    base = path if path.is_dir() else path.parent
    keyed = dataset.partitioning(flavor="hive")
    read = dataset.dataset(files, format="parquet", partitioning=keyed, partition_base_dir=str(base))
    return _from_arrow(read.to_table())


def _npy(path: Path) -> Source:
    return from_array(np.load(path, allow_pickle=False))


def _npz(path: Path) -> Source:
    """`X`, or the only array of two or more axes; one-axis arrays of the same length are columns (labels)."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    wide = [name for name, a in arrays.items() if a.ndim > 1]
    name = "X" if "X" in wide else wide[0] if len(wide) == 1 else None
    if name is None:
        raise InputError(f"data {str(path)!r}: which array? There are {', '.join(arrays)}; call it X")
    main = from_array(arrays[name])
    n = len(arrays[name])
    more = {key: a for key, a in arrays.items() if a.ndim == 1 and len(a) == n}
    return Source({**main.columns, **more}, main.pictures)


def from_array(x: NDArray[Any]) -> Source:
    if x.dtype == np.uint8 and x.ndim in (3, 4):
        if x.size == 0 or (x.ndim == 4 and x.shape[-1] not in (1, 3, 4)):
            raise InputError(f"pictures of shape {x.shape}: expected (N, H, W) or (N, H, W, C) with 1, 3 or 4 channels")
        return Source({}, x if x.ndim == 4 else x[..., None])
    if x.ndim != 2:
        raise InputError(
            f"array of shape {x.shape} and type {x.dtype}: expected (N, D) numbers or (N, H, W[, C]) uint8"
        )
    return Source({f"x{d}": x[:, d] for d in range(x.shape[1])})


def _pictures(folder: Path) -> NDArray[np.uint8]:
    """Every picture below the folder, in order of their names: grey where all are, else RGB."""
    from PIL import Image, UnidentifiedImageError

    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
    if not paths:
        raise InputError(f"data {str(folder)!r}: no {', '.join(PICTURES)} files below this folder")
    pictures = []
    for path in paths:
        try:
            with Image.open(path, formats=["PNG", "JPEG"]) as picture:
                pictures.append(np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB")))
        except (UnidentifiedImageError, OSError) as exc:
            raise InputError(f"{path}: not a picture: {exc}") from exc
        if pictures[-1].shape[:2] != pictures[0].shape[:2]:
            a, b = pictures[-1].shape, pictures[0].shape
            raise InputError(f"{path}: {a[0]} x {a[1]} pixels, where {paths[0].name} has {b[0]} x {b[1]}")
    colour = any(p.ndim == 3 for p in pictures)
    stacked = [np.repeat(p[..., None], 3, axis=-1) if colour and p.ndim == 2 else p for p in pictures]
    x = np.stack(stacked)
    return x if colour else x[..., None]


_READERS: dict[str, Callable[[Path], Source]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".npy": _npy,
    ".npz": _npz,
}
