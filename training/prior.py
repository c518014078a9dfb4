"""p(z): what codes cost, and where samples come from. Knows latent space alone.

N rows, K draws, Z latent dimensions, C components; z (..., N, K, Z) with a leading member axis where there are members.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from training.data.batch import Table
    from training.vae import VAE

LOG_2PI = math.log(2.0 * math.pi)
NARROWEST = 1e-3  # sigma of a component: below it the squares in log_prob cancel, and a code has no use for more digits


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

    def kl(self, mu: Tensor, sigma: Tensor, z: Tensor, eps: Tensor, own: Tensor | None = None) -> Tensor:  # noqa: ARG002  another prior needs the draws
        """KL(q(z|x) || p(z)), analytic, (..., N)."""
        return kl_divergence(mu, sigma)

    def log_ratio(self, sigma: Tensor, z: Tensor, eps: Tensor, own: Tensor | None = None) -> Tensor:  # noqa: ARG002  as in kl
        """log p(z_k) - log q(z_k|x) = sum_j [ (eps_kj^2 - z_kj^2) / 2 + log sigma_j ], (..., N, K)."""
        return (0.5 * (eps * eps - z * z) + sigma[..., None, :].log()).sum(-1)

    def sample(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> Tensor:  # noqa: ARG002  as in kl
        """z of standard normals (N, Z)."""
        return noise * 1.0


class Aggregate(nn.Module):
    """p(z) = (1/C) sum_i q(z | x_i) over C training rows: the aggregated posterior, an exemplar VAE's prior.

    Until the first `refresh` it is N(0, I). The KL has no closed form and is the mean over the draws of
    log q(z_k|x) - log p(z_k), which may be below 0 for a row. A row that is itself a component has its own left out:
    otherwise training would hide each row in a spike of its own. A component's sigma is at least NARROWEST.

    Source: Norouzi, Fleet and Norouzi (2020), "Exemplar VAE"; Tomczak and Welling (2018) for the aggregated posterior.
    """

    inputs = ("noise", "choice")
    row: Tensor  # (C,) numbers of the training rows
    mu: Tensor  # (..., C, Z)
    sigma: Tensor  # (..., C, Z)
    filled: Tensor  # () bool

    def __init__(self, row: Tensor, latent_dim: int, members: int = 1) -> None:
        super().__init__()
        shape = (row.numel(), latent_dim) if members == 1 else (members, row.numel(), latent_dim)
        self.register_buffer("row", row)
        self.register_buffer("mu", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("sigma", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.bool))
        self._normal = Normal()
        self._is_filled = False  # filled, as Python knows it: no wait for a device in a step

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_filled = bool(self.filled)

    @torch.no_grad()
    def refresh(self, vae: VAE, train: Table) -> None:
        """Take the posteriors of the component rows, as the networks give them now, among the training rows."""
        rows = train.take(self.row.cpu()).to(self.row.device)
        mu, sigma = vae.posterior(rows.t, rows.observed)
        self.mu.copy_(mu)
        self.sigma.copy_(sigma.clamp_min(NARROWEST))
        self.filled.fill_(True)
        self._is_filled = True

    def log_prob(self, z: Tensor, own: Tensor | None = None) -> Tensor:
        """log p(z), (..., N, K) float64; own (N,): numbers of the rows among the training rows."""
        z = z.double()
        precision = self.sigma**-2  # (..., C, Z)
        log_weight = -0.5 * (self.mu**2 * precision).sum(-1) - self.sigma.log().sum(-1)  # (..., C)
        flat = z.flatten(-3, -2)  # (..., N K, Z)
        log_n = (
            flat @ (self.mu * precision).transpose(-1, -2)
            - 0.5 * (flat * flat) @ precision.transpose(-1, -2)
            + log_weight[..., None, :]
        ).unflatten(-2, z.shape[-3:-1])  # (..., N, K, C)
        count = torch.tensor(float(self.row.numel()), dtype=torch.float64, device=z.device)
        if own is not None:
            is_own = own[:, None] == self.row  # (N, C)
            log_n = log_n.masked_fill(is_own[:, None], -torch.inf)
            count = (count - is_own.sum(-1, keepdim=True)).clamp_min(1.0)  # (N, 1)
        return torch.logsumexp(log_n, dim=-1) - count.log() - 0.5 * LOG_2PI * z.shape[-1]

    def kl(self, mu: Tensor, sigma: Tensor, z: Tensor, eps: Tensor, own: Tensor | None = None) -> Tensor:
        """mean over k of log q(z_k|x) - log p(z_k), (..., N)."""
        if not self._is_filled:
            return self._normal.kl(mu, sigma, z, eps)
        return -self.log_ratio(sigma, z, eps, own).mean(-1)

    def log_ratio(self, sigma: Tensor, z: Tensor, eps: Tensor, own: Tensor | None = None) -> Tensor:
        """log p(z_k) - log q(z_k|x), (..., N, K)."""
        if not self._is_filled:
            return self._normal.log_ratio(sigma, z, eps)
        log_q = -(0.5 * eps * eps + sigma[..., None, :].log()).sum(-1) - 0.5 * LOG_2PI * z.shape[-1]
        return (self.log_prob(z, own) - log_q.double()).to(z.dtype)

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
