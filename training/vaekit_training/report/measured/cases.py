"""The most anomalous test rows and labelled anomalies, with the cells that make them so.

n rows, H x W x C pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec
from vaekit.runtime import Model, heatmap
from vaekit.runtime.explain.predict import predict
from vaekit.tabular.explained_cells import named, odd_cells
from vaekit.tabular.row_names import id_text
from vaekit_training.data.rows import Rows
from vaekit_training.report.measured.judged import Judged

MOST = 10  # rows shown
MOST_NORMAL = 3  # further normal rows, if there are labels: they are false alarms, or their labels are wrong
Cells = tuple[dict[str, Any], ...] | None  # as in the wire format; None: not explained, as images
REASONS = 3  # largest number of cells of a row


@dataclass(frozen=True)
class Case:
    """One row: how it is judged, and why."""

    row: int | None  # number of the row in the source, from 0; None if the source was sampled
    id: str | None  # its cell of data.id, or the file of an image; None if unknown
    labelled: bool  # whether it is a labelled anomaly
    score: float  # nats; higher is more anomalous
    p_value: float
    flagged: bool
    novel: bool
    group: str | None
    cells: Cells = None  # those that are odd, the most anomalous first
    image: CaseImage | None = None


@dataclass(frozen=True)
class CaseImage:
    """An image, its reconstruction and its heatmap."""

    given: NDArray[Any]  # (H, W, C)
    expected: NDArray[np.float64]  # (H, W, C)
    heat: NDArray[np.float64]  # (H, W), nats above the held-out median of the pixel


@dataclass(frozen=True)
class Cases:
    """The most anomalous rows, each tuple in order."""

    top: tuple[Case, ...] = ()  # of test rows and labelled anomalies together
    normal: tuple[Case, ...] = ()  # further test rows; none without labels


def cases(model: Model, rows: Rows, judged: Judged) -> Cases:
    """The MOST most anomalous rows with explanations, and with labels the next MOST_NORMAL normal ones."""
    order = judged.most_anomalous
    normal = order[MOST:][~judged.labelled[order[MOST:]]][: MOST_NORMAL if judged.has_anomalies else 0]
    found = _explained(model, rows, judged, np.concatenate([order[:MOST], normal]))
    return Cases(found[: len(order[:MOST])], found[len(order[:MOST]) :])


def _explained(model: Model, rows: Rows, judged: Judged, chosen: NDArray[np.intp]) -> tuple[Case, ...]:
    x = np.asarray(rows.x[judged.index[chosen]])  # (n, ...)
    if isinstance(model.spec, ImageSpec):
        return tuple(_case(rows, judged, at, image=image) for at, image in zip(chosen, _images(model, x), strict=True))
    return tuple(_case(rows, judged, at, cells) for at, cells in zip(chosen, _reasons(model, x), strict=True))


def _reasons(model: Model, x: NDArray[Any]) -> list[Cells]:
    if model.surprises is None:
        return [None] * len(x)
    found = model.explain_checked(x, top=min(REASONS, model.spec.dim)).explanation
    assert found is not None  # the model has surprises
    return [tuple(map(dict, odd_cells(cells))) for cells in named(found, model.spec)]


def _images(model: Model, x: NDArray[Any]) -> list[CaseImage | None]:
    if model.surprises is None:
        return [None] * len(x)
    every = np.arange(model.spec.dim)[None]
    found: list[CaseImage | None] = []
    for one in np.split(x, len(x)):  # (1, H, W, C)
        expected = predict(model, one, every, interval=False).expected.reshape(one.shape[1:])
        found.append(CaseImage(one[0], expected, heatmap(model, model.cells_checked(one))[0]))
    return found


def _case(rows: Rows, judged: Judged, at: np.intp, cells: Cells = None, image: CaseImage | None = None) -> Case:
    row = _row(rows, int(judged.index[at]))
    return Case(
        row=row,
        id=None if rows.ids is None or row is None else id_text(rows.ids[row]),
        labelled=bool(judged.labelled[at]),
        score=float(judged.score[at]),
        p_value=float(judged.p_value[at]),
        flagged=bool(judged.flagged[at]),
        novel=bool(judged.novel[at]),
        group=None if judged.group is None else str(judged.group[at]),
        cells=cells,
        image=image,
    )


def _row(rows: Rows, index: int) -> int | None:
    """The number of the row in the source, from 0; of a window, that of its last time step."""
    if rows.streamed is not None:
        return None
    return index if rows.place is None else int(rows.place.row[index])
