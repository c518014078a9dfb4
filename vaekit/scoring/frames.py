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
from vaekit.tabular.windows import read_windows


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
    x, ends, other = read_windows(table, scorer.spec, strict=strict)
    replace(other, columns=()).warn(stacklevel=2)  # other columns are in the result, so only their likeness is said
    found = appended_columns(scorer.score(x), list(scorer.appended), scorer.spec)
    found = found if ends is None else of_steps(found, ends.at, ends.total)
    columns = {field.name: _array(values) for field, values in zip(scorer.appended, found, strict=True)}
    return append_columns(table, columns)


def _array(values: pa.Array) -> NDArray[Any]:
    """A column as numbers with NaN for null, text with None, or booleans, masked where null."""
    if not pa.types.is_boolean(values.type) or not values.null_count:
        return np.asarray(values.to_numpy(zero_copy_only=False))
    masked: NDArray[Any] = np.ma.array(values.fill_null(False).to_numpy(zero_copy_only=False), mask=values.is_null())
    return masked
