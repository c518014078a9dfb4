"""Summarises the results of jobs in tables, ranks and figures."""

from __future__ import annotations

import contextlib
import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, studentized_range, wilcoxon

from benchmarks.detection.runs import Result
from benchmarks.report import Figure

MEASURES = ("auroc", "ap")
LOSING = 5.0  # a set counts as a loss if the AUROC is this many points below that of kNN-mean
# targets for (AUROC, AP) of vaekit minus that of the other method, in points
TARGETS = {"PyOD VAE": (4.0, 8.0), "kNN-mean": (0.0, 0.0)}
MOST_LOSSES = 0
LEVEL = 0.05  # of the tests against each other method, corrected together


@dataclass(frozen=True)
class Table:
    """Means over seeds, in points, for the sets that every method finished with at least one seed."""

    sets: list[str]  # S
    methods: list[str]  # M
    values: dict[str, NDArray[np.float64]]  # by measure, (S, M)
    seconds: NDArray[np.float64]  # (S, M)
    memory: NDArray[np.float64]  # (S, M), MiB over the start; NaN where unknown
    left_out: list[str]  # sets that some method did not finish

    def column(self, measure: str, method: str) -> NDArray[np.float64]:
        return self.values[measure][:, self.methods.index(method)]

    def mean(self, measure: str, method: str) -> float:
        return float(self.column(measure, method).mean())

    def ranks(self, measure: str) -> NDArray[np.float64]:
        """Mean rank of each method over sets, (M,); 1 is best, ties share."""
        return np.asarray(rankdata(-self.values[measure], axis=1).mean(axis=0))


def tabulate(results: Sequence[Result], methods: Sequence[str]) -> Table:
    """Means of every (set, method), over the seeds that the method finished."""
    found: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for one in results:
        if "error" not in one:
            found[one["set"], one["method"]].append(one)
    names = list(dict.fromkeys(one["set"] for one in results))
    sets = [name for name in names if all(found[name, method] for method in methods)]

    def means(key: str, times: float) -> NDArray[np.float64]:
        return np.array([[times * _mean(found[name, m], key) for m in methods] for name in sets]).reshape(
            -1, len(methods)
        )

    return Table(
        sets,
        list(methods),
        {measure: means(measure, 100.0) for measure in MEASURES},
        means("seconds", 1.0),
        means("memory", 2.0**-20),
        [name for name in names if name not in sets],
    )


def _mean(results: Sequence[Result], key: str) -> float:
    values = [one[key] for one in results]
    return math.nan if None in values else statistics.fmean(values)


def critical_difference(methods: int, sets: int, level: float = 0.05) -> float:
    """The smallest significant difference of two mean ranks by Nemenyi's test: q sqrt(M (M + 1) / (6 S)).

    Source: Demsar (2006), "Statistical comparisons of classifiers over multiple data sets", section 3.2.2.
    """
    q = float(studentized_range.ppf(1.0 - level, methods, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(methods * (methods + 1) / (6.0 * sets))


def holm_p(table: Table, measure: str, ours: str) -> dict[str, float]:
    """p of Wilcoxon's signed-rank test of `ours` against each other method over the sets, corrected by Holm (1979).

    The k-th smallest of m values is multiplied by m - k + 1, and is at least as large as those before it.
    """
    own = table.column(measure, ours)
    found = {m: float(wilcoxon(own - table.column(measure, m)).pvalue) for m in table.methods if m != ours}
    corrected, largest = {}, 0.0
    for k, (method, p) in enumerate(sorted(found.items(), key=lambda one: one[1])):
        largest = max(largest, min(1.0, p * (len(found) - k)))
        corrected[method] = largest
    return corrected


def figures(table: Table, ours: str) -> list[Figure]:
    """The figures with targets, then the means and ranks that they are computed from."""
    best = {measure: int(np.argmin(table.ranks(measure))) for measure in MEASURES}
    made = []
    for other, targets in TARGETS.items():
        if other not in table.methods:
            continue
        for measure, target in zip(MEASURES, targets, strict=True):
            difference = table.column(measure, ours) - table.column(measure, other)
            name = f"mean {measure.upper()}: {ours} - {other}"
            made.append(Figure(name, float(difference.mean()), "points", target=target, better="higher"))
    if "kNN-mean" in table.methods:
        behind = table.column("auroc", "kNN-mean") - table.column("auroc", ours)
        losses = int((behind > LOSING).sum())
        made.append(Figure(f"more than {LOSING:g} points of AUROC below kNN-mean", losses, "sets", target=MOST_LOSSES))
    if len(table.methods) > 1 and len(table.sets) > 1:
        for measure in MEASURES:
            made += [
                Figure(f"p corrected by Holm, {measure.upper()}: {ours} against {m}", p, "", target=LEVEL)
                for m, p in holm_p(table, measure, ours).items()
            ]
    for measure in MEASURES:
        place = 1 + int((table.ranks(measure) < table.ranks(measure)[table.methods.index(ours)]).sum())
        made.append(
            Figure(
                f"place by mean rank, {measure.upper()} (first: {table.methods[best[measure]]})",
                place,
                "place",
                target=1,
            )
        )
    for measure in MEASURES:
        made += [
            Figure(f"mean {measure.upper()}: {m}", table.mean(measure, m), "%", better="higher")
            for m in _by(table, measure)
        ]
    for measure in MEASURES:
        ranks = dict(zip(table.methods, table.ranks(measure), strict=True))
        made += [
            Figure(f"mean rank, {measure.upper()}: {m}", ranks[m], "rank") for m in sorted(ranks, key=ranks.__getitem__)
        ]
    made += [
        Figure(f"seconds a set, median: {m}", float(np.median(table.seconds[:, i])), "s")
        for i, m in enumerate(table.methods)
    ]
    made += [
        Figure(f"memory a set, highest: {m}", float(np.nanmax(table.memory[:, i])), "MiB")
        for i, m in enumerate(table.methods)
        if not np.isnan(table.memory[:, i]).all()
    ]
    return made


def _by(table: Table, measure: str) -> list[str]:
    return sorted(table.methods, key=lambda m: -table.mean(measure, m))


def write_csv(path: Path, table: Table, others: dict[str, dict[str, float]]) -> None:
    """One line per set and measure, one column per method, then the published columns, if there are any."""
    more = list(dict.fromkeys(name for row in others.values() for name in row))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "measure", *table.methods, *(f"published {name}" for name in more)])
        for measure in (*MEASURES, "seconds", "memory"):
            values = {**table.values, "seconds": table.seconds, "memory": table.memory}[measure]
            for name, row in zip(table.sets, values, strict=True):
                known = others.get(family(name), {}) if measure == "auroc" else {}
                writer.writerow([name, measure, *(f"{v:.4g}" for v in row), *(known.get(m, "") for m in more)])


def published(path: Path | None) -> dict[str, dict[str, float]]:
    """The numbers of a published CSV table by `family` of the set's name (the first column), then by column."""
    if path is None:
        return {}
    with path.open(newline="") as file:
        (_, *names), *rows = csv.reader(file)
    return {family(name): dict(_numbers(names, cells)) for name, *cells in rows}


def _numbers(names: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[str, float]]:
    for name, cell in zip(names, cells, strict=True):
        with contextlib.suppress(ValueError):
            yield name, float(cell)


def family(name: str) -> str:
    """A set's name in lower case without the leading number, as in published tables: 'aloi' for '1_ALOI'."""
    head, _, rest = name.partition("_")
    return (rest if head.isdigit() else name).casefold()
