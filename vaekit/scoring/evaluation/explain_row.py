"""Explains one row of a file: its score, its most anomalous cells, and the heatmap of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
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
from vaekit.tabular.novelty import cells_missing
from vaekit.tabular.row_names import id_text

HUGE = 1e12  # nats; a score of this size has an exponent in text


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
    unseen: dict[str, str] = field(default_factory=dict)  # levels unseen in training, by column; not known for windows
    missing: list[str] = field(default_factory=list)  # columns without a cell, if no training row lacks as many
    id_column: str | None = None  # that identified the training rows, if the file has it
    id: str | None = None  # the row's cell there
    kl_is_score: bool = False  # with a kernel prior the KL is the score plus a constant, and tells nothing more

    @property
    def score_text(self) -> str:
        """The score as text, with so many digits that rows with different scores look different."""
        return f"{self.score:,.1f}" if 1000 <= abs(self.score) < HUGE else f"{self.score:.4g}"

    def shown(self, cell: Mapping[str, Any]) -> float | str | None:
        """The value of one of the cells, and that it is unseen, if it is a level and its name is known."""
        name = cell["feature"]
        return f"{self.unseen[name]!r}, unseen" if cell["value"] is None and name in self.unseen else cell["value"]

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
    x, unseen, text = _row(model, data, row, say, csv)
    return explained(model, data, row, x, top, unseen, text)


def id_cells(model: Model, table: pa.RecordBatch, at: NDArray[np.intp]) -> list[str | None]:
    """The cells of the model's id column in these rows (n,) of a table; None if the table has no such column."""
    if model.manifest.id_column not in table.schema.names:
        return [None] * len(at)
    return [id_text(cell) for cell in table.column(model.manifest.id_column).take(pa.array(at)).to_pylist()]


def explained(
    model: Model,
    data: Path,
    row: int,
    x: NDArray[Any],
    top: int,
    unseen: dict[str, str] | None = None,
    text: str | None = None,
) -> RowExplained:
    """The explanation of a checked row x (1, ...), number `row` of a file.

    `unseen`: see `unseen_levels`; text: the row's cell of the model's id column.

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
        id_column=None if text is None else model.manifest.id_column,
        id=text,
        may_show_similar=model.most_similar > 0,
        unseen=unseen or {},
        missing=_missing(model, x),
        kl_is_score=model.manifest.prior.name == "kernel",
    )


def _similar(model: Model, x: NDArray[Any]) -> list[dict[str, Any]] | None:
    """The training rows that are most similar to the row x (1, D), as in the wire format."""
    if model.exemplars is None:
        return None
    (found,) = named_similar(model.similar_checked(x, show=True).records(), model.spec)
    return found


def _missing(model: Model, x: NDArray[Any]) -> list[str]:
    """The missing cells of a row (1, D) that make it novel."""
    if isinstance(model.spec, ImageSpec):
        return []
    cells = cells_missing(x, model.manifest)
    return [] if cells is None else [model.spec.names[d] for d in np.flatnonzero(cells[0])]


def unseen_levels(
    x: NDArray[Any], table: pa.RecordBatch, at: NDArray[np.intp], spec: VectorSpec | ImageSpec
) -> list[dict[str, str]]:
    """The levels unseen in training of checked rows x (n, D), by column: n dicts.

    Args:
        x: rows as model input.
        table: the rows as they were read.
        at: where the rows are in it, (n,).
        spec: the model's; of windows, and of images, nothing is found.
    """
    found: list[dict[str, str]] = [{} for _ in x]
    if isinstance(spec, ImageSpec) or spec.window is not None:
        return found
    for d, column in enumerate(spec.columns):
        if column.levels is None or column.name not in table.schema.names:
            continue
        for i in np.flatnonzero(x[:, d] >= len(column.levels)):
            found[i][column.name] = str(table.column(column.name)[int(at[i])].as_py())
    return found


def _row(
    model: Model, data: Path, row: int, say: Say, csv: CsvDialect
) -> tuple[NDArray[Any], dict[str, str], str | None]:
    """(the row as model input, (1, ...); its unseen levels; its id)."""
    spec = model.spec
    source, seen = open_source(data, spec, max(1, LOCAL_CELLS // spec.dim), csv=csv), 0
    rows = rows_of(source, spec)
    for remark in (*source.remarks, *rows.remarks):
        say(remark)
    windows = ChunkWindows(rows)
    for chunk in source.chunks():
        (found, invalid), count = windows.take_valid(chunk), chunk.table.num_rows
        if row < seen + count:
            if invalid is not None and row in invalid.numbers:
                raise InputError(invalid.sentence(invalid.numbers.tolist().index(row)))
            is_it = found.at == row - seen
            x: NDArray[Any] = found.x[is_it]
            if not len(x) and spec.window is not None:
                raise InputError(f"row {row}: no window ends at this time step: {spec.window.needs}")
            (unseen,) = unseen_levels(x, chunk.table, found.at[is_it], spec)
            return x, unseen, id_cells(model, chunk.table, np.array([row - seen]))[0]
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
