"""A simple server with FastAPI and torch. It takes lists of lists and does not batch rows of several requests.

python -m benchmarks.serving.arms.plain WEIGHTS.npz PORT [DEVICE [compiled]]
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch.nn.functional is F everywhere

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Body(BaseModel):
    """Rows in raw units."""

    inputs: list[list[float]]


class Vae:
    """The computation of the graph in torch, in float32 except for standardisation; eager or with torch.compile."""

    def __init__(self, path: str, device: str = "cpu", *, compiled: bool = False) -> None:
        self.device = device
        with np.load(path) as archive:
            self.w = {name: torch.from_numpy(archive[name]).to(device) for name in archive.files}
        self._terms: Any = torch.compile(self.terms) if compiled else self.terms

    def _mlp(self, name: str, x: Tensor) -> Tensor:
        h = F.relu(F.linear(x, self.w[f"{name}.0.weight"], self.w[f"{name}.0.bias"]))
        return F.linear(h, self.w[f"{name}.2.weight"], self.w[f"{name}.2.bias"])

    @torch.no_grad()
    def elbo(self, rows: list[list[float]]) -> dict[str, list[float]]:
        """ELBO and its terms of each row, nats."""
        log_likelihood, kl = self._terms(torch.tensor(rows, dtype=torch.float64, device=self.device))
        return {
            "elbo": (log_likelihood - kl).tolist(),
            "log_likelihood": log_likelihood.tolist(),
            "kl": kl.tolist(),
        }

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E_q[log p(x|z)] and KL(q(z|x) || p(z)) of rows (N, D), (N,) each."""
        t = ((x - self.w["loc"]) / self.w["scale"]).float()
        mu, raw = self._mlp("encoder", t).chunk(2, dim=-1)
        sigma = 1e-6 + F.softplus(raw)  # (N, Z)
        z = mu[:, None] + sigma[:, None] * self.w["eps"]  # (N, K, Z)
        mean, raw = self._mlp("decoder", z).chunk(2, dim=-1)  # (N, K, D) each
        scale = self.w["floor"] + F.softplus(raw)
        log_p = (-0.5 * ((t[:, None] - mean) / scale) ** 2 - scale.log() - HALF_LOG_2PI).sum(-1).mean(-1).double()
        log_likelihood = log_p - self.w["scale"].log().sum()
        kl = (0.5 * (mu**2 + sigma**2 - 1) - sigma.log()).sum(-1).double()
        return log_likelihood, kl


def make_app(vae: Vae) -> FastAPI:
    app = FastAPI()

    @app.post("/elbo")
    def elbo(body: Body) -> dict[str, list[float]]:
        return vae.elbo(body.inputs)

    return app


if __name__ == "__main__":
    torch.set_num_threads(1)
    weights, port, *how = sys.argv[1:]
    vae = Vae(weights, how[0] if how else "cpu", compiled="compiled" in how)
    uvicorn.run(make_app(vae), host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
