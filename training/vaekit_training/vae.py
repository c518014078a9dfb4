"""The variational autoencoder and its bound.

N rows, D data dimensions, Z latent dimensions, K draws; nats; x in raw units. With M members, every tensor that depends
on weights has a leading axis M; a single model has no such axis. A leading ... stands for this axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaekit_training.features import AnyFeatures
from vaekit_training.functional import log_mean_exp, softplus
from vaekit_training.kernels.similar import Similar
from vaekit_training.likelihoods import Likelihood
from vaekit_training.prior import Normal, Prior

SIGMA_FLOOR = 1e-6  # smallest sigma of q(z|x)
TIED = 1e-5  # ELBOs of members that differ by a smaller share count as nearly equal: a hundred times the rounding


class BoundTerms(NamedTuple):
    """The terms of the bound in nats, float64, (N,) each, or (M, N) if they are those of members."""

    elbo: Tensor  # log_likelihood - kl
    log_likelihood: Tensor  # E_q[log p(x|z)]
    kl: Tensor  # KL(q(z|x) || p(z))
    log_evidence: Tensor  # the importance-weighted bound
    feature_log_likelihood: Tensor  # E_q[log p(x_d|z)], (N, D) or (M, N, D); of a KernelVAE log p(x_d | other cells)
    feature_expected: Tensor | None = None  # mean of p(x_d | the other cells), raw units, as the line above; or None
    feature_low: Tensor | None = None  # the central 90 % of p(x_d | the other cells)
    feature_high: Tensor | None = None
    fold_elbo: Tensor | None = None  # (N, F) ELBO of each fold model, in a mixture of fold models
    feature_probabilities: Tensor | None = (
        None  # of each level of the categories given the other cells, (N, L); or None
    )
    similar: Similar | None = None  # the training rows most similar to each row, of a KernelVAE alone


class VAE(nn.Module):
    """p(x, z) = p(x|z) p(z) with q(z|x) = N(mu(x), diag sigma(x)^2). With members, p(x) is the mean of M densities."""

    _one: Tensor
    _beta: Tensor | None  # beta at which the posteriors were trained, () or (M, 1, 1); None: 1

    def __init__(
        self,
        features: AnyFeatures,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        *,
        latent_dim: int,
        members: int = 1,
        prior: Prior | None = None,
    ) -> None:
        """encoder: (N, E) -> (..., N, 2 Z); decoder: (..., N, K, Z) -> (..., N, K, likelihood.width)."""
        super().__init__()
        self.features = features
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.prior = Normal() if prior is None else prior
        self.latent_dim, self.members = latent_dim, members
        self.register_buffer("_one", torch.ones(()), persistent=False)  # has the model's dtype
        self.register_buffer("_beta", None, persistent=False)
        self._has_masses = not bool(features.density.all())

    def untemper(self, betas: Sequence[float]) -> None:
        """From now on, convert posteriors trained at these betas, one for all or one per member, to beta = 1."""
        below = torch.tensor([min(1.0, beta) for beta in betas], dtype=self.dtype, device=self._one.device)
        self._beta = below.view(-1, 1, 1).expand(self.members, 1, 1) if self.members > 1 else below[0]

    @property
    def dtype(self) -> torch.dtype:
        """The type of all computations except standardisation and sums (float64), and float16 networks."""
        return self._one.dtype

    def posterior(self, t: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mu and sigma of q(z|x), (..., N, Z) each, for rows t (N, D) in model units; observed: (N, D) bool."""
        out = self.encoder(self.features.encoder_input(t, observed)).to(t.dtype)  # (..., N, 2 Z)
        mu, raw = out.chunk(2, dim=-1)
        sigma = SIGMA_FLOOR + softplus(raw)
        return (mu, sigma) if self._beta is None else untempered(mu, sigma, self._beta)

    def log_prob(self, t: Tensor, z: Tensor, observed: Tensor | None = None) -> Tensor:
        """log p(t_d|z_k) of each feature, (..., N, K, D), for t (N, D) and z (..., N, K, Z); 0 where not observed.

        Without members z may be (N, Z), one draw per row; the result is then (N, D).
        """
        h = self.decoder(z).to(t.dtype)  # (..., N, K, width)
        if z.ndim > t.ndim:
            t, observed = t[:, None], None if observed is None else observed[:, None]
        log_p = self.likelihood.log_prob(t, h)
        return log_p if observed is None else torch.where(observed, log_p, 0.0)

    def encode(self, x: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mu and sigma of q(z|x), (..., N, Z) each, for raw rows x (N, ...)."""
        return self.posterior(self.features(x, observed).to(self.dtype), observed)

    def decode(self, z: Tensor, member: Tensor | None = None) -> dict[str, Tensor]:
        """Parameters of p(x|z) by name, (N, D) or (N, H, W, C) each, in raw units, float64, for z (N, Z).

        member: (N,) the member that decodes each latent vector, if there are members.
        """
        likelihood, h = self.likelihood, self._decoded(z)
        out = {"mean": self.features.to_raw(self._of(likelihood.mean(h), member))}
        s = likelihood.scale(h)
        if s is not None:
            out["scale"] = self.features.to_raw_scale(self._of(s.expand((*h.shape[:-1], self.features.dim)), member))
        for name, values in likelihood.extras(h).items():
            out[name] = self._of(values.expand((*h.shape[:-1], values.shape[-1])), member).double()
        return {name: out[name] for name in likelihood.parameters_in_raw_units}

    def observe(self, z: Tensor, noise: Tensor, member: Tensor | None = None) -> Tensor:
        """x ~ p(x|z), (N, D) or (N, H, W, C), in raw units, float64; whole numbers where p(x|z) is a probability.

        z: (N, Z). noise: standard normals (N, D, 2). member: as in decode.
        """
        drawn = self.likelihood.observe(self._decoded(z), noise[:, None])  # (..., N, 1, D)
        x = self.features.to_raw(self._of(drawn, member))
        if not self._has_masses:
            return x
        density = self.features.density.view(self.features.row_shape)
        return torch.where(density, x, x.round())  # float32 may have turned a 5 into 4.9999998

    def bound(self, x: Tensor, eps: Tensor, observed: Tensor | None = None) -> BoundTerms:
        """The bound of raw rows x (N, ...) for draws eps (N, K, Z), over the observed features of each row.

        elbo         = (1/K) sum_k log p(x|z_k) - KL(q(z|x) || p(z)),   z_k = mu + sigma eps_k
        log_evidence = log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x)

        Source: Kingma and Welling (2014) for the ELBO; Burda et al. (2016), "Importance weighted autoencoders".
        """
        return self.mixed(self.bounds_by_member(x, eps, observed)[2])

    def mixed(self, of_members: BoundTerms) -> BoundTerms:
        """The bound of the model, (N,), from the bounds of its members, (M, N); without members, of_members itself."""
        return of_members if self.members == 1 else mixture(of_members)

    def bounds_by_member(
        self, x: Tensor, eps: Tensor, observed: Tensor | None = None
    ) -> tuple[Tensor, Tensor, BoundTerms]:
        """mu and sigma, (..., N, Z) each, and the bound of each member, (M, N), or of the single model, (N,).

        Arguments as in `bound`.
        """
        exact = self.features(x, observed)  # (N, D), float64 for columns
        t = exact.to(self.dtype)
        as_encoded = mu, sigma = self.posterior(t, observed)  # each (..., N, Z)
        z = draw_latents(mu, sigma, eps)  # (..., N, K, Z)
        per_feature = self.log_prob(t, z, observed)  # (..., N, K, D)
        jacobian = self.features.log_jacobian(exact)  # (D,) or (N, D)
        if observed is not None:
            jacobian = torch.where(observed, jacobian, 0.0)
        log_p_x = per_feature.sum(-1).double() + jacobian.sum(-1)[..., None]  # (..., N, K)
        mu, sigma, eps = mu.double(), sigma.double(), eps.double()
        kl = self.prior.kl(mu, sigma)  # (..., N)
        log_ratio = self.prior.log_ratio(sigma, draw_latents(mu, sigma, eps), eps)  # (..., N, K)
        log_likelihood = log_p_x.mean(-1)  # (..., N)
        bound = BoundTerms(
            elbo=log_likelihood - kl,  # E_q[log p(x|z)] - KL(q||p)
            log_likelihood=log_likelihood,
            kl=kl,
            log_evidence=log_mean_exp(log_p_x + log_ratio),
            feature_log_likelihood=per_feature.mean(-2).double() + jacobian,
        )
        return (*as_encoded, bound)

    def _decoded(self, z: Tensor) -> Tensor:
        """h (..., N, 1, width) for latent vectors (N, Z)."""
        return self.decoder(z[:, None]).to(z.dtype)

    def _of(self, values: Tensor, member: Tensor | None) -> Tensor:
        """Each row's value from its member, (N, W), for values (M, N, 1, W), or without members (N, 1, W)."""
        if self.members == 1:
            return values.squeeze(-2)
        assert member is not None
        n, width = values.shape[1], values.shape[-1]
        return values.squeeze(-2).gather(0, member.view(1, -1, 1).expand(1, n, width))[0]


