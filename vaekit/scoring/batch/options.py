"""Options of a scoring run beside its model and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vaekit.bundle.calibration import check_alpha
from vaekit.errors import InputError
from vaekit.scoring.batch.invalid_rows import Budget
from vaekit.scoring.files.paths import Place

PART_ROWS = 1_000_000  # of 30 columns and the scores some 300 MB before encoding


@dataclass(frozen=True)
class Options:
    """How a run reads, what it stands and what it tells."""

    columns: Sequence[str] | None = None  # of the input that the output keeps; None: all; (): the row's number alone
    batch_rows: int | None = None  # rows that are read and scored at once; None: what the scorer likes
    part_rows: int = PART_ROWS  # rows of a part, about, where the output is a folder
    partitions: bool = False  # parts lie in folders key=value as the input's files do, where the output is a folder
    quarantine: Place | None = None  # where bad rows go; None: the first one ends the run
    max_bad: Budget = field(default_factory=Budget)  # how many of them there may be
    fdr: float | None = None  # the false-discovery rate of is_discovery; None: there is no such column
    top: int = 10  # how many of the oddest rows the summary names

    def __post_init__(self) -> None:
        """Raises InputError where a value is out of range."""
        if self.part_rows < 1:
            raise InputError(f"part_rows: {self.part_rows} is not at least 1")
        if self.top < 0:
            raise InputError(f"top: {self.top} is not at least 0")
        if self.fdr is not None:
            check_alpha(self.fdr, "fdr")

    @property
    def facts(self) -> dict[str, Any]:
        """All that parts depend on, as JSON has it."""
        return {
            "columns": None if self.columns is None else list(self.columns),
            "part_rows": self.part_rows,
            "partitions": self.partitions,
            "quarantine": self.quarantine is not None,
            "fdr": self.fdr,
            "top": self.top,
        }
