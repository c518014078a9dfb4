"""Limits the requests of each key per second, minute, hour or day."""

from __future__ import annotations

import time
from math import ceil

import limits
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from vaekit.errors import ConfigError
from vaekit_service.errors import RateLimited

Rate = limits.RateLimitItem


def parse_rate(text: str, what: str = "rate") -> Rate:
    """A rate such as 600/minute; messages call it `what`.

    Raises:
        ConfigError: not a rate, or a rate of 0.
    """
    try:
        rate = limits.parse(text)
    except ValueError:
        rate = None
    if rate is None or rate.amount < 1:
        raise ConfigError(
            f"{what} {text[:40]!r}: expected a number of requests per unit, such as 600/minute or 20/second"
        )
    return rate


class RateLimits:
    """Counts the requests of each key in the memory of this process: replicas count on their own.

    Args:
        rate: the rate of keys that have none of their own; None: no limit.
    """

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        # The one for asyncio: the other starts a thread for every hundredth of a second with a request.
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def count(self, name: str, own: Rate | None) -> None:
        """Count a request of the key `name`, whose own rate is `own`.

        Raises:
            RateLimited: the key has no requests left for now.
        """
        rate = own or self._rate
        if rate is not None and not await self._limiter.hit(rate, name):
            window = await self._limiter.get_window_stats(rate, name)
            seconds = max(1, ceil(window.reset_time - time.time()))
            raise RateLimited(f"more than {rate}, the limit of this key; retry in {seconds} s", seconds)
