"""How much one request may ask for, in rows. Knows sizes, not contents."""

from __future__ import annotations

from dataclasses import dataclass

from vaekit.bundle.manifest import Manifest
from vaekit.errors import InputError
from vaekit_service.errors import TooLarge


@dataclass(frozen=True)
class Limits:
    """N, N x D and N x K x D x M of one request; see vaekit_service/settings.py for their reasons."""

    max_rows: int
    max_cells: int
    max_work: int

    def most_rows(self, manifest: Manifest) -> int:
        """The most rows, codes or samples of one request to a model."""
        return max(1, min(self.max_rows, self.max_cells // manifest.widest))

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
