"""Describes the windows of a model of series: W consecutive time steps of D columns each, as one row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PositiveInt

from vaekit.bundle.manifest_part import ManifestPart

_LAG = re.compile(r"\[t(-\d+)?\]$")


class SeriesWindow(ManifestPart):
    """How the rows of a model are cut from series (format 1.6).

    The model has W D columns, the oldest time step first: `load[t-2]`, `temp[t-2]`, `load[t-1]`, ..., `temp[t]`.
    """

    steps: Annotated[int, Field(ge=2, description="W, number of time steps in a window")]
    columns: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="the D columns of a time step; the model has W D columns, such as load[t-1] and load[t]"
    )
    stride: PositiveInt = Field(1, description="time steps from one training window to the next")
    series: str | None = Field(None, description="column that names the series of a row; null: all rows are one series")
    time: str | None = Field(
        None, description="column with the time of a row; null: rows are in order of time, without gaps"
    )
    time_is: Literal["number", "timestamp"] | None = Field(
        None, description="timestamp: dates or ISO 8601 text, whose differences are in seconds"
    )
    gap: Annotated[FiniteFloat, Field(gt=0)] | None = Field(
        None, description="largest difference of time between neighbouring steps of a window, in seconds or numbers"
    )

    @property
    def dim(self) -> int:
        """D."""
        return len(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the W D columns of a window, in the model's order."""
        return names_of_window(self.columns, self.steps)

    @property
    def beside(self) -> tuple[str, ...]:
        """The columns of a time step that are not modelled."""
        return tuple(name for name in (self.series, self.time) if name is not None)

    @property
    def in_order(self) -> SeriesWindow:
        """The same for rows without names: the steps of one series, in order of time and without gaps."""
        return self.model_copy(update={"series": None, "time": None})

    @property
    def needs(self) -> str:
        """What a time step needs for a score, in words."""
        return f"a window needs {self.steps} consecutive time steps of one series"


def names_of_window(columns: Sequence[str], steps: int) -> tuple[str, ...]:
    """The names of the W D columns of a window of these columns, the oldest time step first."""
    lags = [f"[t-{lag}]" if lag else "[t]" for lag in range(steps - 1, -1, -1)]
    return tuple(f"{name}{lag}" for lag in lags for name in columns)


def has_lag(name: str) -> bool:
    """Whether a column is named like one of a window: load[t-3], load[t]."""
    return _LAG.search(name) is not None
