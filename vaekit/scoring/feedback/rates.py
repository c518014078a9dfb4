"""Observed rates of labelled rows with exact intervals, and whether rows were labelled because they were flagged."""

from __future__ import annotations

from dataclasses import dataclass

from vaekit.bundle.intervals import COVERAGE, clopper_pearson

CHOSEN = 1e-3  # so unlikely a share of flagged rows among the labelled ones is not taken for chance


@dataclass(frozen=True)
class Rate:
    """A share of n rows, with its exact 95 % interval. `value` is None if nothing can be said."""

    hits: int
    n: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, hits: int, n: int) -> Rate:
        return cls(hits, n, hits / n, *clopper_pearson(hits, n)) if n else cls(0, 0, None, None, None)

    def unknown(self) -> Rate:
        """The same counts, from which no rate follows."""
        return Rate(self.hits, self.n, None, None, None)


@dataclass(frozen=True)
class Weighted:
    """A rate of all scored rows, estimated from rows that were labelled by flag at different rates."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Counts:
    """Labelled rows by label and flag, and all scored rows."""

    normal: int
    normal_flagged: int
    anomalous: int
    anomalous_flagged: int
    scored: int
    scored_flagged: int

    @property
    def labelled(self) -> int:
        return self.normal + self.anomalous

    @property
    def labelled_flagged(self) -> int:
        return self.normal_flagged + self.anomalous_flagged


def chosen_by_flag(counts: Counts) -> bool:
    """Whether flagged rows were labelled more often than others, beyond chance.

    P(X >= flagged rows among the labelled) < CHOSEN,  X hypergeometric: as many rows drawn from all scored ones
    """
    from scipy.stats import hypergeom

    if not counts.labelled:
        return False
    drawn = hypergeom(max(counts.scored, counts.labelled), counts.scored_flagged, min(counts.labelled, counts.scored))
    return bool(drawn.sf(counts.labelled_flagged - 1) < CHOSEN)


def only_flagged(counts: Counts) -> bool:
    """Whether every labelled row was flagged, although not all rows were: nothing follows for the others."""
    all_flagged = counts.labelled > 0 and counts.labelled == counts.labelled_flagged
    return all_flagged and counts.scored_flagged < counts.scored


def weighted(counts: Counts) -> tuple[Weighted | None, Weighted | None]:
    """(false-alarm rate, detection rate) of all scored rows; None without labels of flagged and of other rows.

    With F flagged and U other rows, and the shares p of normal rows among the labelled flagged and q among the other
    labelled rows:

        false-alarm rate = F p / (F p + U q),    detection rate = F (1 - p) / (F (1 - p) + U (1 - q))

    which weights each label by the inverse of the probability that its row was labelled. It holds if the labelled rows
    were drawn at random among the flagged and among the others, and the log has all rows. The interval combines exact
    intervals of p and q of 97.5 % each, so it contains the rate in at least 95 % of cases.
    """
    flagged, others = counts.scored_flagged, counts.scored - counts.scored_flagged
    known_flagged, known_others = counts.labelled_flagged, counts.labelled - counts.labelled_flagged
    if not (known_flagged and known_others):
        return None, None
    p, q = counts.normal_flagged, counts.normal - counts.normal_flagged
    return (
        _share(flagged, others, (p, known_flagged), (q, known_others)),
        _share(flagged, others, (known_flagged - p, known_flagged), (known_others - q, known_others)),
    )


def _share(flagged: int, others: int, p: tuple[int, int], q: tuple[int, int]) -> Weighted | None:
    """F p / (F p + U q), which rises with p and falls with q."""

    def share(a: float, b: float) -> float | None:
        whole = flagged * a + others * b
        return flagged * a / whole if whole else None

    value = share(p[0] / p[1], q[0] / q[1])
    if value is None:
        return None
    each = 1.0 - (1.0 - COVERAGE) / 2.0
    (p_low, p_high), (q_low, q_high) = clopper_pearson(*p, each), clopper_pearson(*q, each)
    low, high = share(p_low, q_high), share(p_high, q_low)
    return Weighted(value, 0.0 if low is None else low, 1.0 if high is None else high)
