"""The summary of a scoring run, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.discoveries import discovery_cut
from vaekit.bundle.drift import BINS, Drift, drift, histogram, rates
from vaekit.bundle.intervals import AboveAll
from vaekit.scoring.batch.options import Options
from vaekit.scoring.batch.tally import Tally, binned
from vaekit.scoring.files.writer import replacing
from vaekit.scoring.scorers import Scorer
from vaekit.storage.paths import StoragePath

P_BINS = 2 * BINS  # bins of the histogram of p-values


@dataclass(frozen=True)
class DiscoveryCount:
    """The discoveries of a run at false-discovery rate q."""

    q: float
    cut: float  # largest p-value of a discovery; 0: no discoveries
    count: int


class EarlierRuns(NamedTuple):
    """The parts and rows that earlier runs had scored, if this run resumed."""

    parts: int
    rows: int


NO_EARLIER_RUNS = EarlierRuns(0, 0)


class NamedColumns(Protocol):
    """What a run says about columns and files."""

    ignored: tuple[str, ...]
    absent: tuple[str, ...]
    renamed: dict[str, str]
    remarks: tuple[str, ...]

    @property
    def cuts_windows(self) -> bool:
        """Whether rows are time steps. Overlapping windows have similar p-values, so their drift cannot be tested."""


@dataclass(frozen=True)
class Summary:
    """The result of one run."""

    output: StoragePath  # str() of it has no credentials
    model: str  # name@version
    seconds: float
    alpha: float
    reason: str | None  # why there are no p-values; None if there are
    tally: Tally
    held_out: NDArray[np.float64] | None  # rank scores of the calibration rows, (n,); None if unknown
    held_out_p_values: NDArray[np.float64] | None  # among themselves, (n,); None where held_out is
    fdr: float | None = None
    before: EarlierRuns = NO_EARLIER_RUNS  # counted in rows, not in seconds
    alpha_reason: str | None = None  # why no row can be an anomaly at alpha; None if rows can
    ignored: tuple[str, ...] = ()  # columns of the input that the model does not have, at most 1,000
    renamed: Mapping[str, str] = field(default_factory=dict)  # new names of appended columns that the input has too
    id_column: str | None = None  # that identified the training rows; None if it is unknown
    remarks: tuple[str, ...] = ()  # which files of the input were skipped, and which columns are absent
    absent: tuple[str, ...] = ()  # columns of the model that the input lacks, so that their cells are missing

    @classmethod
    def of(
        cls,
        scorer: Scorer,
        output: StoragePath,
        seconds: float,
        tally: Tally,
        options: Options,
        columns: NamedColumns,
        before: EarlierRuns = NO_EARLIER_RUNS,
    ) -> Summary:
        """The summary of a finished run."""
        return cls(
            output,
            scorer.model,
            seconds,
            scorer.alpha,
            scorer.reason,
            tally,
            scorer.held_out,
            None if columns.cuts_windows else scorer.held_out_p_values,
            options.fdr,
            before,
            scorer.alpha_reason,
            columns.ignored,
            columns.renamed,
            scorer.id_column,
            columns.remarks,
            columns.absent,
        )

    @property
    def rows(self) -> int:
        """Scored rows, including earlier runs."""
        return self.tally.rows

    @property
    def quarantined(self) -> int:
        """Invalid rows."""
        return self.tally.bad.total()

    @property
    def unknown(self) -> int:
        """Rows without a p-value, while others have one: from a service of an older version."""
        return self.tally.unknown

    @property
    def novel(self) -> int:
        """Rows unlike any training row."""
        return self.tally.novel

    @property
    def anomalies(self) -> int | None:
        """Rows with p <= alpha whose alarm no tolerance rule removed; None without p-values."""
        return self.tally.anomalies if self.reason is None else None

    @property
    def rows_per_second(self) -> float:
        return (self.rows - self.before.rows) / self.seconds if self.seconds else 0.0

    @property
    def share(self) -> float | None:
        """Share of anomalies among the rows with a p-value; None without p-values."""
        with_p_value = self.rows - self.unknown
        return None if self.anomalies is None or not with_p_value else self.anomalies / with_p_value

    @property
    def groups(self) -> list[dict[str, Any]] | None:
        """By calibration group: its rows, its anomalies and the false alarms to expect, at most alpha of the rows.

        None if the model is not calibrated by group. With folds, up to the guarantee times as many are to be expected.
        """
        if not self.tally.groups:
            return None
        return [
            {"group": name, "rows": n, "anomalies": anomalies, "expected": self.alpha * n, "pooled": pooled}
            for name, (n, anomalies, pooled) in sorted(self.tally.groups.items(), key=lambda item: -item[1].rows)
        ]

    @property
    def rates(self) -> dict[float, float | None]:
        """Share of the rows with p <= alpha, by alpha; None if the calibration has too few rows for that alpha."""
        smallest = 0.0 if self.held_out is None else 1.0 / (len(self.held_out) + 1)
        return rates(self.tally.p_values, self.tally.p_counts, smallest)

    @cached_property
    def drift(self) -> Drift | None:
        """Drift from the calibration scores; None if they are unknown or if no row has a p-value."""
        if self.held_out_p_values is None:
            return None
        return drift(self.tally.p_values, self.tally.p_counts, self.held_out_p_values)

    @property
    def above_all(self) -> AboveAll | None:
        """The rows that score above every held-out row; None with groups or folds, and for windows, which overlap."""
        if self.held_out is None or self.held_out_p_values is None or self.tally.groups or not self.tally.judged:
            return None
        smallest = 1.0 / (len(self.held_out) + 1)
        rows = int(self.tally.p_counts[self.tally.p_values <= smallest * (1 + 1e-9)].sum())
        return AboveAll.of(rows, self.tally.judged, len(self.held_out))

    @property
    def discoveries(self) -> DiscoveryCount | None:
        """The discoveries; None without a false-discovery rate."""
        if self.fdr is None:
            return None
        values, counts = self.tally.p_values, self.tally.p_counts
        cut = discovery_cut(values, counts, self.fdr)
        return DiscoveryCount(self.fdr, cut, int(counts[values <= cut].sum()))

    @property
    def calibration_scores(self) -> NDArray[np.int64] | None:
        """Number of calibration rows in each bin of `tally.scores`."""
        if self.held_out is None:
            return None
        return binned(self.held_out, self.tally.edges)

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON."""
        tally, drift_found, discoveries = self.tally, self.drift, self.discoveries
        calibration = self.calibration_scores
        return {
            "model": self.model,
            "output": str(self.output),
            "rows": self.rows,
            "quarantined": {"rows": self.quarantined, "reasons": dict(tally.bad.most_common())},
            "seconds": self.seconds,
            "rows_per_second": self.rows_per_second,
            "before": self.before._asdict(),
            "remarks": list(self.remarks),
            "alpha": self.alpha,
            "no_p_values": self.reason,
            "no_anomalies": self.alpha_reason,
            "unknown": self.unknown,
            "novel": self.novel,
            "unscored": self.tally.unscored,
            "without_window": self.tally.without_window,
            "anomalies": self.anomalies,
            "tolerated": {"rows": tally.tolerated, "rules": dict(tally.rules.most_common())},
            "share": self.share,
            "groups": self.groups,
            "rates": {f"{alpha:g}": rate for alpha, rate in self.rates.items()},
            "p_values": {"bins": P_BINS, "rows": histogram(tally.p_values, tally.p_counts, P_BINS).tolist()},
            "scores": {
                "edges": list(tally.edges),
                "rows": tally.scores.tolist(),
                "calibration": None if calibration is None else calibration.tolist(),
            },
            "above_all_held_out": None if self.above_all is None else asdict(self.above_all),
            "drift": None if drift_found is None else asdict(drift_found),
            "fdr": None if discoveries is None else asdict(discoveries),
            "ignored_columns": list(self.ignored),
            "absent_columns": list(self.absent),
            "renamed_columns": dict(self.renamed),
            "id_column": self.id_column,
            "top": [row._asdict() for row in tally.top],
        }

    def write(self, where: StoragePath) -> None:
        """Write the summary as JSON. The file is replaced only when it is complete."""
        with replacing(where) as temp:
            temp.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
