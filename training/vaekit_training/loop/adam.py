"""AdamW for a single tensor, with one fused call per step.

For a small network, torch.optim spends as much time in Python as on the update itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Adam on weights w with gradient g, at step s.

        m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
        w = w - rate m / (1 - b1^s) / (sqrt(v / (1 - b2^s)) + epsilon)

    Flat.decay applies AdamW's weight decay before a step.

    Source: Kingma and Ba (2015), "Adam"; Loshchilov and Hutter (2019), "Decoupled weight decay regularization".
    """

    def __init__(self, weights: nn.Parameter, rate: float, *, recorded: bool = False) -> None:
        """weights: a parameter with a gradient. recorded: keep the rate as a tensor, which a CUDA graph can read."""
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
        """Set the learning rate of the next steps."""
        if isinstance(self.rate, Tensor):
            self.rate.fill_(rate)
        else:
            self.rate = rate

    @torch.no_grad()
    def step(self, divisor: Tensor | None = None) -> None:
        """Update the weights; the gradient is divided by `divisor`, (), if one is given."""
        weights, gradients, m, v = self._lists
        self.moments["step"].add_(1.0)
        steps = [self.moments["step"]]
        torch._fused_adamw_(weights, gradients, m, v, [], steps, lr=self.rate, **self._settings, grad_scale=divisor)
