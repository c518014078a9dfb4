"""The likelihood of columns of several kinds: one likelihood per kind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaekit_training.likelihoods.base import DecoderHead, Likelihood


class _Rows(NamedTuple):
    """The outputs of a head that one part reads."""

    head: DecoderHead
    start: int

    def zero_rows(self, rows: slice, value: float | Tensor) -> None:
        self.head.zero_rows(self._moved(rows), value)

    def set_bias(self, rows: slice, value: float | Tensor) -> None:
        self.head.set_bias(self._moved(rows), value)

    def _moved(self, rows: slice) -> slice:
        first, stop, _ = rows.indices(sys.maxsize)
        return slice(self.start + first, self.start + stop)


class Mixed(Likelihood):
    """log p(x) by column; each part is the likelihood of some columns, and h holds part after part.

    The scale is the standard deviation of each column, whatever its kind.
    """

    order: Tensor  # (D,) index of each column in the concatenated parts

    def __init__(self, parts: Sequence[tuple[Sequence[int], Likelihood]]) -> None:
        """parts: (columns, likelihood over them); categories are in one part, in ascending order."""
        super().__init__()
        self.parts = nn.ModuleList([part for _, part in parts])
        columns = [d for places, _ in parts for d in places]
        assert sorted(columns) == list(range(len(columns)))
        assert all(part.dim == len(places) for places, part in parts)
        self.dim, self.width = len(columns), sum(part.width for _, part in parts)
        self.widths = [part.width for _, part in parts]
        self.mass = all(part.mass for _, part in parts)
        for i, (places, _) in enumerate(parts):
            self.register_buffer(f"columns_{i}", torch.tensor(places))
        self.register_buffer("order", torch.argsort(torch.tensor(columns)))
        levels = [list(places) for places, part in parts if "probabilities" in part.parameters_in_raw_units]
        assert len(levels) <= 1
        assert all(places == sorted(places) for places in levels)
        self.parameters_in_raw_units = ("mean", "scale", "probabilities") if levels else ("mean", "scale")

    def _each(self, h: Tensor) -> list[tuple[Likelihood, Tensor, Tensor]]:
        """Each part with its columns and its outputs."""
        pieces = h.split(self.widths, dim=-1)
        columns = [self.get_buffer(f"columns_{i}") for i in range(len(self.widths))]
        return list(zip(self._likelihoods(), columns, pieces, strict=True))

    def _likelihoods(self) -> list[Likelihood]:
        return [part for part in self.parts if isinstance(part, Likelihood)]  # for mypy: ModuleList forgets the type

    def _join(self, values: list[Tensor]) -> Tensor:
        """Concatenated values of the parts, in the order of the columns."""
        return torch.cat(values, dim=-1)[..., self.order]

    def initialize(self, head: DecoderHead) -> None:
        at = 0
        for part, width in zip(self._likelihoods(), self.widths, strict=True):
            part.initialize(_Rows(head, at))
            at += width

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        return self._join([part.log_prob(t[..., columns], piece) for part, columns, piece in self._each(h)])

    def mean(self, h: Tensor) -> Tensor:
        return self._join([part.mean(piece) for part, _, piece in self._each(h)])

    def deviation(self, h: Tensor) -> Tensor:
        return self._join([part.deviation(piece) for part, _, piece in self._each(h)])

    def extras(self, h: Tensor) -> dict[str, Tensor]:
        found = {name: value for part, _, piece in self._each(h) for name, value in part.extras(piece).items()}
        return {name: value for name, value in found.items() if name == "probabilities"}

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        return self._join([part.observe(piece, noise[..., columns, :]) for part, columns, piece in self._each(h)])
