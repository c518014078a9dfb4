"""The likelihood of columns of several kinds: one likelihood per kind.

t (..., D) and h (..., width) as in `base`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaekit_training.likelihoods.base import DecoderHead, Likelihood


class _HeadSlice(NamedTuple):
    """The outputs of a head that one part reads, from index `start` on."""

    head: DecoderHead
    start: int

    def zero_rows(self, rows: slice, value: float | Tensor) -> None:
        """As in DecoderHead."""
        self.head.zero_rows(self._moved(rows), value)

    def set_bias(self, rows: slice, value: float | Tensor) -> None:
        """As in DecoderHead."""
        self.head.set_bias(self._moved(rows), value)

    def _moved(self, rows: slice) -> slice:
        first, stop, _ = rows.indices(sys.maxsize)
        return slice(self.start + first, self.start + stop)


class Mixed(Likelihood):
    """log p(x_d) by the likelihood of column d. Each part is the likelihood of some columns; h holds part after part.

    `scale` is the standard deviation of each column, whatever its kind.
    """

    order: Tensor  # (D,) position of each column in the concatenated parts

    def __init__(self, parts: Sequence[tuple[Sequence[int], Likelihood]]) -> None:
        """parts: column indices and the likelihood of these columns; all categories must be in one part, in order."""
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
        """Each part's likelihood, column indices and decoder outputs (..., part.width)."""
        outputs = h.split(self.widths, dim=-1)
        columns = [self.get_buffer(f"columns_{i}") for i in range(len(self.widths))]
        return list(zip(self._likelihoods(), columns, outputs, strict=True))

    def _likelihoods(self) -> list[Likelihood]:
        return [part for part in self.parts if isinstance(part, Likelihood)]  # tells mypy the type of the modules

    def _join(self, values: list[Tensor]) -> Tensor:
        """Values of all parts joined and sorted by column, (..., D)."""
        return torch.cat(values, dim=-1)[..., self.order]

    def initialize(self, head: DecoderHead) -> None:
        """Initialise each part with its slice of the head."""
        at = 0
        for part, width in zip(self._likelihoods(), self.widths, strict=True):
            part.initialize(_HeadSlice(head, at))
            at += width

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """log p(t_d|z), (..., D)."""
        return self._join([part.log_prob(t[..., columns], own_h) for part, columns, own_h in self._each(h)])

    def mean(self, h: Tensor) -> Tensor:
        """E[t_d|z], or the index of the most probable level, (..., D)."""
        return self._join([part.mean(own_h) for part, _, own_h in self._each(h)])

    def deviation(self, h: Tensor) -> Tensor:
        """Standard deviation, (..., D)."""
        return self._join([part.deviation(own_h) for part, _, own_h in self._each(h)])

    def extras(self, h: Tensor) -> dict[str, Tensor]:
        """`probabilities` of all levels, if there are categories."""
        found = {name: value for part, _, own_h in self._each(h) for name, value in part.extras(own_h).items()}
        return {name: value for name, value in found.items() if name == "probabilities"}

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """A draw of each column by its likelihood, (..., D)."""
        return self._join([part.observe(own_h, noise[..., columns, :]) for part, columns, own_h in self._each(h)])