def draw_latents(mu: Tensor, sigma: Tensor, eps: Tensor) -> Tensor:
    """z_k = mu + sigma eps_k, (..., N, K, Z), for mu and sigma (..., N, Z) and draws eps (N, K, Z)."""
    return torch.addcmul(mu[..., None, :], sigma[..., None, :], eps)


def untempered(mu: Tensor, sigma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """mu and sigma (..., N, Z) of posteriors trained at beta < 1, which are too narrow, converted to beta = 1.

    Minimising beta KL(q || p(z)) - E_q[log p(x|z)] gives q proportional to p(z) p(x|z)^(1/beta). If p(x|z), as a
    function of z_j, is proportional to a normal density with mean m and precision l, then sigma^2 = 1 / (1 + l / beta)
    and mu = sigma^2 l m / beta. Solved for m and l, this gives for beta = 1

        c = beta + (1 - beta) sigma^2,  sigma_1^2 = sigma^2 / c,  mu_1 = mu beta / c

    An inactive latent dimension, with sigma = 1, does not change. Any q gives a bound; this q gives a tighter one.
    """
    c = beta + (1.0 - beta) * sigma * sigma
    return mu * (beta / c), sigma * torch.rsqrt(c)


def log_member_weights(elbo: Tensor) -> Tensor:
    """log q(m|x), (M, N), of the members of a mixture, from their ELBOs, (M, N).

        q_m = exp(ELBO_m / T) / sum_i exp(ELBO_i / T),   T = max(1, TIED max_m |ELBO_m|)

    T is 1 for ordinary rows. Far from the training data the ELBOs are so large that their rounding errors, a share of
    about 1e-7 in float32, are many nats. With T = 1 such errors would decide which member gets all the weight. With
    this T, ELBOs that differ by no more than rounding get nearly equal weights.
    """
    return torch.log_softmax(elbo / (TIED * elbo.abs().amax(dim=0)).clamp_min(1.0), dim=0)


def mixture(members: BoundTerms) -> BoundTerms:
    """The bound, (N,), of the equally weighted mixture of M densities, from their bounds, (M, N) each.

        log_likelihood = sum_m q_m log_likelihood_m,   kl = sum_m q_m kl_m + KL(q || 1/M)
        elbo = log_likelihood - kl = sum_m q_m ELBO_m - KL(q || 1/M) <= log (1/M) sum_m exp(ELBO_m)

    with q_m as in log_member_weights. Any q gives a bound; for T = 1 it is an equality, and otherwise the difference is
    at most TIED max_m |ELBO_m| log M.
    """
    count = members.elbo.shape[0]
    log_q = log_member_weights(members.elbo)  # (M, N)
    q = log_q.exp()  # (M, N)

    def of_features(each: Tensor | None) -> Tensor | None:
        return None if each is None else (q[..., None] * each).sum(0)

    log_likelihood = (q * members.log_likelihood).sum(0)  # (N,)
    kl = (q * (members.kl + torch.where(q > 0, log_q, 0.0))).sum(0) + math.log(count)  # (N,)
    return BoundTerms(
        elbo=log_likelihood - kl,
        log_likelihood=log_likelihood,
        kl=kl,
        log_evidence=log_mean_exp(members.log_evidence.transpose(0, 1)),
        feature_log_likelihood=(q[..., None] * members.feature_log_likelihood).sum(0),
        feature_expected=of_features(members.feature_expected),
        feature_low=of_features(members.feature_low),
        feature_high=of_features(members.feature_high),
        feature_probabilities=of_features(members.feature_probabilities),
    )
