"""Limits on the size of one request (rows, cells, work) and on the bytes that all requests hold together."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from vaekit.bundle.manifest import Manifest
from vaekit.errors import InputError
from vaekit_service.errors import Overloaded, TooLarge


@dataclass(frozen=True)
class Limits:
    """N, N x D and N x K x D x M of one request; see vaekit_service/settings.py for their reasons."""

    max_rows: int
    max_cells: int
    max_work: int

    def most_rows(self, manifest: Manifest) -> int:
        """The most rows, codes or samples of one request to a model."""
        return max(1, min(self.max_rows, self.max_cells // manifest.max_cells_per_row))

    def check_rows(self, n: int, manifest: Manifest) -> None:
        """
        Raises:
            TooLarge: more rows than one request may hold.
        """
        if n > (most := self.most_rows(manifest)):
            raise TooLarge(f"{n} rows, more than the {most} that one request to this model may hold")

    def check_samples(self, n: int, manifest: Manifest) -> None:
        """
        Raises:
            InputError: more samples than one request may ask for.
        """
        if n > (most := self.most_rows(manifest)):
            raise InputError(f"n: {n} is not between 1 and {most}")

    def check_work(self, n: int, num_samples: int, manifest: Manifest) -> None:
        """
        Raises:
            TooLarge: more than max_work of N x K x D x M.
        """
        most = max(1, self.max_work // (num_samples * manifest.input.dim * manifest.members))
        if n > most:
            raise TooLarge(f"{n} rows of {num_samples} draws, more than the {most} rows that one request may have")


class MemoryBudget:
    """Bounds the bytes of one body, and of all bodies and replies in flight together."""

    def __init__(self, *, max_body_bytes: int, max_inflight_bytes: int) -> None:
        self._max_body, self._max_total = max_body_bytes, max_inflight_bytes
        self.held = 0  # bytes of all bodies and replies in flight

    def reserve(self) -> Reservation:
        """Room for one request's body and then its reply."""
        return Reservation(self)

    def check_body(self, size: int) -> None:
        """
        Raises:
            TooLarge: a body of more bytes than one request may have.
        """
        if size > self._max_body:
            raise TooLarge(f"body: more than {self._max_body} bytes, the most that one request may have")

    def change(self, old: int, new: int) -> None:
        """Count one request's bytes as `new` in place of `old`.

        A request that is alone always has room: otherwise the largest replies would never fit.
        """
        others = self.held - old
        if new > old and others and others + new > self._max_total:
            raise Overloaded(f"{others} bytes of other requests are in flight, no room for {new} more")
        self.held = others + new


class Reservation:
    """How many bytes of the budget one request holds."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.size = 0

    def hold(self, size: int) -> None:
        """Hold this many bytes from here on, in place of those held before.

        Raises:
            Overloaded: the budget has no room for them.
        """
        self._budget.change(self.size, size)
        self.size = size

    def hold_body(self, size: int) -> None:
        """Hold the bytes of a body, as far as they have arrived.

        Raises:
            TooLarge, Overloaded: see MemoryBudget.
        """
        self._budget.check_body(size)
        self.hold(size)

    def check_body(self, size: int) -> None:
        """Refuse a declared size before its bytes arrive; see MemoryBudget.check_body."""
        self._budget.check_body(size)

    def release(self) -> None:
        self._budget.held -= self.size
        self.size = 0

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()
