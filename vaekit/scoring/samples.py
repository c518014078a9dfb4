"""Samples of a model as files: tables with the names of columns and levels, images as a sheet or an array."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.scoring.files.writer import replacing
from vaekit.tabular.levels import level_names

OF_ROWS, OF_IMAGES = (".csv", ".parquet", ".npy"), (".png", ".npy")  # endings of files
LEAST_SIDE, GAP = 64, 2  # pixels on a sheet: smaller images are enlarged; the space between images


@dataclass(frozen=True)
class Samples:
    """Samples x of a model, (N, D) with the index of the level for a category, or (N, H, W, C) of 0 to 255."""

    model: str  # name@version
    spec: VectorSpec | ImageSpec
    x: NDArray[Any]

    @property
    def n(self) -> int:
        return len(self.x)

    @property
    def columns(self) -> list[str] | None:
        """The names of the columns; None for images."""
        return list(self.spec.names) if isinstance(self.spec, VectorSpec) else None

    def rows(self) -> list[Any]:
        """The samples as nested lists, with the names of levels."""
        if isinstance(self.spec, ImageSpec):
            images: list[Any] = self.x.tolist()
            return images
        return [list(row) for row in zip(*self._table.to_pydict().values(), strict=True)]

    def csv(self) -> str:
        """The rows as CSV with a header."""
        buffer = io.BytesIO()
        pyarrow.csv.write_csv(self._table, buffer, pyarrow.csv.WriteOptions(quoting_style="needed"))
        return buffer.getvalue().decode()

    def write(self, path: Path) -> None:
        """Write a file whose format follows from its ending; it is replaced only when it is complete."""
        check_ending(self.spec, path)
        with replacing(path) as temp:
            if path.suffix == ".csv":
                temp.write_text(self.csv(), encoding="utf-8", newline="")
            elif path.suffix == ".parquet":
                pyarrow.parquet.write_table(self._table, temp)
            elif path.suffix == ".npy":
                with temp.open("wb") as file:
                    np.save(file, self.x)
            else:
                _save_sheet(self.x, temp)

    @cached_property
    def _table(self) -> pa.Table:
        assert isinstance(self.spec, VectorSpec)
        cells: dict[str, Any] = {}
        for d, column in enumerate(self.spec.columns):
            is_level = column.kind == "category"
            cells[column.name] = level_names(self.x[:, d], column) if is_level else self.x[:, d].astype(np.float64)
        return pa.table(cells)


def drawn(model: Model, n: int, *, seed: int = 0, temperature: float = 1.0, observe: bool = False) -> Samples:
    """n samples of a model, as Model.sample draws them; windows of a series are rows with the columns of the window.

    Raises:
        InputError: as Model.sample.
    """
    x = model.sample_rows(n, seed=seed, temperature=temperature, observe=observe).samples
    if isinstance(model.spec, ImageSpec):
        x = np.clip(np.round(x), 0, 255).astype(np.uint8)
    return Samples(f"{model.manifest.name}@{model.manifest.version}", model.spec, x)


def check_ending(spec: VectorSpec | ImageSpec, path: Path | None) -> None:
    """Refuse a file that cannot hold the samples of a model; None: standard output, for CSV.

    Raises:
        InputError: another ending, or images for standard output.
    """
    of_images = isinstance(spec, ImageSpec)
    known = OF_IMAGES if of_images else OF_ROWS
    if path is None and of_images:
        raise InputError("the samples are images: name a file with --out, .png for a sheet or .npy")
    if path is not None and path.suffix not in known:
        raise InputError(f"{path}: expected a name that ends in {', '.join(known[:-1])} or {known[-1]}")


def _save_sheet(images: NDArray[np.uint8], path: Path) -> None:
    """Images (N, H, W, C) side by side, small ones enlarged."""
    from PIL import Image

    zoom = max(1, math.ceil(LEAST_SIDE / max(images.shape[1:3])))
    large = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    n, height, width, channels = large.shape
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    sheet = np.full((down * (height + GAP) + GAP, across * (width + GAP) + GAP, channels), 255, dtype=np.uint8)
    for i, image in enumerate(large):
        top, left = GAP + i // across * (height + GAP), GAP + i % across * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    Image.fromarray(sheet.squeeze(axis=2) if channels == 1 else sheet).save(path, format="PNG")
