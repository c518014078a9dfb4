"""One optimiser step: loss, gradient, clipping, AdamW, and the running mean of the weights.

M members, P values per member, padding included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaekit.errors import ConfigError
from vaekit_training.config import Config
from vaekit_training.data.batch import NetworkRows
from vaekit_training.loop.adam import Adam
from vaekit_training.loop.distributed import World
from vaekit_training.loop.flat import Flat
from vaekit_training.loop.graphed import Graphed
from vaekit_training.loop.objective import Objective
from vaekit_training.networks import decayed
from vaekit_training.vae import VAE

EMA_START = 10  # at step s the decay of the running mean is at most (1 + s) / (EMA_START + s), to forget the start


class Step:
    """Updates a VAE's weights. Its state contains everything that later steps depend on."""

    def __init__(self, vae: VAE, config: Config, world: World) -> None:
        settings = config.training
        self._vae, self._settings, self._world = vae, settings, world
        if config.training.batch_size < world.size:
            raise ConfigError(
                f"training.batch_size: {config.training.batch_size} is less than the number of ranks, {world.size}"
            )
        matrices = (p for network in (vae.encoder, vae.decoder) for p in decayed(network))
        self.flat = Flat(vae, matrices, vae.members)
        world.broadcast(self.flat.weights.data)
        device = self.flat.weights.device
        self.objective = Objective(vae, config.objective, precision=settings.precision, compiled=settings.compile)
        self._adam = Adam(self.flat.weights, settings.learning_rate, recorded=settings.cuda_graphs)
        self._scaler = torch.amp.GradScaler(device.type) if settings.precision == "fp16" else None
        self._mean = self.flat.weights.data.clone() if settings.ema else None
        self._compute: Callable[[NetworkRows, Tensor, float], tuple[Tensor, Tensor]] = self._forward_and_update
        if settings.cuda_graphs:
            check_graphs(device, world)
            self._compute = Graphed(self._forward_and_update, self._undo)

    def __call__(self, batch: NetworkRows, eps: Tensor, beta: float, rate: float, number: int) -> tuple[Tensor, Tensor]:
        """Take a step.

        Args:
            batch: the global batch, of which this rank uses its share.
            eps: standard normals for the global batch, (N, K, Z).
            beta: weight of the KL.
            rate: the learning rate.
            number: number of the step, from 1.

        Returns:
            This rank's share of the loss, (), and the norm of each member's global gradient, (M, 1), on the device.
        """
        self._adam.set_rate(rate)
        loss, norm = self._compute(batch, eps, beta)
        if self._mean is not None:
            keep = min(self._settings.ema, (1 + number) / (EMA_START + number))
            self._mean.lerp_(self.flat.weights.data, 1.0 - keep)
        return loss, norm

    def _forward_and_update(self, batch: NetworkRows, eps: Tensor, beta: float | Tensor) -> tuple[Tensor, Tensor]:
        return self._differentiate(batch, eps, beta), self._update()

    def _undo(self) -> Callable[[], None]:
        """A function that restores the current state."""
        state = self.state_dict()
        return lambda: self.load_state_dict(state)

    def _differentiate(self, batch: NetworkRows, eps: Tensor, beta: float | Tensor) -> Tensor:
        """This rank's share of the loss, (). Afterwards `flat.gradient` has the gradient of the global loss."""
        self.flat.zero_grad()
        share = 1.0 / len(batch)
        parts = self._parts(batch, eps)
        above_free_bits = self._above_free_bits(parts, share)
        losses = []
        for part, e in parts:
            loss = self.objective(part, e, beta, share, above_free_bits)
            (loss if self._scaler is None else self._scaler.scale(loss)).backward()
            losses.append(loss.detach())
        self.flat.gather()
        self._world.sum(self.flat.gradient)
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _parts(self, batch: NetworkRows, eps: Tensor) -> list[tuple[NetworkRows, Tensor]]:
        """This rank's rows and their eps, in one part per accumulation."""
        if self._world.size == self._settings.accumulate == 1:
            return [(batch, eps)]
        first, last = self._world.share(len(batch))
        size = -(-(last - first) // self._settings.accumulate)
        return list(zip(batch.slice(first, last).split(size), eps[first:last].split(size), strict=True))

    def _above_free_bits(self, parts: list[tuple[NetworkRows, Tensor]], share: float) -> Tensor | None:
        """Mask (..., Z) of the latent dimensions whose KL in the whole batch is above free_bits.

        None without free bits, or if there is only one part, which can compute the mask itself.
        """
        free = self.objective.free_bits
        if not free or (len(parts) == 1 and self._world.size == 1):
            return None
        kl = torch.stack([self.objective.kl_of(part, share) for part, _ in parts]).sum(0)  # (..., Z)
        return self._world.sum(kl) > free

    def _update(self) -> Tensor:
        """Update the weights by AdamW with the clipped gradient; returns the norm before clipping, (M, 1)."""
        scaler: Any = self._scaler  # typed for a torch optimiser, but it uses only what Adam has
        if scaler is not None:
            scaler.unscale_(self._adam)
        norm = self.flat.norm()
        divisor = self.flat.clip(norm, self._settings.clip_norm)
        if self._settings.weight_decay:
            self.flat.decay(self._adam.rate * self._settings.weight_decay)
        if scaler is None:
            self._adam.step(divisor)
        else:
            scaler.step(self._adam, divisor)
            scaler.update()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that later steps depend on: weights, moments, running mean, loss scale, buffers."""
        return {
            "weights": self.flat.weights.detach().clone(),
            "moments": {name: value.clone() for name, value in self._adam.moments.items()},
            "mean": None if self._mean is None else self._mean.clone(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "buffers": {name: buffer.clone() for name, buffer in self._vae.named_buffers()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state; tensors keep their memory, which a recorded step refers to."""
        self.flat.weights.data.copy_(state["weights"])
        for name, value in self._adam.moments.items():
            value.copy_(state["moments"][name])
        if self._mean is not None:
            self._mean.copy_(state["mean"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        self._vae.load_state_dict(state["buffers"], strict=False)

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return bool(torch.isfinite(self.flat.weights.detach()).all())

    def swap_weights(self) -> None:
        """Exchange the weights and their running mean, if there is one."""
        if self._mean is not None:
            weights = self.flat.weights.detach().clone()
            self.flat.weights.data.copy_(self._mean)
            self._mean.copy_(weights)


def check_graphs(device: torch.device, world: World) -> None:
    """Refuse CUDA graphs if a step cannot be recorded.

    Raises:
        ConfigError: the device is not a CUDA device, or there are several ranks.
    """
    if device.type != "cuda" or world.size > 1:
        where = f"{world.size} ranks" if world.size > 1 else f"device {device}"
        raise ConfigError(f"training.cuda_graphs: needs a single CUDA device, not {where}")
