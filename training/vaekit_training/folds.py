"""Combines fold models into one model: the equally weighted mixture of VAEs that were each trained without one fold.

N rows, D data dimensions, Z latent dimensions, K draws, F fold models of M members each; nats; x in raw units. Members
are numbered fold by fold, from 0 to F M - 1.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from vaekit_training.features import Standardize
from vaekit_training.likelihoods import Likelihood
from vaekit_training.prior import Prior
from vaekit_training.vae import VAE, BoundTerms, mixture

OF_ONE_MODEL = ("fold_elbo", "similar")  # terms that a mixture of fold models does not take from them


class FoldModels(nn.Module):
    """p(x) = (1/F) sum_f p_f(x), where each fold model p_f has its own standardisation, likelihood and prior."""

    def __init__(self, folds: Sequence[VAE]) -> None:
        """folds: VAEs with the same columns, latent_dim and number of members."""
        super().__init__()
        first = folds[0]
        self.folds = nn.ModuleList(folds)
        self.latent_dim, self.members = first.latent_dim, sum(vae.members for vae in folds)
        self.features = _common([cast(Standardize, vae.features) for vae in folds])
        self.prior = FoldPriors([vae.prior for vae in folds], first.members)

    @property
    def each(self) -> list[VAE]:
        """The fold models, in order."""
        return [cast(VAE, fold) for fold in self.folds]

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood of the first fold model; use it only for what all have in common, the settings and columns."""
        return self.each[0].likelihood

    @property
    def dtype(self) -> torch.dtype:
        """The type of computations; see VAE.dtype."""
        return self.each[0].dtype

    def decode(self, z: Tensor, member: Tensor) -> dict[str, Tensor]:
        """Parameters of p(x|z) by name, for latent vectors z (N, Z) and their members (N,); see VAE.decode."""
        of_folds = [vae.decode(z, self._within(member)) for vae in self.each]
        return {name: self._of([out[name] for out in of_folds], member) for name in of_folds[0]}

    def observe(self, z: Tensor, noise: Tensor, member: Tensor) -> Tensor:
        """x ~ p(x|z), (N, D), for z (N, Z), standard normals noise (N, D, 2) and members (N,); see VAE.observe."""
        return self._of([vae.observe(z, noise, self._within(member)) for vae in self.each], member)

    def bound(self, x: Tensor, eps: Tensor, observed: Tensor | None = None) -> BoundTerms:
        """The bound of the mixture of all members, and the ELBO_f of each fold model; see vae.mixture."""
        return self.mixed(self.bounds_by_member(x, eps, observed)[2])

    def bounds_by_member(
        self, x: Tensor, eps: Tensor, observed: Tensor | None = None
    ) -> tuple[Tensor, Tensor, BoundTerms]:
        """mu, sigma (F M, N, Z) each, and the bound of each member of each fold model, (F M, N)."""
        mu, sigma, bounds = zip(*(vae.bounds_by_member(x, eps, observed) for vae in self.each), strict=True)
        joined = {
            name: _joined([getattr(bound, name) for bound in bounds], 3 if name.startswith("feature") else 2)
            for name in BoundTerms._fields
            if name not in OF_ONE_MODEL
        }
        return (
            torch.cat([_with_members(m) for m in mu]),
            torch.cat([_with_members(s) for s in sigma]),
            BoundTerms(**joined),
        )

    def mixed(self, of_members: BoundTerms) -> BoundTerms:
        """The bound of the mixture, (N,), from the bounds of all members of all fold models."""
        by_fold = zip(*(term.unflatten(0, (len(self.folds), -1)) for term in of_members[:5]), strict=True)
        fold_elbo = torch.stack([mixture(BoundTerms(*terms)).elbo for terms in by_fold], dim=1)  # (N, F)
        return mixture(of_members)._replace(fold_elbo=fold_elbo)

    def _within(self, member: Tensor) -> Tensor:
        """The index of each member within its fold model."""
        return member % (self.members // len(self.folds))

    def _of(self, values: Sequence[Tensor], member: Tensor) -> Tensor:
        """For each row the value from its member's fold model, (N, ...); values: (N, ...) from every fold model."""
        return _picked(values, member.div(self.members // len(self.folds), rounding_mode="floor"))


AnyVAE = VAE | FoldModels


class FoldPriors(nn.Module):
    """The priors p(z) of the fold models, which may have different numbers of components."""

    def __init__(self, priors: Sequence[Prior], members: int) -> None:
        """members: number of members of each fold model."""
        super().__init__()
        self.priors = nn.ModuleList(priors)
        self.inputs = priors[0].inputs
        self._members = members

    @property
    def each(self) -> list[Prior]:
        """The priors, in the order of the fold models."""
        return [cast(Prior, prior) for prior in self.priors]

    @property
    def is_standard(self) -> bool:
        """Whether all priors are N(0, I)."""
        return all(prior.is_standard for prior in self.each)

    def sample(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> Tensor:
        """z (N, Z) from the prior of each row's member (N,); noise and choice as in Aggregate.sample."""
        if member is None:  # all priors are N(0, I)
            return self.each[0].sample(noise)
        within = member % self._members if self._members > 1 else None
        drawn = [prior.sample(noise, choice, within) for prior in self.each]
        return _picked(drawn, member.div(self._members, rounding_mode="floor"))


def _picked(values: Sequence[Tensor], which: Tensor) -> Tensor:
    """Row n of values[which[n]] for each n, (N, ...); values: F tensors (N, ...); which: (N,)."""
    stacked = torch.stack(list(values))  # (F, N, ...)
    index = which.view(1, -1, *[1] * (stacked.ndim - 2)).expand(1, *stacked.shape[1:])
    return stacked.gather(0, index)[0]


def _joined(of_folds: Sequence[Tensor | None], axes: int) -> Any:
    """One term of the bounds of all fold models with `axes` axes, the first of which is that of members; or None."""
    there = [_with_members(term, axes) for term in of_folds if term is not None]
    return torch.cat(there) if there else None


def _with_members(values: Tensor, axes: int = 3) -> Tensor:
    """Values with `axes` axes, the first of which is that of members; it is added with size 1 if it is missing."""
    return values if values.ndim == axes else values[None]


def _common(features: Sequence[Standardize]) -> Standardize:
    """Features for the manifest: a column is constant if it is in every fold model, and scales are the largest of any.

    Rows are converted by each fold model's own features, not by these.
    """
    common = copy.deepcopy(features[0])
    common.active = torch.stack([each.active for each in features]).any(0)
    common.scale = torch.stack([each.scale for each in features]).amax(0)
    common.all_active = bool(common.active.all())
    return common
