"""The negative ELBO with the prior N(0, I), and its gradient in closed form.

N rows, D data dimensions, Z latent dimensions, K draws; ... is an axis of M members, or empty for a single VAE.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class _ElboLoss(torch.autograd.Function):
    """elbo_loss as one autograd function, with a third of the operations that autograd would record.

    The time of a small network's step is proportional to the number of operations.
    """

    @staticmethod
    def forward(ctx: Any, mu: Tensor, sigma: Tensor, log_p: Tensor, beta: Any, share: float, draws: int) -> Tensor:
        ctx.save_for_backward(mu, sigma)
        ctx.weight, ctx.each, ctx.shape = beta * share, share / draws, log_p.shape
        twice = torch.addcmul(mu * mu, sigma, sigma).sub_(sigma.log(), alpha=2.0)  # 2 KL_j + 1, (..., N, Z)
        if isinstance(beta, Tensor) and beta.ndim:  # one weight per member
            kl = twice.sub_(1.0).mul_(0.5 * ctx.weight).sum()
        else:
            kl = twice.sum().sub_(mu.numel()).mul_(0.5 * ctx.weight)
        return kl.sub_(log_p.sum(), alpha=ctx.each)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        mu, sigma = ctx.saved_tensors
        weight = gradients[0] * ctx.weight
        for_log_p = (gradients[0] * -ctx.each).expand(ctx.shape)  # -share / K for each value
        return mu * weight, (sigma - sigma.reciprocal()).mul_(weight), for_log_p, None, None, None


def elbo_loss(mu: Tensor, sigma: Tensor, log_p: Tensor, beta: float | Tensor, share: float, draws: int) -> Tensor:
    """share sum_n [ beta KL( N(mu_n, diag sigma_n^2) || N(0, I) ) - (1/K) sum_k log p(x_n|z_nk) ], ().

        KL = sum_j [ (mu_j^2 + sigma_j^2 - 1) / 2 - log sigma_j ]
        d KL / d mu_j = mu_j,  d KL / d sigma_j = sigma_j - 1 / sigma_j

    Args:
        mu, sigma: (..., N, Z) each.
        log_p: log p(t_d|z_k) of each row, draw and feature; all of its values are summed, so it may have any shape.
        beta: weight of the KL, a number or (M, 1, 1).
        share: weight of each row, such as 1 / N.
        draws: K.

    Source: Kingma and Welling (2014), appendix B, for the KL.
    """
    return cast(Tensor, _ElboLoss.apply(mu, sigma, log_p, beta, share, draws))
