"""Scores a frame or table in memory. N rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.scoring.output_columns import appended_columns, of_steps
from vaekit.scoring.scorers import Scorer
from vaekit.tabular.appended import append_columns, as_table
from vaekit.tabular.series import Ends, Steps, WindowCutter
from vaekit.tabular.windows import check_some, read_rows


def score_frame(scorer: Scorer, rows: Any, *, strict: bool = False) -> Any:
    """The frame or table with the columns of `vae score`: elbo, score, p_value, is_anomaly and others.

    >>> with Model.load("models/breast-cancer") as model:
    ...     scored = score_frame(LocalScorer(model, alpha=0.01, explain=1), frame)

    Args:
        scorer: a LocalScorer or a RemoteScorer.
        rows: a frame of pandas or polars, a table of pyarrow, another object with the Arrow stream interface, or a list
            of dicts. Columns that the model does not have are kept; a warning names those that resemble an absent
            column of the model.
        strict: whether to refuse columns that the model does not have.

    Returns:
        The same type as `rows`; a pyarrow.Table for other objects with the Arrow stream interface. A pandas frame keeps
        its index. A column whose name the table has already gets the prefix `vae_`.

    Raises:
        InputError: not a table, or invalid rows; the message names row, column and value.
    """
    table = as_table(rows)
    x, other = read_rows(table, scorer.spec, strict=strict)
    replace(other, columns=()).warn(stacklevel=2)  # other columns are in the result, so only their likeness is said
    found = _of_steps(scorer, x) if isinstance(x, Steps) else _of_rows(scorer, x)
    columns = {field.name: _array(values) for field, values in zip(scorer.appended, found, strict=True)}
    return append_columns(table, columns)


def _of_rows(scorer: Scorer, x: NDArray[Any]) -> list[pa.Array]:
    """The appended columns of rows or windows, (N,) each."""
    return appended_columns(scorer.score(x), list(scorer.appended), scorer.spec)


def _of_steps(scorer: Scorer, steps: Steps) -> list[pa.Array]:
    """The appended columns of N time steps, null where no window ends. Windows are made block by block.

    Raises:
        InputError: no window ends at any step, or the steps of a series are not in order of time.
    """
    window = scorer.spec.window
    assert window is not None
    cutter, parts, ends = WindowCutter(window), [], 0
    for block in steps.blocks(window):
        cut = cutter.cut(block)
        ends += len(cut.ends)
        if len(cut.ends):
            parts.append(of_steps(_of_rows(scorer, np.ascontiguousarray(cut.x)), cut.ends, cut.total))
        else:
            parts.append([pa.nulls(cut.total, field.type) for field in scorer.appended])
    if not ends:
        check_some(Ends(np.empty(0, dtype=np.intp), len(steps), window.needs))
    return [pa.concat_arrays(column) for column in zip(*parts, strict=True)]


def _array(values: pa.Array) -> NDArray[Any]:
    """A column as numbers with NaN for null, text with None, or booleans, masked where null."""
    if not pa.types.is_boolean(values.type) or not values.null_count:
        return np.asarray(values.to_numpy(zero_copy_only=False))
    masked: NDArray[Any] = np.ma.array(values.fill_null(False).to_numpy(zero_copy_only=False), mask=values.is_null())
    return masked
