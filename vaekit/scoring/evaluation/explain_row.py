"""Explains one row of a file: its score, its most anomalous cells, and the heatmap of an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.runtime import Explained, Model, heatmap
from vaekit.runtime.explain.predict import predict
from vaekit.scoring.files.sources import open_source
from vaekit.scoring.progress import Say, silent
from vaekit.scoring.rows import rows_of
from vaekit.scoring.scorers import LOCAL_CELLS
from vaekit.scoring.windows import ChunkWindows
from vaekit.tabular.csv_text import PLAIN, CsvDialect
from vaekit.tabular.explained_cells import named, named_similar


@dataclass(frozen=True)
class RowExplained:
    """An explained row; scores in nats, cells in raw units."""

    model: str  # name@version
    data: str
    row: int
    score: float  # -elbo
    p_value: float | None  # None without a calibration for this number of observed columns
    kl: float
    kl_p_value: float
    cells: list[dict[str, Any]]  # the most anomalous first, with the fields of AnomalousCell in the wire format
    image: ImageExplanation | None  # only for images
    group: str | None = None  # the calibration group that the row was compared with; None without groups
    similar: list[dict[str, Any]] | None = None  # the most similar training rows; None if the bundle holds none
    may_show_similar: bool = False  # whether training with privacy.show_exemplars would give some
    kl_is_score: bool = False  # with a kernel prior the KL is the score plus a constant, and tells nothing more

    def tree(self) -> dict[str, Any]:
        """The explanation as JSON, without the arrays of an image."""
        hidden = ("image", "kl_is_score", "may_show_similar")
        return {name: value for name, value in vars(self).items() if name not in hidden}


@dataclass(frozen=True)
class ImageExplanation:
    """An image, its reconstruction and its heatmap."""

    given: NDArray[Any]  # (H, W, C)
    expected: NDArray[np.float64]  # (H, W, C), E[x|z] over q(z|x)
    heat: NDArray[np.float64]  # (H, W), nats above the held-out median of the pixel


def explain_row(
    model: Model, data: Path, row: int, *, top: int, say: Say = silent, csv: CsvDialect = PLAIN
) -> RowExplained:
    """Explain row number `row` of a file, counted from 0, with its `top` most anomalous cells.

    `say` is called with a sentence about the files of a folder that were skipped; `csv`: how a .csv file is written.

    Raises:
        InputError: the file or the row is invalid, the file has no row of that number, or the model has no held-out
            surprises.
    """
    return explained(model, data, row, _row(data, model.spec, row, say, csv), top)


def explained(model: Model, data: Path, row: int, x: NDArray[Any], top: int) -> RowExplained:
    """The explanation of a checked row x (1, ...), number `row` of a file.

    Raises:
        InputError: the model has no held-out surprises.
    """
    found = model.explain_checked(x, top=min(top, model.spec.dim))
    assert found.kl_p_value is not None
    assert found.explanation is not None
    (cells,) = named(found.explanation, model.spec)
    p_value, group = _p_value(model, found)
    return RowExplained(
        model=f"{model.manifest.name}@{model.manifest.version}",
        data=data.name,
        row=row,
        score=float(found.score[0]),
        p_value=p_value,
        kl=float(found.kl[0]),
        kl_p_value=float(found.kl_p_value[0]),
        cells=cells,
        image=_image(model, x, found) if isinstance(model.spec, ImageSpec) else None,
        group=group,
        similar=_similar(model, x),
        may_show_similar=model.most_similar > 0,
        kl_is_score=model.manifest.prior.name == "kernel",
    )


def _similar(model: Model, x: NDArray[Any]) -> list[dict[str, Any]] | None:
    """The training rows that are most similar to the row x (1, D), as in the wire format."""
    if model.exemplars is None:
        return None
    (found,) = named_similar(model.similar_checked(x, show=True).records(), model.spec)
    return found


def _row(data: Path, spec: VectorSpec | ImageSpec, row: int, say: Say, csv: CsvDialect) -> NDArray[Any]:
    """The row as model input, (1, ...)."""
    source, seen = open_source(data, spec, max(1, LOCAL_CELLS // spec.dim), csv=csv), 0
    rows = rows_of(source, spec)
    for remark in (*source.remarks, *rows.remarks):
        say(remark)
    windows = ChunkWindows(rows)
    for chunk in source.chunks():
        found, count = windows.take(chunk), chunk.table.num_rows
        if row < seen + count:
            x: NDArray[Any] = found.x[found.at == row - seen]
            if not len(x) and spec.window is not None:
                raise InputError(f"row {row}: no window ends at this time step: {spec.window.needs}")
            return x
        seen += count
    raise InputError(f"row {row}: {data} has {seen} rows, counted from 0")


def _p_value(model: Model, found: Explained) -> tuple[float | None, str | None]:
    """The p-value of the row, and the group that it was compared with."""
    calibration = model.calibration()
    if isinstance(calibration, str):
        return None, None
    verdict = calibration.verdict(found)
    p_value = float(verdict.p_value[0])
    return None if np.isnan(p_value) else p_value, None if verdict.group is None else str(verdict.group[0])


def _image(model: Model, x: NDArray[Any], found: Explained) -> ImageExplanation:
    every = np.arange(model.spec.dim)[None]
    expected = predict(model, x, every, interval=False).expected
    return ImageExplanation(x[0], expected.reshape(x.shape[1:]), heatmap(model, found)[0])
