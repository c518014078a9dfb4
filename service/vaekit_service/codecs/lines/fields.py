"""The fields of an answer row by row: as JSON values, and as flat columns.

N valid rows. A value within a value has the names of both, separated by dots, as in `pandas.json_normalize`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.tabular.explained_cells import named
from vaekit.tabular.levels import level_names, level_slices
from vaekit.tabular.novelty import joined_names
from vaekit_service.codecs.windows import in_windows, known_similar
from vaekit_service.messages import NULL_WITHOUT_WINDOW, OF_DATA, Answer

_VERDICT = {"is_anomaly", "is_discovery"}  # null for rows without a p-value
_BY_COLUMN = {"mean", "scale", "df", "samples", "feature_log_likelihood"}  # (N, D) for models of tables
_CELL = ("feature", "value", "surprise", "excess", "p_value", "relief", "expected", "low", "high", "probability")
Columns = Iterator[tuple[str, Sequence[Any]]]


def row_values(answer: Answer) -> dict[str, Sequence[Any]]:
    """The values of each field, N each, as JSON has them."""
    found = {name: _values(name, a, answer) for name, a in answer.rows.items()}
    return found | {name: in_windows(found[name], answer.spec) for name in OF_DATA & answer.rows.keys() if found[name]}


def flat_columns(answer: Answer) -> dict[str, Sequence[Any]]:
    """The columns of a CSV reply, with N values each; None where there is none."""
    return {name: cells for field, a in answer.rows.items() for name, cells in _columns(field, a, answer)}


def _values(name: str, a: NDArray[Any] | None, answer: Answer) -> Sequence[Any]:
    spec = answer.spec
    if a is None:
        return [None] * answer.n
    if name in _VERDICT:
        return _verdicts(a, answer)
    if name == "explanation":
        return named(a, spec)
    if name == "similar":
        return known_similar(a, spec)
    if name in NULL_WITHOUT_WINDOW and answer.unscored is not None:
        return [None if lost else value for lost, value in zip(answer.unscored, a.tolist(), strict=True)]
    if name == "probabilities":
        parts = {column: a[:, at].tolist() for column, at in level_slices(spec).items()}
        return [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]
    if name in ("mean", "samples") and level_slices(spec):
        return [list(row) for row in zip(*_cells(a, spec), strict=True)]
    if a.ndim > 1 or a.dtype == np.float32:
        return list(np.ascontiguousarray(a))  # orjson writes float32 with its own digits
    values: list[Any] = a.tolist()
    return values  # NaN becomes null in JSON


def _verdicts(a: NDArray[Any], answer: Answer) -> Sequence[Any]:
    flags: list[Any] = a.tolist()
    p_value = answer.rows.get("p_value")
    if p_value is None or not np.isnan(p_value).any():
        return flags
    return [None if unknown else flag for unknown, flag in zip(np.isnan(p_value), flags, strict=True)]


def _cells(x: NDArray[Any], spec: VectorSpec | ImageSpec) -> list[Sequence[Any]]:
    """The columns of rows (N, D), a category by the names of its levels."""
    assert isinstance(spec, VectorSpec)
    return [
        x[:, d].tolist() if column.levels is None else level_names(x[:, d], column)
        for d, column in enumerate(spec.columns)
    ]


def _columns(name: str, a: NDArray[Any] | None, answer: Answer) -> Columns:
    spec = answer.spec
    if a is None or name in _VERDICT or name in NULL_WITHOUT_WINDOW:
        yield name, _values(name, a, answer)
    elif name in ("novel", "tolerated"):
        yield name, joined_names(a.tolist()).tolist()
    elif name == "explanation":
        yield from _of_cells(a, named(a, spec))
    elif name == "similar":
        yield from _of_similar(a, answer)
    elif name == "probabilities":
        for column, at in level_slices(spec).items():
            levels = (
                next(one.levels for one in spec.columns if one.name == column) if isinstance(spec, VectorSpec) else ()
            )
            for i, level in enumerate(levels or ()):
                yield f"{name}.{column}.{level}", _known(a[:, at.start + i])
    elif name in _BY_COLUMN and isinstance(spec, VectorSpec):
        cells = _cells(a, spec) if name in ("mean", "samples") else [_known(a[:, d]) for d in range(spec.dim)]
        for column, values in zip(spec.names, cells, strict=True):
            yield f"{name}.{column}", values
    else:
        for indices in np.ndindex(a.shape[1:]):
            yield ".".join([name, *map(str, indices)]), _known(a[(slice(None), *indices)])


def _known(a: NDArray[Any]) -> Sequence[Any]:
    """Values (N,) with None for NaN."""
    values: list[Any] = list(a) if a.dtype == np.float32 else a.tolist()  # a float32 keeps its own digits
    if a.dtype.kind == "f" and np.isnan(a).any():
        return [None if value != value else value for value in values]
    return values


def _of_cells(a: NDArray[Any], rows: Sequence[Sequence[dict[str, Any]]]) -> Columns:
    """The cells of explanations, (N, k), each with its fields; None for a row that has fewer."""
    for i in range(a.shape[1]):
        for field in _CELL:
            yield f"explanation.{i}.{field}", [row[i][field] if i < len(row) else None for row in rows]


def _of_similar(a: NDArray[Any], answer: Answer) -> Columns:
    """Similar training rows, (N, k), each with its number, its weight and its values."""
    rows = known_similar(a, answer.spec)
    assert isinstance(answer.spec, VectorSpec)
    for i in range(a.shape[1]):
        for field in ("row", "weight"):
            yield f"similar.{i}.{field}", [row[i][field] if i < len(row) else None for row in rows]
        for column in answer.spec.names:
            yield (
                f"similar.{i}.values.{column}",
                [row[i]["values"][column] if i < len(row) else None for row in rows],
            )
