"""The likelihood of categories, whose levels are given by index.

t (..., D) and h (..., sum_d L_d) as in `base`; L_d levels of column d. Levels are in groups of D_g columns, padded to
M_g levels: see LevelGroups.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit_training.functional import normal_cdf
from vaekit_training.level_groups import LevelGroups
from vaekit_training.likelihoods.base import Likelihood

NO_LEVEL = -1e30  # logit that pads columns with fewer levels: exp of it is 0


class Categorical(Likelihood):
    """x_d in 0..L_d - 1 with logits l_d (L_d,):  log p(x_d) = l_d[x_d] - log sum_i exp l_d[i].

    h holds the logits column by column.
    """

    mass = True
    parameters_in_raw_units = ("mean", "probabilities")
    last: Tensor  # (D,) index of the last level

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels
        self.dim, self.width, self.most = len(levels), sum(levels), max(levels)
        self.register_buffer("last", torch.tensor(levels) - 1)
        self.groups = LevelGroups(levels)

    def _log_probabilities(self, h: Tensor) -> list[Tensor]:
        """log p of each level of each column, (..., D_g, M_g) of each group."""
        return [torch.log_softmax(logits, dim=-1) for logits in self.groups.padded(h, NO_LEVEL)]

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """l_d[t_d] - log sum_i exp l_d[i], (..., D)."""
        found = []
        levels = self.groups.of_columns(t.round().long())  # (..., D_g)
        for own, log_p in zip(levels, self._log_probabilities(h), strict=True):
            index, _ = torch.broadcast_tensors(own, log_p[..., 0])  # (..., D_g)
            each = log_p.expand(*index.shape, log_p.shape[-1])  # (..., D_g, M_g)
            found.append(torch.gather(each, -1, index.unsqueeze(-1)).squeeze(-1))
        return self.groups.joined(found)

    def mean(self, h: Tensor) -> Tensor:
        """Index of the most probable level, (..., D)."""
        return self.groups.joined([log_p.argmax(-1) for log_p in self._log_probabilities(h)]).to(h.dtype)

    def deviation(self, h: Tensor) -> Tensor:
        """sqrt(p (1 - p)) of the most probable level, (..., D); 1 - p is the sum over the other levels."""
        found = []
        for log_p in self._log_probabilities(h):
            p = log_p.exp()  # (..., D_g, M_g)
            best = torch.arange(p.shape[-1], device=h.device) == p.argmax(-1, keepdim=True)  # (..., D_g, M_g)
            found.append(torch.sqrt(torch.where(best, p, 0.0).sum(-1) * torch.where(best, 0.0, p).sum(-1)))
        return self.groups.joined(found)

    def scale(self, h: Tensor) -> None:  # noqa: ARG002  as in the base class
        """None: a category has no scale."""
        return

    def extras(self, h: Tensor) -> dict[str, Tensor]:
        """`probabilities` of all levels, column by column, (..., sum_d L_d)."""
        return {"probabilities": self.groups.levels([log_p.exp() for log_p in self._log_probabilities(h)])}

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """Index of the first level at which the cumulative probability reaches Phi(n), (..., D)."""
        reached = [torch.cumsum(log_p.exp(), dim=-1) for log_p in self._log_probabilities(h)]  # (..., D_g, M_g)
        draws = self.groups.of_columns(normal_cdf(noise[..., 0]))  # (..., D_g)
        index = [(u.unsqueeze(-1) > each).to(h.dtype).sum(-1) for u, each in zip(draws, reached, strict=True)]
        return torch.minimum(self.groups.joined(index), self.last.to(h.dtype))
