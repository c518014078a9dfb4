"""The likelihood of categories, whose levels are given by index.

t (..., D) and h (..., sum_d L_d) as in `base`; L_d levels of column d.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit_training.functional import normal_cdf
from vaekit_training.likelihoods.base import Likelihood

NO_LEVEL = -1e30  # logit that pads columns with fewer levels: exp of it is 0


class Categorical(Likelihood):
    """x_d in 0..L_d - 1 with logits l_d (L_d,):  log p(x_d) = l_d[x_d] - log sum_i exp l_d[i].

    h holds the logits column by column.
    """

    mass = True
    parameters_in_raw_units = ("mean", "probabilities")
    pad: Tensor  # (D, max L) index in h of each level's logit
    real: Tensor  # (D, max L) bool, whether the column has this level
    last: Tensor  # (D,) index of the last level
    flat: Tensor  # (sum L,) index of each level in (D, max L)

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels
        self.dim, self.width, self.most = len(levels), sum(levels), max(levels)
        counts = torch.tensor(levels)
        first = torch.cumsum(counts, 0) - counts
        place = torch.arange(self.most)
        real = place < counts[:, None]
        self.register_buffer("pad", torch.where(real, first[:, None] + place, 0))
        self.register_buffer("real", real)
        self.register_buffer("last", counts - 1)
        self.register_buffer("flat", real.flatten().nonzero().squeeze(-1))
        self.even = bool(real.all())

    def _log_probabilities(self, h: Tensor) -> Tensor:
        """log p of each level of each column, (..., D, max L)."""
        if self.even:
            return torch.log_softmax(h.unflatten(-1, (self.dim, self.most)), dim=-1)
        padded = h[..., self.pad.flatten()].unflatten(-1, (self.dim, self.most))
        return torch.log_softmax(torch.where(self.real, padded, NO_LEVEL), dim=-1)

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """l_d[t_d] - log sum_i exp l_d[i], (..., D)."""
        log_p = self._log_probabilities(h)  # (..., D, max L)
        index, _ = torch.broadcast_tensors(t.round().long(), log_p[..., 0])  # (..., D)
        return torch.gather(log_p.expand(*index.shape, self.most), -1, index.unsqueeze(-1)).squeeze(-1)

    def mean(self, h: Tensor) -> Tensor:
        """Index of the most probable level, (..., D)."""
        return self._log_probabilities(h).argmax(-1).to(h.dtype)

    def deviation(self, h: Tensor) -> Tensor:
        """sqrt(p (1 - p)) of the most probable level, (..., D); 1 - p is the sum over the other levels."""
        p = self._log_probabilities(h).exp()  # (..., D, max L)
        best = torch.arange(self.most, device=h.device) == p.argmax(-1, keepdim=True)  # (..., D, max L)
        return torch.sqrt(torch.where(best, p, 0.0).sum(-1) * torch.where(best, 0.0, p).sum(-1))

    def scale(self, h: Tensor) -> None:  # noqa: ARG002  as in the base class
        """None: a category has no scale."""
        return

    def extras(self, h: Tensor) -> dict[str, Tensor]:
        """`probabilities` of all levels, column by column, (..., sum_d L_d)."""
        p = self._log_probabilities(h).exp()
        return {"probabilities": p.flatten(-2)[..., self.flat]}

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """Index of the first level at which the cumulative probability reaches Phi(n), (..., D)."""
        reached = torch.cumsum(self._log_probabilities(h).exp(), dim=-1)  # (..., D, max L)
        index = (normal_cdf(noise[..., 0]).unsqueeze(-1) > reached).to(h.dtype).sum(-1)
        return torch.minimum(index, self.last.to(h.dtype))
