"""Priors p(z): the KL of latents, and samples.

N rows, K draws, Z latent dimensions, C components; z (..., N, K, Z) with a leading member axis if there are members.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vaekit_training.functional import log_mean_exp_of_many

LOG_2PI = math.log(2.0 * math.pi)
NARROWEST = 1e-3  # least sigma of a component: below it the squares in log_prob cancel


def kl_by_latent(mu: Tensor, sigma: Tensor) -> Tensor:
    """KL( N(mu_j, sigma_j^2) || N(0, 1) ) = (mu_j^2 + sigma_j^2 - 1) / 2 - log sigma_j, the shape of mu.

    Source: Kingma and Welling (2014), appendix B.
    """
    return 0.5 * (mu * mu + sigma * sigma - 1.0) - sigma.log()


def kl_divergence(mu: Tensor, sigma: Tensor) -> Tensor:
    """KL( N(mu, diag sigma^2) || N(0, I) ), (..., Z) -> (...)."""
    return kl_by_latent(mu, sigma).sum(-1)


class Normal(nn.Module):
    """p(z) = N(0, I)."""

    inputs: tuple[str, ...] = ("noise",)
    is_standard = True

    def kl(self, mu: Tensor, sigma: Tensor, own: Tensor | None = None) -> Tensor:  # noqa: ARG002  row numbers do not matter
        """KL(q(z|x) || p(z)), (..., N)."""
        return kl_divergence(mu, sigma)

    def log_ratio(self, sigma: Tensor, z: Tensor, eps: Tensor, own: Tensor | None = None) -> Tensor:  # noqa: ARG002  as in kl
        """log p(z_k) - log q(z_k|x) = sum_j (eps_kj^2 - z_kj^2) / 2 + sum_j log sigma_j, (..., N, K)."""
        return 0.5 * (eps * eps - z * z).sum(-1) + sigma.log().sum(-1)[..., None]

    def sample(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> Tensor:  # noqa: ARG002  as in kl
        """z from standard normals (N, Z)."""
        return noise * 1.0


class Aggregate(nn.Module):
    """p(z) = (1/C) sum_i q_i(z), q_i(z) = q(z|x_i) of C training rows: the aggregated posterior of an exemplar VAE.

    The component i of a latent vector is a latent variable like z. With q(z, i|x) = q(z|x) q(i|x) and the best
    q(i|x), which is proportional to exp(-KL_i), the KL of both is

        KL( q(z, i|x) || p(i) q_i(z) ) = -log (1/C) sum_i exp(-KL_i),   KL_i = KL(q(z|x) || q_i)

    It is at least KL(q(z|x) || p(z)), so the bound holds; it needs no draws and is not negative. For draws of mean 0
    and mean square 1, log_evidence >= ELBO holds for every row, because log p(z) is a convex function of the log q_i.

    Until the first `refresh` p(z) is N(0, I). A row that is itself a component does not use its own component:
    otherwise training would hide each row in a narrow component of its own. A component's sigma is at least NARROWEST.

    Source: Norouzi, Fleet and Norouzi (2020), "Exemplar VAE"; Tomczak and Welling (2018) for the aggregated posterior;
    Hershey and Olsen (2007), "Approximating the Kullback Leibler divergence between Gaussian mixture models", (20).
    """

    inputs = ("noise", "choice")
    row: Tensor  # (C,) numbers among the training rows
    mu: Tensor  # (..., C, Z)
    sigma: Tensor  # (..., C, Z)
    filled: Tensor  # () bool
    _one: Tensor

    def __init__(self, row: Tensor, latent_dim: int, members: int = 1) -> None:
        super().__init__()
        shape = (row.numel(), latent_dim) if members == 1 else (members, row.numel(), latent_dim)
        self.register_buffer("row", row)
        self.register_buffer("mu", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("sigma", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.bool))
        self.register_buffer("_one", torch.ones(()), persistent=False)  # has the model's dtype
        self._normal = Normal()
        self.is_standard = True  # not filled; a Python bool, so that a step does not wait for the device

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.is_standard = not bool(self.filled)

    @torch.no_grad()
    def refresh(self, mu: Tensor, sigma: Tensor) -> None:
        """Set the posteriors of the component rows, (..., C, Z) each, in the order of `row`."""
        self.mu.copy_(mu)
        self.sigma.copy_(sigma.clamp_min(NARROWEST))
        self.filled.fill_(True)
        self.is_standard = False

    def kl(self, mu: Tensor, sigma: Tensor, own: Tensor | None = None) -> Tensor:
        """-log (1/C) sum_i exp(-KL(q(z|x) || q_i)), (..., N); own (N,): numbers of the rows among the training rows."""
        if self.is_standard:
            return self._normal.kl(mu, sigma)
        m, s = mu.double()[..., None, :], sigma.double()[..., None, :]  # (..., N, 1, Z): as one draw
        entropy = (s.log() + 0.5 * (LOG_2PI + 1.0)).sum(-1)  # (..., N, 1)
        return -self._log_mean_exp(m, m * m + s * s, entropy, own).squeeze(-1).to(mu.dtype)

    def log_ratio(self, sigma: Tensor, z: Tensor, eps: Tensor, own: Tensor | None = None) -> Tensor:
        """log p(z_k) - log q(z_k|x), (..., N, K); own as in kl."""
        if self.is_standard:
            return self._normal.log_ratio(sigma, z, eps)
        log_q = -0.5 * (eps * eps + LOG_2PI).sum(-1) - sigma.log().sum(-1)[..., None]
        first = z.double()
        return self._log_mean_exp(first, first * first, -log_q.double(), own).to(z.dtype)

    def _log_mean_exp(self, first: Tensor, second: Tensor, more: Tensor, own: Tensor | None) -> Tensor:
        """log (1/C) sum_i exp(E[log q_i(z)] + more), (..., N, K), for z with E[z] first and E[z^2] second.

        first and second are (..., N, K, Z). more (..., N, K) is -log q, so that the sum is over ratios, near 0 where
        they matter.

        E[log q_i(z)] = sum_j [ mu_ij E[z_j] / sigma_ij^2 - E[z_j^2] / (2 sigma_ij^2) - mu_ij^2 / (2 sigma_ij^2)
                                - log sigma_ij - log(2 pi) / 2 ],  one product of matrices for all i
        """
        precision = self.sigma**-2  # (..., C, Z)
        alone = -0.5 * (self.mu**2 * precision).sum(-1) - self.sigma.log().sum(-1) - 0.5 * LOG_2PI * first.shape[-1]
        constants = [alone[..., None], torch.ones_like(alone)[..., None]]
        weights = torch.cat([self.mu * precision, -0.5 * precision, *constants], dim=-1)  # (..., C, 2 Z + 2)
        more = more.expand(first.shape[:-1])[..., None]
        moments = torch.cat([first, second, torch.ones_like(more), more], dim=-1).flatten(-3, -2)
        log_n = (moments @ weights.transpose(-1, -2)).unflatten(-2, first.shape[-3:-1])  # (..., N, K, C)
        log_n = log_n.to(self._one.dtype)  # rounding is relative: values near 0, which matter, stay exact
        if own is None:
            return log_mean_exp_of_many(log_n).double()
        is_own = own[:, None] == self.row  # (N, C)
        others = 1.0 - is_own.double().mean(-1, keepdim=True)  # (N, 1), the share of the other components
        return log_mean_exp_of_many(log_n.masked_fill(is_own[:, None], -torch.inf)).double() - others.log()

    def sample(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> Tensor:
        """z = mu_i + sigma_i noise, (N, Z), i = floor(C choice) of uniforms choice (N,); of member (N,) if given."""
        assert choice is not None
        count = self.row.numel()
        i = (choice.double() * count).floor().long().clamp(0, count - 1)  # (N,)
        mu, sigma = self.mu, self.sigma
        if member is not None:
            mu, sigma, i = mu.flatten(0, 1), sigma.flatten(0, 1), member * count + i
        return (mu.index_select(0, i) + sigma.index_select(0, i) * noise.double()).to(noise.dtype)


Prior = Normal | Aggregate
