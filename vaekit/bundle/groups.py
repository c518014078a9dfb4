"""The manifest's entry on the groups of a group-conditional (Mondrian) calibration.

G group columns. A group has values of the first 1 to G of them. Node 0 is the group of all rows, node i + 1 is
groups[i].
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from vaekit.bundle.manifest_part import ManifestPart
from vaekit.bundle.tail import Tail
from vaekit.bundle.thresholds import Threshold

OBSERVED_CELLS = "observed_cells"  # the pseudo-column: number of cells of a row that are not missing
ALL_ROWS = "all rows"  # the name of node 0
LEAST_ROWS = 19  # default of least_rows: the fewest held-out rows that can tell alpha = 0.05
MOST_GROUPS = 1000  # limit, so that the manifest stays small

Value = str | int | None  # a level, a number, or None for a missing cell


class Group(ManifestPart):
    """The held-out rows with the same values of the first group columns."""

    values: Annotated[tuple[Value, ...], Field(min_length=1)] = Field(
        description="of the first group columns: the name of a level, a number, or null for a missing cell"
    )
    n: PositiveInt = Field(description="number of held-out rows, of all folds together")
    pooled: bool = Field(
        description="whether these are too few, so that such rows are compared with the group of one column less"
    )
    thresholds: tuple[Threshold, ...] = Field((), description="as those of the entry; empty if pooled")
    tails: tuple[Tail | None, ...] = Field(
        (), description="as `tail` of the entry, or of each fold: one value, or one per fold; empty if pooled"
    )


class Groups(ManifestPart):
    """The groups of a calibration. A row is compared with the held-out rows of its own group, if they are enough."""

    by: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="group columns, the most important one first: columns of the model, or observed_cells, the number "
        "of cells of a row that are not missing"
    )
    least_rows: PositiveInt = Field(
        description="fewest held-out rows of a group that is not pooled; with folds, in each"
    )
    groups: tuple[Group, ...] = Field(description="by the number of values, the groups of one column first")

    @model_validator(mode="after")
    def _have_parents(self) -> Groups:
        seen: set[tuple[Value, ...]] = {()}
        for group in self.groups:
            if group.values[:-1] not in seen or group.values in seen or len(group.values) > len(self.by):
                raise ValueError(f"group {group.values}: twice, too long, or before the group of one column less")
            seen.add(group.values)
        return self

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """The node of one column less, by node; 0 for node 0."""
        nodes: dict[tuple[Value, ...], int] = {(): 0}
        nodes |= {group.values: i + 1 for i, group in enumerate(self.groups)}
        return (0, *(nodes[group.values[:-1]] for group in self.groups))

    @cached_property
    def compared(self) -> NDArray[np.int64]:
        """The node whose held-out rows a row of each node is compared with, (1 + groups,)."""
        found = [0]
        for group, parent in zip(self.groups, self.parents[1:], strict=True):
            found.append(found[parent] if group.pooled else len(found))
        return np.array(found)

    @cached_property
    def names(self) -> NDArray[np.str_]:
        """The names of all nodes, (1 + groups,): "site=a, line=3"."""
        return np.array([ALL_ROWS, *(self._name(group.values) for group in self.groups)], dtype=np.str_)

    @cached_property
    def is_larger(self) -> NDArray[np.bool_]:
        """Whether a node has fewer values than there are group columns, (1 + groups,): it pools several groups."""
        return np.array([True, *(len(group.values) < len(self.by) for group in self.groups)])

    @property
    def keys(self) -> tuple[object, ...]:
        """What must be the same for all entries of a calibration, so that a row has one node."""
        return (self.by, *((group.values, group.pooled) for group in self.groups))

    def inside(self, node: int) -> NDArray[np.bool_]:
        """Which nodes are the node itself or parts of it, (1 + groups,)."""
        found = [node == 0]
        for child, parent in enumerate(self.parents[1:], start=1):
            found.append(child == node or found[parent])
        return np.array(found)

    def _name(self, values: tuple[Value, ...]) -> str:
        named = zip(self.by, values, strict=False)
        return ", ".join(f"{column} missing" if value is None else f"{column}={value}" for column, value in named)


HEADINGS = ("group", "held-out rows", "smallest p-value", "compared with")
SHOWN = 5  # pooled groups that a sentence names


def sentence(groups: Groups) -> str:
    """The group columns, the number of groups, and the pooled ones, as one sentence without a full stop."""
    own = [
        (name, g) for name, g in zip(groups.names[1:], groups.groups, strict=True) if len(g.values) == len(groups.by)
    ]
    pooled = [str(name) for name, group in own if group.pooled]
    said = f"p-values are within groups by {', '.join(groups.by)}: {len(own)} groups in the held-out rows"
    if not pooled:
        return f"{said}, none of them pooled"
    named = "; ".join(pooled[:SHOWN]) + (f"; and {len(pooled) - SHOWN} more" if len(pooled) > SHOWN else "")
    return f"{said}; pooled, with fewer than {groups.least_rows} rows each: {named}"


def lines(groups: Groups) -> Iterator[tuple[str, ...]]:
    """The groups as rows of a table of text: name, held-out rows, smallest p-value, and the group to compare with."""
    for node, group in enumerate(groups.groups, start=1):
        smallest = "" if group.pooled else f"{1 / (1 + group.n):.3g}"
        yield (
            str(groups.names[node]),
            f"{group.n:,}",
            smallest,
            f"{groups.names[groups.compared[node]]} (pooled)" if group.pooled else "itself",
        )
