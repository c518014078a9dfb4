"""Priors p(z): KL divergence from the posterior, density ratios and samples.

N rows, K draws, Z latent dimensions, C components; mu, sigma (..., N, Z), eps (N, K, Z) and z (..., N, K, Z), where ...
is an axis of M members, or empty for a single VAE.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vaekit_training.functional import log_mean_exp_of_many
from vaekit_training.kernels.prior import KernelPrior

LOG_2PI = math.log(2.0 * math.pi)
NARROWEST = 1e-3  # smallest sigma of a component; with a smaller one the squares in _log_mean_exp would cancel


def kl_by_latent(mu: Tensor, sigma: Tensor) -> Tensor:
    """KL( N(mu_j, sigma_j^2) || N(0, 1) ) = (mu_j^2 + sigma_j^2 - 1) / 2 - log sigma_j, (..., Z), for (..., Z) each.

    Source: Kingma and Welling (2014), appendix B.
    """
    return 0.5 * (mu * mu + sigma * sigma - 1.0) - sigma.log()


def kl_divergence(mu: Tensor, sigma: Tensor) -> Tensor:
    """KL( N(mu, diag sigma^2) || N(0, I) ) = sum_j kl_by_latent_j, (...), for mu and sigma (..., Z)."""
    return kl_by_latent(mu, sigma).sum(-1)


class Normal(nn.Module):
    """p(z) = N(0, I)."""

    inputs: tuple[str, ...] = ("noise",)  # arguments of sample that are random numbers
    is_standard = True  # p(z) is N(0, I)

    def kl(self, mu: Tensor, sigma: Tensor, train_index: Tensor | None = None) -> Tensor:  # noqa: ARG002  as in Aggregate
        """KL(q(z|x) || p(z)), (..., N); train_index are not used."""
        return kl_divergence(mu, sigma)

    def log_ratio(
        self,
        sigma: Tensor,
        z: Tensor,
        eps: Tensor,
        train_index: Tensor | None = None,  # noqa: ARG002  as in Aggregate
    ) -> Tensor:
        """log p(z_k) - log q(z_k|x) = sum_j (eps_kj^2 - z_kj^2) / 2 + sum_j log sigma_j, (..., N, K)."""
        return 0.5 * (eps * eps - z * z).sum(-1) + sigma.log().sum(-1)[..., None]

    def sample(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> Tensor:  # noqa: ARG002  as in Aggregate
        """z (N, Z) from standard normals (N, Z); choice and member are not used."""
        return noise * 1.0


class Aggregate(nn.Module):
    """p(z) = (1/C) sum_i q_i(z), where q_i(z) = q(z|x_i) of C training rows: the prior of an exemplar VAE.

    The index i of the component is a second latent variable. With q(z, i|x) = q(z|x) q(i|x) and the optimal q(i|x),
    which is proportional to exp(-KL_i), the joint KL is

        KL( q(z, i|x) || p(i) q_i(z) ) = -log (1/C) sum_i exp(-KL_i),   KL_i = KL(q(z|x) || q_i)

    This KL is at least KL(q(z|x) || p(z)), so the ELBO remains a lower bound. It needs no draws and is not negative.
    For draws with mean 0 and mean square 1, log_evidence >= ELBO holds for every row, because log p(z) is a convex
    function of the log q_i.

    Before the first `refresh`, p(z) is N(0, I). In training, the prior of a row leaves out the component of that row.
    Otherwise each row could get a narrow component that fits only itself. A component's sigma is at least NARROWEST.

    Source: Norouzi, Fleet and Norouzi (2020), "Exemplar VAE"; Tomczak and Welling (2018) for the aggregated posterior;
    Hershey and Olsen (2007), "Approximating the Kullback Leibler divergence between Gaussian mixture models", (20).
    """

    inputs = ("noise", "choice")
    row: Tensor  # (C,) index of each component among the training rows
    mu: Tensor  # (..., C, Z)
    sigma: Tensor  # (..., C, Z)
    filled: Tensor  # () bool, whether refresh has been called
    _one: Tensor

    def __init__(self, row: Tensor, latent_dim: int, members: int = 1) -> None:
        """row: (C,) indices, among the training rows, of the rows that are components."""
        super().__init__()
        shape = (row.numel(), latent_dim) if members == 1 else (members, row.numel(), latent_dim)
        self.register_buffer("row", row)
        self.register_buffer("mu", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("sigma", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.bool))
        self.register_buffer("_one", torch.ones(()), persistent=False)  # has the model's dtype
        self._normal = Normal()
        self.is_standard = True  # until filled; a Python bool, because reading `filled` would wait for the device

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.is_standard = not bool(self.filled)

    @torch.no_grad()
    def refresh(self, mu: Tensor, sigma: Tensor) -> None:
        """Set the components to the posteriors of their rows, mu and sigma (..., C, Z), in the order of `row`."""
        self.mu.copy_(mu)
        self.sigma.copy_(sigma.clamp_min(NARROWEST))
        self.filled.fill_(True)
        self.is_standard = False

    def kl(self, mu: Tensor, sigma: Tensor, train_index: Tensor | None = None) -> Tensor:
        """-log (1/C) sum_i exp(-KL(q(z|x) || q_i)), (..., N).

        train_index: (N,) indices of the rows among the training rows, to leave out their own components.
        """
        if self.is_standard:
            return self._normal.kl(mu, sigma)
        m, s = mu.double()[..., None, :], sigma.double()[..., None, :]  # (..., N, 1, Z): as if there were one draw
        entropy = (s.log() + 0.5 * (LOG_2PI + 1.0)).sum(-1)  # (..., N, 1)
        return -self._log_mean_exp(m, m * m + s * s, entropy, train_index).squeeze(-1).to(mu.dtype)

    def log_ratio(self, sigma: Tensor, z: Tensor, eps: Tensor, train_index: Tensor | None = None) -> Tensor:
        """log p(z_k) - log q(z_k|x), (..., N, K); train_index as in kl."""
        if self.is_standard:
            return self._normal.log_ratio(sigma, z, eps)
        log_q = -0.5 * (eps * eps + LOG_2PI).sum(-1) - sigma.log().sum(-1)[..., None]  # (..., N, K)
        first = z.double()
        return self._log_mean_exp(first, first * first, -log_q.double(), train_index).to(z.dtype)

    def _log_mean_exp(self, first: Tensor, second: Tensor, more: Tensor, train_index: Tensor | None) -> Tensor:
        """log (1/C) sum_i exp(E[log q_i(z)] + more), (..., N, K), for z with E[z] first and E[z^2] second.

        first and second are (..., N, K, Z). more (..., N, K) is -log q; adding it here keeps the exponents near 0.

            E[log q_i(z)] = sum_j [ mu_ij E[z_j] / sigma_ij^2 - E[z_j^2] / (2 sigma_ij^2) - mu_ij^2 / (2 sigma_ij^2)
                                    - log sigma_ij - log(2 pi) / 2 ]

        This is linear in E[z] and E[z^2], so one matrix product computes it for all i.
        """
        precision = self.sigma**-2  # (..., C, Z)
        constant = -0.5 * (self.mu**2 * precision).sum(-1) - self.sigma.log().sum(-1) - 0.5 * LOG_2PI * first.shape[-1]
        constants = [constant[..., None], torch.ones_like(constant)[..., None]]  # each (..., C, 1)
        weights = torch.cat([self.mu * precision, -0.5 * precision, *constants], dim=-1)  # (..., C, 2 Z + 2)
        more = more.expand(first.shape[:-1])[..., None]  # (..., N, K, 1)
        moments = torch.cat([first, second, torch.ones_like(more), more], dim=-1).flatten(-3, -2)  # (..., N K, 2 Z + 2)
        log_n = (moments @ weights.transpose(-1, -2)).unflatten(-2, first.shape[-3:-1])  # (..., N, K, C)
        log_n = log_n.to(self._one.dtype)  # the largest values are near 0 and lose nothing by rounding
        if train_index is None:
            return log_mean_exp_of_many(log_n).double()
        is_own = train_index[:, None] == self.row  # (N, C)
        others = 1.0 - is_own.double().mean(-1, keepdim=True)  # (N, 1), the share of the other components
        return log_mean_exp_of_many(log_n.masked_fill(is_own[:, None], -torch.inf)).double() - others.log()

    def sample(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> Tensor:
        """z = mu_i + sigma_i noise, (N, Z), with i = floor(C choice).

        Args:
            noise: standard normals (N, Z).
            choice: uniforms in [0, 1), (N,).
            member: (N,) the member whose components are used, if there are members.
        """
        assert choice is not None
        count = self.row.numel()
        i = (choice.double() * count).floor().long().clamp(0, count - 1)  # (N,)
        mu, sigma = self.mu, self.sigma
        if member is not None:
            mu, sigma, i = mu.flatten(0, 1), sigma.flatten(0, 1), member * count + i
        return (mu.index_select(0, i) + sigma.index_select(0, i) * noise.double()).to(noise.dtype)


Prior = Normal | Aggregate | KernelPrior
