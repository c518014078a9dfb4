"""Limits on the size of one request (rows, cells, work) and on the bytes that all requests hold together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from vaekit.bundle.manifest import Manifest
from vaekit.errors import InputError
from vaekit_service.errors import Overloaded, TooLarge

LARGE = 2**20  # bytes; the release of a smaller body or reply is not told


@dataclass(frozen=True)
class Limits:
    """Largest N, N x D and N x K x D x M of one request; vaekit_service/settings.py explains the defaults.

    N rows, D columns, K draws, M members of the ensemble.
    """

    max_rows: int
    max_cells: int
    max_work: int

    def rows_per_request(self, manifest: Manifest) -> int:
        """The largest number of rows, latents or samples of one request to a model."""
        return max(1, min(self.max_rows, self.max_cells // manifest.max_cells_per_row))

    def check_rows(self, n: int, manifest: Manifest) -> None:
        """Check the number of rows.

        Raises:
            TooLarge: more rows than one request may have.
        """
        if n > (most := self.rows_per_request(manifest)):
            raise TooLarge(f"{n} rows; one request to this model may have at most {most}")

    def check_samples(self, n: int, manifest: Manifest) -> None:
        """Check the number of samples.

        Raises:
            InputError: more samples than one request may ask for.
        """
        if n > (most := self.rows_per_request(manifest)):
            raise InputError(f"n: {n} is not between 1 and {most}")

    def check_work(self, n: int, num_samples: int, manifest: Manifest, what: str = "rows") -> None:
        """Check the work of an elbo request, N x K x D x M; `what` names the rows in the message.

        Raises:
            TooLarge: more than max_work.
        """
        most = self.rows_of_work(num_samples, manifest)
        if n > most:
            raise TooLarge(f"{n} {what}; with {num_samples} draws one request to this model may have at most {most}")

    def rows_of_work(self, num_samples: int, manifest: Manifest) -> int:
        """The largest number of rows of one elbo request with so many draws."""
        return max(1, self.max_work // (num_samples * manifest.input.dim * manifest.members))

    def rows_of_similar(self, similar: int, manifest: Manifest) -> int:
        """The largest number of rows of one elbo request that shows so many similar training rows."""
        return max(1, self.max_cells // (similar * manifest.input.dim))

    def check_similar(self, n: int, similar: int, manifest: Manifest) -> None:
        """Check the number of values of the similar training rows in a reply, N x `similar` x D.

        Raises:
            TooLarge: more than max_cells.
        """
        most = self.rows_of_similar(similar, manifest)
        if n > most:
            raise TooLarge(f"{n} rows; with similar = {similar} one request to this model may have at most {most}")


class MemoryBudget:
    """Limits the bytes of one body, and the bytes of all bodies and replies in flight together.

    Args:
        max_body_bytes, max_inflight_bytes: the limits.
        freed: called with the size of each large reservation that is released.
    """

    def __init__(
        self, *, max_body_bytes: int, max_inflight_bytes: int, freed: Callable[[int], None] = lambda _: None
    ) -> None:
        self._max_body, self._max_total, self.freed = max_body_bytes, max_inflight_bytes, freed
        self.held = 0  # bytes of all bodies and replies in flight

    def reserve(self) -> Reservation:
        """A new reservation, for the body of one request and then its reply."""
        return Reservation(self)

    def check_body(self, size: int) -> None:
        """Check the size of one body.

        Raises:
            TooLarge: more bytes than one body may have.
        """
        if size > self._max_body:
            raise TooLarge(f"body: larger than {self._max_body} bytes, the limit for one request")

    def change(self, old: int, new: int) -> None:
        """Change the bytes of one request from `old` to `new`.

        A request that is alone always has room; otherwise the largest replies could never be sent.

        Raises:
            Overloaded: no room for the bytes.
        """
        others = self.held - old
        if new > old and others and others + new > self._max_total:
            raise Overloaded(
                f"no room for {new} bytes: other requests hold {others} of at most {self._max_total} bytes; retry later"
            )
        self.held = others + new


class Reservation:
    """The bytes of the budget that one request holds. Leaving its `with` block releases them."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.size = 0

    def hold(self, size: int) -> None:
        """Hold this many bytes instead of those held before.

        Raises:
            Overloaded: the budget has no room for them.
        """
        self._budget.change(self.size, size)
        self.size = size

    def hold_body(self, size: int) -> None:
        """Hold the bytes of a body that have arrived so far.

        Raises:
            TooLarge, Overloaded: see MemoryBudget.
        """
        self._budget.check_body(size)
        self.hold(size)

    def check_body(self, size: int) -> None:
        """Check a declared size before the bytes arrive; see MemoryBudget.check_body."""
        self._budget.check_body(size)

    def release(self) -> None:
        size, self.size = self.size, 0
        self._budget.held -= size
        if size >= LARGE:
            self._budget.freed(size)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()
