"""The lower bound: a VAE in a plain torch loop over rows in memory, without a trainer."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  torch.nn.functional is F everywhere

from benchmarks.training.arms.common import Clock, Job, binary_rows, job, report


def fit(job: Job, clock: Clock) -> None:
    """Train with -E_q[log p(x|z)] + KL(q(z|x) || N(0, I)), one draw per row, Adam at 1e-3."""
    x = torch.from_numpy(binary_rows(job))  # (N, D)
    encoder = nn.Sequential(nn.Linear(job.dims, job.hidden), nn.ReLU(), nn.Linear(job.hidden, 2 * job.latent))
    decoder = nn.Sequential(nn.Linear(job.latent, job.hidden), nn.ReLU(), nn.Linear(job.hidden, job.dims))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    clock.start()
    for _ in range(job.epochs):
        order = torch.randperm(job.rows)
        for step in range(job.steps_per_epoch):
            batch = x.index_select(0, order[step * job.batch : (step + 1) * job.batch])  # (n, D)
            mu, log_variance = encoder(batch).chunk(2, dim=1)  # each (n, Z)
            z = mu + (0.5 * log_variance).exp() * torch.randn_like(mu)
            minus_log_p = F.binary_cross_entropy_with_logits(decoder(z), batch, reduction="none").sum(1)  # (n,)
            kl = -0.5 * (1.0 + log_variance - mu * mu - log_variance.exp()).sum(1)  # (n,)
            loss = (minus_log_p + kl).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        clock.lap()


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments, clock = job(), Clock()
    fit(arguments, clock)
    report(clock, arguments.steps_per_epoch * arguments.batch, ("torch", "numpy"))
