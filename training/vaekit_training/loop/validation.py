"""Measures a model on validation rows during training: the bound and its terms, in nats and raw units.

N rows, D data dimensions, Z latent dimensions, K draws; ... is an axis of M members, or empty for a single VAE.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekit_training.data.batch import NetworkRows, generator
from vaekit_training.functional import log_mean_exp
from vaekit_training.loop.objective import relative_betas, total_log_jacobian
from vaekit_training.loop.tracking import ACTIVE, Validation
from vaekit_training.prior import kl_by_latent
from vaekit_training.sections import ObjectiveConfig
from vaekit_training.vae import VAE, BoundTerms, draw_latents, mixture

DRAWS = 8  # per row and validation; with fewer, noise would decide when to stop
CELLS = 2**20  # N K D per pass, so that validation does not need more memory than training
COMPARING, REPORTING = 4, 6  # streams of random numbers for the draws
FEWEST_ROWS = 1000  # smallest number of rows per validation, if there are so many
VALIDATION_SHARE = 16  # number of training rows processed per validation row


class Validator:
    """Measures a VAE on validation rows.

    Rows and draws of `some` are the same at every validation, so that weights compare. They also decide which weights
    are kept, which makes their figures too good. `everything`, for the kept weights, has draws of its own.
    """

    def __init__(
        self, rows: NetworkRows, objective: ObjectiveConfig, beta: float, latent_dim: int, seed: int, most: int
    ) -> None:
        """beta: the final beta. most: largest number of rows that `some` uses."""
        self._rows, self._objective, self._beta = rows, objective, beta
        self._draws = max(DRAWS, objective.num_samples if objective.name == "iwae" else 1)
        self._latent_dim, self._seed, self._device = latent_dim, seed, rows.t.device
        self._some = rows
        if len(rows) > most:
            self._some = rows.take(torch.randperm(len(rows), generator=generator(seed, 5))[:most].sort().values)

    def some(self, vae: VAE, step: int, beta: float, train_objective: float) -> Validation:
        """Measure the VAE on a random sample of the rows, the same at every validation."""
        return self._validate(vae, self._some, COMPARING, step, beta, train_objective)

    def everything(self, vae: VAE, validation: Validation) -> Validation:
        """Measure the VAE, which has the kept weights, on all rows; step, beta and train_objective are those given."""
        step, beta, train_objective = validation.step, validation.beta, validation.train_objective
        return self._validate(vae, self._rows, REPORTING, step, beta, train_objective)

    @torch.no_grad()
    def _validate(
        self, vae: VAE, rows: NetworkRows, stream: int, step: int, beta: float, train_objective: float
    ) -> Validation:
        eps = generator(self._seed, stream, device=self._device)
        size = max(1, CELLS // (self._draws * rows.t.shape[1] * vae.members))
        sums = [self._score(vae, batch, eps) for batch in rows.split(size)]
        mean = {name: torch.stack([each[name] for each in sums]).sum(0) / len(rows) for name in sums[0]}
        variance = mean["mu_squared"] - mean["mu"] ** 2  # (..., Z)
        log_likelihood, kl, by_latent = float(mean["log_likelihood"]), float(mean["kl"]), mean["kl_by_latent"]
        elbo_variance = float(mean["elbo_squared"]) - (log_likelihood - kl) ** 2
        return Validation(
            step, beta, train_objective,
            objective=self._value(mean, "member"),
            of_weights=self._value(mean, "varying"),
            elbo=log_likelihood - kl,
            elbo_standard_error=math.sqrt(max(0.0, elbo_variance) / max(1, len(rows) - 1)),
            log_likelihood=log_likelihood,
            kl=kl,
            log_evidence=float(mean["log_evidence"]),
            kl_by_latent=tuple(by_latent.reshape(-1, by_latent.shape[-1]).mean(0).tolist()),
            log_likelihood_by_feature=tuple(mean["by_feature"].tolist()),
            active_units=float((variance > ACTIVE).double().sum(-1).mean()),
        )  # fmt: skip

    def _value(self, mean: dict[str, Tensor], which: str) -> float:
        """The training objective at the final beta, as the mean over members.

        which: "member" for all columns, "varying" for all except constant columns.
        """
        if self._objective.name == "iwae":
            return -float(mean[f"{which}_bound"].mean())
        kl = mean["member_kl"]  # (...)
        if free := self._objective.free_bits:
            kl = mean["kl_by_latent"].clamp_min(free).sum(-1)
        if (relative := relative_betas(self._objective, kl)) is not None:
            kl = kl * relative[:, 0]
        return float((self._beta * kl - mean[f"{which}_log_likelihood"]).mean())

    def _score(self, vae: VAE, rows: NetworkRows, draws: torch.Generator) -> dict[str, Tensor]:
        """Sums over rows of the terms of the bound, float64.

        Terms called varying exclude constant columns. A validation row with another value there scores up to 10^18
        nats for any weights, and rounding would then hide what the weights change.
        """
        shape = (len(rows), self._draws, self._latent_dim)
        eps = torch.randn(shape, generator=draws, device=self._device, dtype=rows.t.dtype)  # (N, K, Z)
        mu, sigma = vae.posterior(rows.t, rows.observed)  # each (..., N, Z)
        z = draw_latents(mu, sigma, eps)  # (..., N, K, Z)
        per_feature = vae.log_prob(rows.t, z, rows.observed)  # (..., N, K, D)
        jacobian = vae.features.log_jacobian(rows.t)  # (D,) or (N, D)
        log_p_model = per_feature.sum(-1).double()  # (..., N, K), in model units
        log_p = log_p_model + total_log_jacobian(jacobian, rows.observed)[..., None]  # (..., N, K)
        log_p_varying = log_p_model  # (..., N, K)
        if not vae.features.all_active:
            log_p_varying = torch.where(vae.features.active, per_feature, 0.0).sum(-1).double()
        log_ratio = vae.prior.log_ratio(sigma, z, eps).double()  # (..., N, K)
        log_w = log_p + log_ratio  # (..., N, K)
        draws_of_objective = slice(max(2, self._objective.num_samples))
        kl = vae.prior.kl(mu, sigma).double()  # (..., N)
        log_likelihood = log_p.mean(-1)  # (..., N)
        there = jacobian if rows.observed is None else torch.where(rows.observed, jacobian, 0.0)
        by_feature = per_feature.mean(-2).double() + there  # (..., N, D)
        bound = BoundTerms(log_likelihood - kl, log_likelihood, kl, log_mean_exp(log_w), by_feature)
        whole = bound if vae.members == 1 else mixture(bound)
        mu = mu.double()
        return {
            "log_likelihood": whole.log_likelihood.sum(-1),
            "kl": whole.kl.sum(-1),
            "elbo_squared": whole.elbo.square().sum(-1),
            "log_evidence": whole.log_evidence.sum(-1),
            "by_feature": whole.feature_log_likelihood.sum(-2),
            "member_log_likelihood": bound.log_likelihood.sum(-1),
            "varying_log_likelihood": log_p_varying.mean(-1).sum(-1),
            "member_kl": bound.kl.sum(-1),
            "member_bound": log_mean_exp(log_w[..., draws_of_objective]).sum(-1),
            "varying_bound": log_mean_exp((log_p_varying + log_ratio)[..., draws_of_objective]).sum(-1),
            "kl_by_latent": kl_by_latent(mu, sigma.double()).sum(-2),
            "mu": mu.sum(-2),
            "mu_squared": (mu * mu).sum(-2),
        }


def most_rows(evaluate_every: int, batch_size: int) -> int:
    """Largest number of rows per validation, so that validation is a small share of the work for any data size."""
    return max(FEWEST_ROWS, evaluate_every * batch_size // VALIDATION_SHARE)
