"""A neural spline flow (Durkan et al. 2019) from zuko, with early stopping on the validation rows. Needs zuko."""

from __future__ import annotations

import copy
import importlib

import numpy as np
import torch

from benchmarks.density.sets import Array, DensitySplit
from benchmarks.density.simple import ROWS, LogDensity

STEPS, EVERY, PATIENCE, BATCH, RATE = 4_000, 100, 8, 256, 1e-3
TRANSFORMS, BINS, HIDDEN = 5, 8, (128, 128)


def spline_flow(split: DensitySplit, seed: int) -> LogDensity:
    """log p of a flow trained on rows with uniform noise as wide as the floor of each column."""
    zuko = importlib.import_module("zuko")
    fit, validation = (torch.from_numpy(part).float() for part in (split.fit, split.validation))
    width = torch.from_numpy(split.floor).float()
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = zuko.flows.NSF(fit.shape[1], transforms=TRANSFORMS, bins=BINS, hidden_features=HIDDEN)
    optimiser = torch.optim.AdamW(flow.parameters(), lr=RATE)
    noisy = validation + width * (2.0 * torch.rand(validation.shape, generator=generator) - 1.0)
    best, kept, since = -np.inf, copy.deepcopy(flow.state_dict()), 0
    for step in range(1, STEPS + 1):
        rows = fit[torch.randint(len(fit), (BATCH,), generator=generator)]
        rows = rows + width * (2.0 * torch.rand(rows.shape, generator=generator) - 1.0)
        loss = -flow().log_prob(rows).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimiser.step()
        if step % EVERY == 0:
            with torch.no_grad():
                found = float(flow().log_prob(noisy).mean())
            if found > best:
                best, kept, since = found, copy.deepcopy(flow.state_dict()), 0
            elif (since := since + 1) >= PATIENCE:
                break
    flow.load_state_dict(kept)

    @torch.no_grad()
    def log_density(x: Array) -> Array:
        rows = torch.from_numpy(x).float()
        parts = [flow().log_prob(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)]
        return np.asarray(torch.cat(parts).double())

    return log_density
