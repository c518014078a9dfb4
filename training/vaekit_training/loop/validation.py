"""Measures a model on validation rows during training: the bound and its terms, in nats and raw units.

N rows, D data dimensions, Z latent dimensions, K draws, a leading axis of M members if there are members.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit_training.data.batch import NetworkRows, generator
from vaekit_training.functional import log_mean_exp
from vaekit_training.loop.objective import relative_betas, total_log_jacobian
from vaekit_training.loop.tracking import Validation
from vaekit_training.prior import kl_by_latent
from vaekit_training.sections import ObjectiveConfig
from vaekit_training.vae import VAE, BoundTerms, draw_latents, mixture

DRAWS = 8  # per row and validation: enough that noise does not decide when to stop
CELLS = 2**20  # N K D per pass: larger tensors would make the heap larger than training needs
ACTIVE = 0.01  # variance over rows of a latent dimension's mu above which it is active: Burda et al. (2016), section 5
FEWEST_ROWS = 1000  # per validation, if there are as many
VALIDATION_SHARE = 16  # number of training rows per scored validation row


class Validator:
    """The validation rows and their draws, the same at every validation."""

    def __init__(
        self, rows: NetworkRows, objective: ObjectiveConfig, beta: float, latent_dim: int, seed: int, most: int
    ) -> None:
        """beta: the final one. most: largest number of rows per validation; `everything` uses all."""
        self._rows, self._objective, self._beta = rows, objective, beta
        self._draws = max(DRAWS, objective.num_samples if objective.name == "iwae" else 1)
        self._latent_dim, self._seed, self._device = latent_dim, seed, rows.t.device
        self._some = rows
        if len(rows) > most:
            self._some = rows.take(torch.randperm(len(rows), generator=generator(seed, 5))[:most].sort().values)

    def some(self, vae: VAE, step: int, beta: float, train_objective: float) -> Validation:
        """Score a random sample of the rows, the same at every validation."""
        return self._validate(vae, self._some, step, beta, train_objective)

    def everything(self, vae: VAE, validation: Validation) -> Validation:
        """The given validation with values for all rows, for the kept weights."""
        return self._validate(vae, self._rows, validation.step, validation.beta, validation.train_objective)

    @torch.no_grad()
    def _validate(self, vae: VAE, rows: NetworkRows, step: int, beta: float, train_objective: float) -> Validation:
        eps = generator(self._seed, 4, device=self._device)
        size = max(1, CELLS // (self._draws * rows.t.shape[1] * vae.members))
        pieces = [self._score(vae, piece, eps) for piece in rows.split(size)]
        total = {name: torch.stack([piece[name] for piece in pieces]).sum(0) / len(rows) for name in pieces[0]}
        variance = total["mu_squared"] - total["mu"] ** 2  # (..., Z)
        log_likelihood, kl, by_latent = float(total["log_likelihood"]), float(total["kl"]), total["kl_by_latent"]
        return Validation(
            step, beta, train_objective,
            objective=self._value(total, "member"),
            of_weights=self._value(total, "varying"),
            elbo=log_likelihood - kl,
            log_likelihood=log_likelihood,
            kl=kl,
            log_evidence=float(total["log_evidence"]),
            kl_by_latent=tuple(by_latent.reshape(-1, by_latent.shape[-1]).mean(0).tolist()),
            log_likelihood_by_feature=tuple(total["by_feature"].tolist()),
            active_units=float((variance > ACTIVE).double().sum(-1).mean()),
        )  # fmt: skip

    def _value(self, total: dict[str, Tensor], which: str) -> float:
        """The training objective at the final beta, mean over members; "varying": without constant columns."""
        if self._objective.name == "iwae":
            return -float(total[f"{which}_bound"].mean())
        kl = total["member_kl"]  # (...)
        if free := self._objective.free_bits:
            kl = total["kl_by_latent"].clamp_min(free).sum(-1)
        if (relative := relative_betas(self._objective, kl)) is not None:
            kl = kl * relative[:, 0]
        return float((self._beta * kl - total[f"{which}_log_likelihood"]).mean())

    def _score(self, vae: VAE, rows: NetworkRows, draws: torch.Generator) -> dict[str, Tensor]:
        """Sums over rows, float64.

        Those called varying leave constant columns out: a validation row that differs there scores up to 10^18 nats
        whatever the weights are, and rounding would then hide what the weights change.
        """
        shape = (len(rows), self._draws, self._latent_dim)
        eps = torch.randn(shape, generator=draws, device=self._device, dtype=rows.t.dtype)  # (N, K, Z)
        mu, sigma = vae.posterior(rows.t, rows.observed)  # each (..., N, Z)
        z = draw_latents(mu, sigma, eps)  # (..., N, K, Z)
        per_feature = vae.log_prob(rows.t, z, rows.observed)  # (..., N, K, D)
        jacobian = vae.features.log_jacobian(rows.t)  # (D,) or (N, D)
        seen = per_feature.sum(-1).double()  # in the units the networks see
        log_p = seen + total_log_jacobian(jacobian, rows.observed)[..., None]  # (..., N, K)
        log_p_varying = seen  # (..., N, K)
        if not vae.features.all_active:
            log_p_varying = torch.where(vae.features.active, per_feature, 0.0).sum(-1).double()
        log_ratio = vae.prior.log_ratio(sigma, z, eps).double()  # (..., N, K)
        log_w = log_p + log_ratio
        drawn = slice(max(2, self._objective.num_samples))
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
            "log_evidence": whole.log_evidence.sum(-1),
            "by_feature": whole.feature_log_likelihood.sum(-2),
            "member_log_likelihood": bound.log_likelihood.sum(-1),
            "varying_log_likelihood": log_p_varying.mean(-1).sum(-1),
            "member_kl": bound.kl.sum(-1),
            "member_bound": log_mean_exp(log_w[..., drawn]).sum(-1),
            "varying_bound": log_mean_exp((log_p_varying + log_ratio)[..., drawn]).sum(-1),
            "kl_by_latent": kl_by_latent(mu, sigma.double()).sum(-2),
            "mu": mu.sum(-2),
            "mu_squared": (mu * mu).sum(-2),
        }


def most_rows(evaluate_every: int, batch_size: int) -> int:
    """Rows per validation, so that validations are a small part of the work for any number of rows."""
    return max(FEWEST_ROWS, evaluate_every * batch_size // VALIDATION_SHARE)
