"""The options of a scoring run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vaekit.bundle.calibration import check_alpha
from vaekit.errors import InputError
from vaekit.scoring.batch.invalid_rows import InvalidRowLimit
from vaekit.storage.paths import StoragePath
from vaekit.tabular.csv_text import PLAIN, CsvDialect

PART_ROWS = 1_000_000  # about 300 MB in memory with 30 columns and the scores


@dataclass(frozen=True)
class Options:
    """How a run reads, writes and reports."""

    columns: Sequence[str] | None = None  # input columns to keep; None: all; (): only the row number
    batch_rows: int | None = None  # rows per batch; None: the scorer's choice
    part_rows: int = PART_ROWS  # approximate rows per part of a folder
    partitions: bool = False  # parts in key=value folders, as the input files are
    quarantine: StoragePath | None = None  # file for invalid rows; None: the first one stops the run
    max_bad: InvalidRowLimit = field(default_factory=InvalidRowLimit)  # limit on invalid rows
    fdr: float | None = None  # false-discovery rate of is_discovery; None: no such column
    top: int = 10  # number of most anomalous rows in the summary
    strict: bool = False  # whether to refuse novel rows, and columns that the model does not have
    csv: CsvDialect = PLAIN  # how a .csv input is written

    def __post_init__(self) -> None:
        """Raises InputError if a value is out of range."""
        if self.part_rows < 1:
            raise InputError(f"part_rows: {self.part_rows}, expected at least 1")
        if self.top < 0:
            raise InputError(f"top: {self.top}, expected at least 0")
        if self.fdr is not None:
            check_alpha(self.fdr, "fdr")

    @property
    def facts(self) -> dict[str, Any]:
        """The options that the content of parts depends on, as JSON."""
        return {
            "columns": None if self.columns is None else list(self.columns),
            "part_rows": self.part_rows,
            "partitions": self.partitions,
            "quarantine": self.quarantine is not None,
            "fdr": self.fdr,
            "top": self.top,
            **({} if self.csv == PLAIN else {"csv": asdict(self.csv)}),
        }
