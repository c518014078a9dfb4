"""Finds the calibration group of each row from the values of its group columns.

N rows, D columns, G group columns. A group, its values and its node are those of vaekit.bundle.groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.groups import MOST_GROUPS, OBSERVED_CELLS, Group, Groups, Value
from vaekit.bundle.input_spec import Column, ImageSpec, Kind, VectorSpec
from vaekit.bundle.manifest import Manifest
from vaekit.errors import FormatError, InputError
from vaekit.tabular.cells import outside

KINDS: tuple[Kind, ...] = ("category", "count", "binary")  # of group columns
MISSING = np.inf  # the value of a missing cell; NaN: a value that is in no group
EXPECTED = f"expected columns of the model that are categories, counts or binary (booleans), or {OBSERVED_CELLS!r}"

Floats = NDArray[np.float64]


class RowGroups:
    """Finds the node of each row: the group of its values, or that of its first values if the group does not exist.

    The result of a row does not depend on the other rows.
    """

    def __init__(self, groups: Groups, spec: VectorSpec) -> None:
        self._by, self._spec = groups.by, spec
        columns = [_column(name, spec) for name in groups.by]
        self._levels = []  # of each group column: its values, ascending; keys of nodes, ascending; nodes
        for length, column in enumerate(columns, start=1):
            here = [
                (groups.parents[node], _number(group.values[-1], column), node)
                for node, group in enumerate(groups.groups, start=1)
                if len(group.values) == length
            ]
            values = np.unique([value for _, value, _ in here])
            keys = np.array([parent * values.size + int(np.searchsorted(values, v)) for parent, v, _ in here], np.int64)
            order = np.argsort(keys)
            self._levels.append((values, keys[order], np.array([node for *_, node in here], np.int64)[order]))

    def nodes(self, x: Floats) -> NDArray[np.int64]:
        """The node of each checked row of x (N, D), (N,)."""
        return self.nodes_of_cells(group_cells(x, self._by, self._spec))

    def nodes_of_cells(self, cells: Floats) -> NDArray[np.int64]:
        """The same from the rows' group_cells (N, G)."""
        nodes, going_on = np.zeros(len(cells), dtype=np.int64), np.ones(len(cells), dtype=bool)
        for cell, (values, keys, children) in zip(cells.T, self._levels, strict=True):
            if not keys.size:
                break
            at = np.minimum(np.searchsorted(values, cell), values.size - 1)  # NaN is after all values
            key = nodes * values.size + at
            child = np.minimum(np.searchsorted(keys, key), keys.size - 1)
            going_on &= (values[at] == cell) & (keys[child] == key)
            nodes = np.where(going_on, children[child], nodes)
        return nodes


def row_groups(manifest: Manifest) -> RowGroups | None:
    """The groups of a model's calibration; None if it has none.

    Raises:
        FormatError: they do not fit the model's columns, or differ between the entries of the calibration.
    """
    entries = manifest.calibration.entries if manifest.calibration else ()
    groups = [entry.groups for entry in entries]
    if not groups or groups[0] is None:
        return None
    if not all(each is not None and each.keys == groups[0].keys for each in groups):
        raise FormatError("calibration: the entries have different groups")
    try:
        check_by(groups[0].by, kinds_of(manifest.input), "groups.by")
    except InputError as exc:
        raise FormatError(f"calibration: {exc}") from exc
    assert isinstance(manifest.input, VectorSpec)  # images have no columns to group by
    return RowGroups(groups[0], manifest.input)


def check_by(by: Sequence[str], kinds: Mapping[str, Kind], where: str) -> None:
    """Check group columns.

    Args:
        by: their names.
        kinds: the kinds of the model's columns, by name; empty for images.
        where: the name of the setting, for messages.

    Raises:
        InputError: a name twice, no column of the model, or one of another kind.
    """
    for at, name in enumerate(by):
        if not kinds:
            raise InputError(f"{where}: {name!r}: images have no columns, so they cannot be calibrated by group")
        if name in by[:at]:
            raise InputError(f"{where}: {name!r} is given twice")
        if name in kinds and kinds[name] not in KINDS:
            raise InputError(f"{where}: column {name!r} is of kind {kinds[name]}; {EXPECTED}")
        if name not in kinds and name != OBSERVED_CELLS:
            raise InputError(f"{where}: the model has no column {name!r}; {EXPECTED}")


def kinds_of(spec: VectorSpec | ImageSpec) -> dict[str, Kind]:
    """The kind of each column by name; empty for images."""
    return {} if isinstance(spec, ImageSpec) else {column.name: column.kind for column in spec.columns}


def group_cells(x: Floats, by: Sequence[str], spec: VectorSpec) -> Floats:
    """The values of the group columns of checked rows x (N, D): (N, G).

    A missing cell is MISSING. An unseen level, or a number outside the column's kind, is NaN.
    """
    cells = np.empty((len(x), len(by)))
    for g, name in enumerate(by):
        column = _column(name, spec)
        if column is None:
            cells[:, g] = (~np.isnan(x)).sum(axis=1)
            continue
        own = x[:, spec.names.index(name)]
        cells[:, g] = np.where(np.isnan(own), MISSING, np.where(outside(own, column), np.nan, own))
    return cells


def make_groups(cells: Sequence[Floats], by: Sequence[str], spec: VectorSpec, least_rows: int) -> Groups:
    """The groups of held-out rows.

    A group is pooled if it has fewer than `least_rows` held-out rows; with folds, if a fold has.

    Args:
        cells: group_cells of the held-out rows, one array (n, G), or one (n_f, G) per fold.
        by: names of the group columns, the most important one first.
        spec: the model's input.
        least_rows: fewest rows of a group that is not pooled.

    Raises:
        InputError: there are more than MOST_GROUPS groups.
    """
    columns, found = [_column(name, spec) for name in by], []
    for length in range(1, len(by) + 1):
        counts: dict[tuple[float, ...], list[int]] = {}
        for fold, values in enumerate(cells):
            first = values[~np.isnan(values[:, :length]).any(axis=1), :length]
            for key, n in zip(*np.unique(first, axis=0, return_counts=True), strict=True):
                counts.setdefault(tuple(map(float, key)), [0] * len(cells))[fold] = int(n)
        for key, each in sorted(counts.items()):
            named = tuple(_value(one, column) for one, column in zip(key, columns, strict=False))
            found.append(Group(values=named, n=sum(each), pooled=min(each) < least_rows))
    if len(found) > MOST_GROUPS:
        raise InputError(
            f"groups by {', '.join(by)}: {len(found):,} groups in the held-out rows, at most {MOST_GROUPS:,}; use "
            "fewer columns, or columns with fewer values"
        )
    return Groups(by=tuple(by), least_rows=least_rows, groups=tuple(found))


def _column(name: str, spec: VectorSpec) -> Column | None:
    """The column of this name; None for the number of observed cells."""
    return spec.columns[spec.names.index(name)] if name in spec.names else None


def _value(number: float, column: Column | None) -> Value:
    """The value of a group from a number of group_cells."""
    if number == MISSING:
        return None
    return column.levels[int(number)] if column is not None and column.levels is not None else int(number)


def _number(value: Any, column: Column | None) -> float:
    """The number of group_cells from the value of a group; NaN if the column does not have it."""
    if value is None:
        return MISSING
    if column is not None and column.levels is not None:
        return float(column.levels.index(value)) if value in column.levels else np.nan
    return float(value) if isinstance(value, int) else np.nan
