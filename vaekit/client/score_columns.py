"""The scores of a reply as the columns that batch scoring writes. N rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.client.replies import ElboResult
from vaekit.tabular.explained_cells import reason_values
from vaekit.tabular.novelty import joined_names

NUMBERS = ("_relief", "_p_value", "_low", "_high")  # ends of the names of an explanation's columns that are numbers
ALWAYS = ("elbo", "log_likelihood", "kl", "score", "p_value", "p_value_tail", "is_anomaly")


def score_columns(found: ElboResult) -> dict[str, NDArray[Any]]:
    """The columns of the scores by name, in the order of `vae score`."""
    rows = len(found.elbo)
    columns: dict[str, NDArray[Any]] = {name: np.full(rows, np.nan) for name in ALWAYS}
    columns |= {name: values for name in ALWAYS if (values := getattr(found, name)) is not None}
    columns["is_anomaly"] = _verdict(found, rows)
    optional = {
        "group": None if found.group is None else _names(found.group),
        "group_pooled": None if found.group_pooled is None else _of_windows(found.group_pooled, found),
        "tolerated": None if found.tolerated is None else joined_names(found.tolerated),
        "novel": None if found.novel is None else joined_names(found.novel),
        "observed_count": _counts(found.observed_count),
        **_reasons(found),
        "kl_p_value": found.kl_p_value,
        "is_discovery": found.is_discovery,
    }
    return columns | {name: values for name, values in optional.items() if values is not None}


def _verdict(found: ElboResult, rows: int) -> NDArray[np.bool_]:
    """is_anomaly, masked where there is no p-value."""
    if found.is_anomaly is None or found.p_value is None:
        return _masked(np.zeros(rows, np.bool_), np.ones(rows, np.bool_))
    unknown = np.isnan(found.p_value)
    return _masked(found.is_anomaly, unknown) if unknown.any() else found.is_anomaly


def _of_windows(values: NDArray[np.bool_], found: ElboResult) -> NDArray[np.bool_]:
    """Flags, masked at time steps without a window."""
    lost = np.zeros(len(values), bool) if found.group is None else found.group == ""
    return _masked(values, lost) if lost.any() else values


def _names(groups: NDArray[np.str_]) -> NDArray[np.object_]:
    """Names of groups, None at time steps without a window."""
    named = groups.astype(object)
    named[groups == ""] = None
    return named


def _counts(counts: NDArray[np.int64] | None) -> NDArray[Any] | None:
    """Counts, NaN at time steps without a window."""
    return counts if counts is None or (counts >= 0).all() else np.where(counts < 0, np.nan, counts)


def _masked(values: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    masked: NDArray[np.bool_] = np.ma.array(values, mask=mask)
    return masked


def _reasons(found: ElboResult) -> dict[str, NDArray[Any]]:
    if found.cells is None or found.explanation is None:
        return {}
    columns = {}
    for name, values in reason_values(found.cells.tolist(), found.explanation.shape[1]).items():
        is_number = name.endswith(NUMBERS)
        columns[name] = np.array(values, dtype=np.float64 if is_number else object)
    return columns
