"""A conformal test martingale: evidence that live rows are not like the held-out ones, valid at every look.

A test that is repeated every minute gives false alarms in the end. This one does not: it bets on the next p-value, and
if nothing has changed, no strategy of bets multiplies its capital by c with a probability above 1 / c, at any time
(Ville's inequality).
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right, insort
from time import monotonic

import numpy as np

from vaekit_service.model_health.held_out import HeldOutRows, LiveRows

EPOCH_ROWS = 10_000  # rows of one epoch at most; the next one starts with the held-out rows alone
EPOCH_SECONDS = 6 * 3600.0
BURST = 1_000  # rows that may be used at once; otherwise about EPOCH_ROWS per EPOCH_SECONDS
MOST = 1e12  # limit of the capital, far beyond any doubt
_JUMPS = np.array([1e-3, 1e-2, 1e-1, 1.0])[:, None]  # J, (4, 1): the share of the capital that changes its bet
_BETS = 7
_TAILS = (0.1, 1.5), (0.02, 3.0)  # q and a: multiplies by a if p <= q


class Jumper:
    """Bets a capital of 1 on p-values that are independent and uniform if nothing has changed.

        C_b <- ((1 - J) C_b + J mean_b C_b) f_b(p)
        f(p) = 1,  1 +- (p - 1/2),  1 +- (6 p^2 - 6 p + 1) / 2,  and a if p <= q, else (1 - q a) / (1 - q)

    Each of seven bets has a part of the capital, and a share J of it jumps to the others before each p-value: the
    "simple jumper" of Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman (2021, "Retrain or not retrain"), here
    with bets on the middle and the ends too, and averaged over four J. The last form bets on a few very high scores,
    which hardly move the others: twice as many anomalies. Each f integrates to 1, so the capital is a martingale.
    """

    def __init__(self) -> None:
        self._capital = np.full((len(_JUMPS), _BETS), 1.0 / (len(_JUMPS) * _BETS))  # (J, bets)

    @property
    def capital(self) -> float:
        return float(self._capital.sum())

    def bet(self, p: float) -> None:
        """Bet on the next p-value, between 0 and 1."""
        line, curve = p - 0.5, 0.5 * (6.0 * p * p - 6.0 * p + 1.0)
        tails = [a if p <= q else (1.0 - q * a) / (1.0 - q) for q, a in _TAILS]
        factors = np.array([1.0, 1.0 + line, 1.0 - line, 1.0 + curve, 1.0 - curve, *tails])  # f_b(p), (bets,)
        kept = (1.0 - _JUMPS) * self._capital + _JUMPS * self._capital.mean(axis=1, keepdims=True)
        self._capital = kept * factors
        if (capital := self.capital) > MOST:
            self._capital *= MOST / capital


class Martingale:
    """The capital of a Jumper that bets on the smoothed p-values of live rows among held-out and earlier live rows.

        p = (#{scores > s} + U (1 + #{scores = s})) / (n + 1),        U uniform on (0, 1), n scores so far in the set

    These p-values are independent and uniform if all rows of a set are exchangeable (Vovk, Gammerman and Shafer 2005,
    theorem 8.2). Compared with the held-out rows alone they would not be independent, and their distance from uniform,
    about 1 / sqrt(n), would be taken for a change in the end. Each epoch starts with a capital of 1. Live rows join the
    scores, so a change that lasts looks normal after a while; therefore the highest capital of the epoch counts.
    """

    def __init__(self, held_out: HeldOutRows, rng: np.random.Generator) -> None:
        self._held_out, self._separate, self._rng = held_out.scores, held_out.separate, rng
        self._allowed, self._filled_at = float(BURST), monotonic()
        self._start()

    def _start(self) -> None:
        """Begin an epoch."""
        self._scores = {g: array("d", self._held_out[g].tobytes()) for g in self._separate}
        self._jumper, self._used, self._started = Jumper(), 0, monotonic()
        self._highest = self._jumper.capital

    @property
    def log10_evidence(self) -> float:
        """log10 of the highest capital of this epoch, 0 once it is over. Without a change, P(it reaches c) <= 10^-c."""
        return 0.0 if monotonic() - self._started > EPOCH_SECONDS else math.log10(self._highest)

    def add(self, live: LiveRows) -> None:
        """Bet on live rows in the order of their arrival; on some of them, evenly spread, if they are many.

        Rows of a set that overlaps with another one are left out: their p-values would not be independent.
        """
        now = monotonic()
        self._allowed = min(BURST, self._allowed + (now - self._filled_at) * EPOCH_ROWS / EPOCH_SECONDS)
        self._filled_at = now
        usable = np.flatnonzero(np.isin(live.sets, list(self._separate)))
        used = usable[_evenly(usable.size, int(self._allowed))]
        self._allowed -= used.size
        if self._used + used.size > EPOCH_ROWS or now - self._started > EPOCH_SECONDS:
            self._start()
        self._used += used.size
        for g, score, u in zip(live.sets[used], live.scores[used], self._rng.random(used.size), strict=True):
            self._jumper.bet(_smoothed_p_value(self._scores[int(g)], float(score), float(u)))
            self._highest = max(self._highest, self._jumper.capital)


def _evenly(size: int, most: int) -> np.ndarray:
    """At most `most` of the indices 0 .. size - 1, evenly spread."""
    return np.arange(size) if size <= most else (np.arange(most) * size) // max(most, 1)


def _smoothed_p_value(scores: array[float], score: float, u: float) -> float:
    """The p-value of a score among those so far, which it joins."""
    above = len(scores) - bisect_right(scores, score)
    ties = len(scores) - bisect_left(scores, score) - above
    p = (above + u * (ties + 1)) / (len(scores) + 1)
    insort(scores, score)
    return p
