"""AdamW for one tensor, in one call.

For a small network, the Python overhead of torch.optim's step equals the cost of the whole update.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= rate m / (1 - b1^s) / (sqrt(v / (1 - b2^s)) + epsilon).

    Source: Kingma and Ba (2015). `decay` applies AdamW's weight decay (Loshchilov and Hutter 2019) before a step.
    """

    def __init__(self, weights: nn.Parameter, rate: float, *, recorded: bool = False) -> None:
        """weights: with their gradient; recorded: the rate is a tensor, which a CUDA graph reads at each replay."""
        device = weights.device
        self.rate: float | Tensor = torch.tensor(rate, device=device) if recorded else rate
        self.param_groups = [{"params": [weights]}]  # read by GradScaler
        self.moments = {
            "step": torch.zeros((), device=device),
            "m": torch.zeros_like(weights.data),
            "v": torch.zeros_like(weights.data),
        }
        assert weights.grad is not None
        self._lists: list[list[Tensor]] = [[weights.data], [weights.grad], [self.moments["m"]], [self.moments["v"]]]
        self._settings: dict[str, Any] = {
            "beta1": BETAS[0], "beta2": BETAS[1], "weight_decay": 0.0, "eps": EPSILON, "amsgrad": False,
            "maximize": False,
        }  # fmt: skip

    def set_rate(self, rate: float) -> None:
        if isinstance(self.rate, Tensor):
            self.rate.fill_(rate)
        else:
            self.rate = rate

    @torch.no_grad()
    def step(self, divisor: Tensor | None = None) -> None:
        """Update the weights along the gradient, divided by `divisor`, (), if it is given."""
        weights, gradients, m, v = self._lists
        self.moments["step"].add_(1.0)
        steps = [self.moments["step"]]
        torch._fused_adamw_(weights, gradients, m, v, [], steps, lr=self.rate, **self._settings, grad_scale=divisor)
