"""Rows from files and built-in sets, as arrays. Knows formats, columns and labels; not splits or models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from training.columns import Statistics, channels
from training.sections import Data as DataConfig
from vaekit.bundle.manifest import Kind
from vaekit.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg")
PICTURES_AT_ONCE = 1024


@dataclass(frozen=True)
class Rows:
    """What a run trains on: x in raw units, and what is known of each row."""

    x: NDArray[Any]  # (N, D) float64, NaN where a cell is missing, level indices; or (N, H, W, C) uint8
    columns: tuple[str, ...]  # D names; () for pictures
    anomaly: NDArray[np.bool_]  # (N,), all false where there is no label
    split_key: NDArray[Any] | None = None  # (N,): time or group
    kinds: tuple[Kind, ...] = ()  # D; all real where not given
    levels: tuple[tuple[str, ...] | None, ...] = ()  # D; None for all but categories
    may_be_missing: tuple[bool, ...] = ()  # D

    def __post_init__(self) -> None:
        for name, default in (("kinds", "real"), ("levels", None), ("may_be_missing", False)):
            object.__setattr__(self, name, getattr(self, name) or (default,) * len(self.columns))

    @property
    def is_image(self) -> bool:
        return self.x.ndim == 4

    @property
    def observed(self) -> NDArray[np.bool_] | None:
        """Which cells are there, (N, D); None where no column may be missing."""
        return ~np.isnan(self.x) if any(self.may_be_missing) else None

    def statistics(self, index: NDArray[np.intp]) -> Statistics:
        """Of the columns of these rows.

        Raises:
            InputError: a column of which none of them has a cell.
        """
        found = Statistics.of(self.x[index], self.kinds)
        if not found.count.all():
            name = self.columns[int(found.count.argmin())]
            raise InputError(f"feature {name!r}: no training row has a value; leave it out by data.exclude")
        return found

    def channels(self, index: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each channel of these pictures, each (C,)."""
        return channels(self.x[part] for part in np.array_split(index, len(index) // PICTURES_AT_ONCE + 1))

    def digest(self) -> str:
        """sha256 over shape, names, levels, values and labels."""
        facts: tuple[Any, ...] = (self.x.shape, str(self.x.dtype), self.columns)
        sha = hashlib.sha256(repr((*facts, self.levels) if any(self.levels) else facts).encode())
        sha.update(np.ascontiguousarray(self.x).data)
        sha.update(self.anomaly.tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class Source:
    """What a file holds: columns by name, and pictures (N, H, W, C) uint8 where it has them."""

    columns: dict[str, NDArray[Any]]
    pictures: NDArray[np.uint8] | None = None


def load(config: DataConfig) -> Rows:
    """Rows of a source, checked: numbers, finite, no doubtful labels.

    Raises:
        InputError: the source is unknown or unreadable, a column is missing or not one of numbers, or a cell is missing
            or not finite; the message names row, feature and value.
    """
    source = read(config.source)
    table = source.columns
    if not len(next(iter(table.values()))) if table else source.pictures is None:
        raise InputError(f"data {config.source!r}: no rows")
    kind, _, key = config.split.partition(":")
    special = [name for name in (config.label, key) if name]
    for name in (*special, *config.exclude):
        if name not in table:
            raise InputError(f"data {config.source!r}: no column {name!r}; there are: {', '.join(table) or 'none'}")
    split_key = table[key] if kind != "random" else None
    if split_key is not None:
        _refuse_missing(key, split_key)
    if source.pictures is not None:
        return Rows(source.pictures, (), _anomalies(table, config, len(source.pictures)), split_key)
    columns = tuple(name for name in table if name not in special and name not in config.exclude)
    if not columns:
        raise InputError(f"data {config.source!r}: no columns left to model")
    _check_names(columns)
    for name in columns:
        _check_column(name, table[name])
    x = np.stack([table[name].astype(np.float64) for name in columns], axis=1)
    return Rows(x, columns, _anomalies(table, config, len(x)), split_key)


def of_array(x: NDArray[Any], names: Sequence[str] | None = None, anomaly: NDArray[np.bool_] | None = None) -> Rows:
    """Rows of an array (N, D), or pictures (N, H, W[, C]) uint8, checked as a file's are.

    Raises:
        InputError: another shape, or a cell that is not a finite number.
    """
    source = _from_array(x)
    anomaly = np.zeros(len(x), dtype=bool) if anomaly is None else anomaly
    if source.pictures is not None:
        return Rows(source.pictures, (), anomaly)
    columns = tuple(names or source.columns)
    _check_names(columns)
    for name, values in zip(columns, x.T, strict=True):
        _check_column(name, values)
    return Rows(np.ascontiguousarray(x, dtype=np.float64), columns, anomaly)


def read(source: str) -> Source:
    """What a file, folder or built-in set holds.

    Raises:
        InputError: the source is unknown or unreadable.
    """
    if source in BUILT_IN:
        return BUILT_IN[source]()
    path = Path(source)
    if path.is_dir() and not any(path.glob("*.parquet")):
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


def numeric(values: NDArray[Any]) -> bool:
    """Whether a column holds numbers (booleans are not)."""
    return values.dtype.kind in "iuf"


def _check_names(columns: tuple[str, ...]) -> None:
    for d, name in enumerate(columns):
        if not name:
            raise InputError(f"column {d} has no name; name it, or leave it out by data.exclude = ['']")
        if name in columns[:d]:
            raise InputError(f"two columns of one name: {name!r}")


def _check_column(name: str, values: NDArray[Any]) -> None:
    if not numeric(values):
        row, value = next(((i, v) for i, v in enumerate(values) if not isinstance(v, int | float)), (0, values[0]))
        raise InputError(
            f"row {row}, feature {name!r}: not a number: {value!r} (data.exclude names columns the model is not to see)"
        )
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        shown = "missing value" if np.isnan(values[row]) else f"not finite: {values[row]}"
        raise InputError(f"row {row}, feature {name!r}: {shown} ({int(bad.sum())} such cells in this column)")


def _refuse_missing(name: str, values: NDArray[Any]) -> None:
    bad = np.array([v is None or v != v for v in values.tolist()])
    if bad.any():
        raise InputError(f"row {int(bad.argmax())}, feature {name!r}: missing value in the column that splits the rows")


def _anomalies(table: dict[str, NDArray[Any]], config: DataConfig, n: int) -> NDArray[np.bool_]:
    if config.label is None:
        return np.zeros(n, dtype=bool)
    values = table[config.label]
    _refuse_missing(config.label, values)
    marks = {_label(value) for value in config.anomalies}
    anomaly = np.array([_label(value) in marks for value in values.tolist()])
    if not anomaly.any():
        seen = ", ".join(sorted({str(v) for v in values.tolist()})[:5])
        raise InputError(
            f"label {config.label!r}: no row has a value of data.anomalies {config.anomalies}; seen: {seen}"
        )
    return anomaly


def _label(value: Any) -> str:
    """1, 1.0, True and '1' are one label."""
    return f"{float(value):g}" if isinstance(value, bool | int | float) else str(value)


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


BUILT_IN: dict[str, Callable[[], Source]] = {
    "breast-cancer": _breast_cancer,
    "digits": _digits,
}


def _from_arrow(table: Any) -> Source:
    return Source({name: table.column(name).to_numpy() for name in table.column_names})


def _csv(path: Path) -> Source:
    from pyarrow import csv

    return _from_arrow(csv.read_csv(path))


def _parquet(path: Path) -> Source:
    from pyarrow import parquet

    return _from_arrow(parquet.read_table(path))


def _npy(path: Path) -> Source:
    return _from_array(np.load(path, allow_pickle=False))


def _npz(path: Path) -> Source:
    """`X`, or the only array of two or more axes; one-axis arrays of the same length are columns (labels)."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    wide = [name for name, a in arrays.items() if a.ndim > 1]
    name = "X" if "X" in wide else wide[0] if len(wide) == 1 else None
    if name is None:
        raise InputError(f"data {str(path)!r}: which array? There are {', '.join(arrays)}; call it X")
    main = _from_array(arrays[name])
    n = len(arrays[name])
    more = {key: a for key, a in arrays.items() if a.ndim == 1 and len(a) == n}
    return Source({**main.columns, **more}, main.pictures)


def _from_array(x: NDArray[Any]) -> Source:
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
