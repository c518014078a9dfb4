"""The optimisation: batches in, best weights out. Knows rows as the networks see them; not files, graphs or reports."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from training.config import Config
from training.vae import VAE, kl_divergence
from vaekit.errors import TrainingError

VALIDATION_DRAWS = 8  # per row: enough that the choice of a stop is not one of luck
CELLS = 2**23  # N K D of one validation pass


@dataclass(frozen=True)
class Look:
    """One look at the validation rows, means per row in nats, raw units."""

    step: int
    beta: float
    train_objective: float  # mean over the steps since the last look, at their beta
    objective: float  # validation rows, at the final beta
    elbo: float  # the same at beta = 1
    log_likelihood: float
    kl: float


@dataclass(frozen=True)
class History:
    """Every look, and the one whose weights were kept."""

    looks: tuple[Look, ...]
    best: Look
    stopped_early: bool


def fit(
    vae: VAE,
    train: Tensor,
    validation: Tensor,
    config: Config,
    *,
    on_step: Callable[[int], None] = lambda _: None,
    on_look: Callable[[Look], None] = lambda _: None,
) -> History:
    """Minimise the mean over rows of -E_q[log p(x|z)] + beta KL(q(z|x) || p(z)); leaves the best weights in vae.

    After the warm-up the weights with the best validation objective at the final beta are kept, and training stops
    after `patience` looks without a better one.

    Args:
        vae: on the device to train on.
        train, validation: rows as the networks see them, (n, D), on that device.
        config: steps, rates, seed.
        on_step, on_look: told of progress.

    Raises:
        TrainingError: the objective is no longer finite.
    """
    settings, final_beta = config.training, config.objective.beta
    draws = torch.Generator(device=train.device).manual_seed(settings.seed)
    eps = torch.randn(len(validation), VALIDATION_DRAWS, vae.latent_dim, generator=draws, device=train.device)
    optimizer = _optimizer(vae, config)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    batches = _batches(train, settings.batch_size, settings.seed)
    warm_up = round(config.objective.warmup * settings.steps)
    keeper = _Keeper(vae, warm_up, settings.patience)
    losses: list[Tensor] = []  # of the steps since the last look; on the device until then
    for step in range(1, settings.steps + 1):
        beta = final_beta * min(1.0, step / max(warm_up, 1))
        loss = negative_objective(vae, next(batches), beta, draws)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), settings.clip_norm)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        on_step(step)
        if step % settings.evaluate_every == 0 or step == settings.steps:
            look = _look(vae, validation, eps, final_beta, step, beta, float(torch.stack(losses).double().mean()))
            losses.clear()
            on_look(look)
            if keeper.is_done(look):
                break
    return keeper.restore(settings.steps)


class _Keeper:
    """Keeps the weights of the best look after the warm-up, and says when to stop."""

    def __init__(self, vae: VAE, warm_up: int, patience: int) -> None:
        self._vae, self._warm_up, self._patience = vae, warm_up, patience
        self._looks: list[Look] = []
        self._best: Look | None = None
        self._weights: dict[str, Tensor] = {}

    def is_done(self, look: Look) -> bool:
        """Take in a look; true after `patience` looks without a better one."""
        self._looks.append(look)
        if look.step < self._warm_up:
            return False
        if self._best is None or look.objective < self._best.objective:
            self._best, self._weights = look, copy.deepcopy(self._vae.state_dict())
            return False
        return sum(later.step > self._best.step for later in self._looks) >= self._patience

    def restore(self, steps: int) -> History:
        """Put the best weights back."""
        assert self._best is not None  # the last step is always looked at
        self._vae.load_state_dict(self._weights)
        return History(tuple(self._looks), self._best, stopped_early=self._looks[-1].step < steps)


def negative_objective(vae: VAE, t: Tensor, beta: float, draws: torch.Generator) -> Tensor:
    """Mean over rows of -log p(x|z) + beta KL, one draw of z a row, raw units."""
    mu, sigma = vae.posterior(t)  # each (N, Z)
    eps = torch.randn(mu.shape, generator=draws, device=mu.device, dtype=mu.dtype)
    log_p = vae.likelihood.log_prob(t, vae.decoder(mu + sigma * eps)).sum(-1)  # (N,)
    return (beta * kl_divergence(mu, sigma) - log_p).mean() - vae.features.log_jacobian().sum()


def _optimizer(vae: VAE, config: Config) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices alone, since on biases and scales it would shrink what the data say."""
    matrices = [p for p in vae.parameters() if p.ndim > 1]
    others = [p for p in vae.parameters() if p.ndim <= 1]
    decay = config.training.weight_decay
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.training.learning_rate)


def _batches(rows: Tensor, size: int, seed: int) -> Iterator[Tensor]:
    """Endless batches, each epoch a new permutation; a short last batch goes into the next epoch's start."""
    order = torch.Generator().manual_seed(seed + 1)
    size = min(size, len(rows))
    left = torch.empty(0, dtype=torch.long)
    while True:
        left = torch.cat([left, torch.randperm(len(rows), generator=order)])
        whole = len(left) // size * size
        for index in left[:whole].to(rows.device).split(size):
            yield rows.index_select(0, index)
        left = left[whole:]


@torch.no_grad()
def _look(
    vae: VAE, rows: Tensor, eps: Tensor, final_beta: float, step: int, beta: float, train_objective: float
) -> Look:
    log_likelihood = kl = 0.0
    size = max(1, CELLS // (eps.shape[1] * rows.shape[1]))
    for t, e in zip(rows.split(size), eps.split(size), strict=True):
        mu, sigma = vae.posterior(t)
        h = vae.decoder(mu[:, None] + sigma[:, None] * e)  # (N, K, width)
        log_likelihood += float(vae.likelihood.log_prob(t[:, None], h).sum(-1).mean(1).double().sum())
        kl += float(kl_divergence(mu, sigma).double().sum())
    log_likelihood = log_likelihood / len(rows) + float(vae.features.log_jacobian().sum())
    kl /= len(rows)
    objective = final_beta * kl - log_likelihood
    if not (math.isfinite(objective) and math.isfinite(train_objective)):
        raise TrainingError(
            f"step {step}: the objective is {objective} on validation rows, {train_objective} on training rows; "
            "a smaller training.learning_rate or a larger likelihood.scale_floor may help"
        )
    return Look(step, beta, train_objective, objective, log_likelihood - kl, log_likelihood, kl)
