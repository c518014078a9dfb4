"""Decides whether and when a client sends a request again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from vaekit.client.errors import ClientError, ConnectionFailed, ServiceUnavailable, TooBusy
from vaekit.errors import InputError

RETRIES = 2  # the default: a busy moment passes unnoticed, and an outage is reported in about a second
LONGEST_WAIT = 60.0  # seconds; the default
FIRST_PAUSE = 0.25  # seconds, at most; it doubles with each try
LONGEST_PAUSE = 8.0  # seconds, at most, if the service names no time


@dataclass(frozen=True)
class Retries:
    """When to send a request again: after random pauses, so that callers refused together do not return together.

    A request is sent again after a broken connection, after 429, and after a 503 with Retry-After. The same request
    would fail again after any other status, and after a 503 without Retry-After. A request that took too long is not
    sent again: the service may still be at work on it.

    Args:
        most: number of times that a request may be sent again.
        longest_wait: seconds; if the service asks for a longer pause, the error is raised at once.
        chance: source of the jitter.

    Raises:
        InputError: a negative number.
    """

    most: int
    longest_wait: float
    chance: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.most < 0 or not self.longest_wait >= 0:
            raise InputError(f"retries: {self.most} times, waiting {self.longest_wait} s; expected 0 or more")

    def pause(self, error: ClientError, tries: int, *, answered: bool = True) -> float | None:
        """Seconds to wait before the request is sent again; None: the error is final.

        U(0, min(8, 0.25 * 2^(tries - 1))), and with Retry-After that many seconds more.

        Args:
            error: the error of the last try.
            tries: number of tries so far, at least 1.
            answered: whether the service has answered this client before. If it never has, its address is likely wrong,
                and a failed connection is final.
        """
        after = self._asked(error, answered)
        if after is None or tries > self.most or after > self.longest_wait:
            return None
        return after + self.chance.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 10)))

    @staticmethod
    def _asked(error: ClientError, answered: bool) -> float | None:
        """The pause in seconds that the service asks for; None if the request must not be sent again."""
        if isinstance(error, TooBusy):
            return error.retry_after or 0.0
        if isinstance(error, ServiceUnavailable):
            return error.retry_after
        return 0.0 if isinstance(error, ConnectionFailed) and answered else None
