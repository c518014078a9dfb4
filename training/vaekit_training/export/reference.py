"""Computes each operation of a bundle in torch. The graphs are exported from it and compared with it.

N rows, M members, Z latent dimensions, K draws, D data dimensions.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vaekit.bundle.manifest import Operation
from vaekit.errors import NotFinite
from vaekit_training.features import observed_rows
from vaekit_training.folds import AnyVAE, FoldModels
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.networks.float16 import LARGEST, Float16Network
from vaekit_training.vae import VAE, log_member_weights

EVIDENCE, FEATURES = "log_evidence", "feature_log_likelihood"
CELLS = ("feature_expected", "feature_low", "feature_high")  # of a kernel prior
PROBABILITIES = "feature_probabilities"  # of a kernel prior, if there are categories
EXEMPLAR, WEIGHT = "exemplar", "exemplar_weight"  # of a kernel prior, without folds
V = TypeVar("V", bound=nn.Module)


class _Operations(nn.Module):
    """One or several operations of a model; the arguments of forward are the inputs of a graph, in order."""

    def __init__(self, vae: AnyVAE) -> None:
        super().__init__()
        self.vae: Any = vae  # used only for what fold models and a VAE have in common


class _Encode(_Operations):
    def forward(self, x: Tensor, observed: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.vae.encode(x, observed)


class _RowOperations(_Operations):
    """All outputs for rows: mu and sigma (N, Z), or with members (N, M, Z) and weights (N, M); terms of the bound."""

    def forward(self, x: Tensor, eps: Tensor, observed: Tensor | None = None) -> tuple[Tensor, ...]:
        *latents, of_members = self.vae.bounds_by_member(x, eps, observed)
        if self.vae.members > 1:  # the members' weights q(m|x)
            latents = [values.transpose(0, 1) for values in (*latents, log_member_weights(of_members.elbo).exp())]
        bound = self.vae.mixed(of_members)
        of_folds = () if bound.fold_elbo is None else (bound.fold_elbo,)
        of_features = (*bound[4:8],)
        shaped = (each.unflatten(-1, x.shape[1:]) for each in of_features if each is not None)
        of_levels = () if bound.feature_probabilities is None else (bound.feature_probabilities,)
        return (*latents, *bound[:4], *of_folds, *shaped, *of_levels, *(bound.similar or ()))


class _Prior(_Operations):
    def forward(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> tuple[Tensor, ...]:
        return (self.vae.prior.sample(noise, choice, member),)


class _Decode(_Operations):
    def forward(self, z: Tensor, member: Tensor | None = None) -> tuple[Tensor, ...]:
        return tuple(self.vae.decode(z, member).values())


class _LatentOperations(_Operations):
    """All outputs for latent vectors: the parameters of p(x|z), and a draw from it."""

    def forward(self, z: Tensor, noise: Tensor, member: Tensor | None = None) -> tuple[Tensor, ...]:
        return (*self.vae.decode(z, member).values(), self.vae.observe(z, noise, member))


def double(vae: V) -> V:
    """A copy of the model in float64, the reference for its graphs."""
    return copy.deepcopy(vae).double().eval()


def halved(vae: VAE) -> VAE:
    """A copy of the model whose networks compute in float16; features, likelihood and bound do not change.

    Raises:
        NotFinite: a weight is too large for float16; the message names the layer and the weight.
    """
    half_vae = copy.deepcopy(vae).eval()
    for name, network in (("encoder", half_vae.encoder), ("decoder", half_vae.decoder)):
        for parameter, values in network.named_parameters():
            largest = float(values.detach().abs().max())
            if not largest <= LARGEST:
                raise NotFinite(f"{name}: {parameter} has a weight of {largest:.6g}; float16 allows up to {LARGEST:g}")
    half_vae.encoder, half_vae.decoder = Float16Network(half_vae.encoder), Float16Network(half_vae.decoder)
    return half_vae


def graph_inputs(vae: AnyVAE, x: Tensor, num_samples: int, seed: int) -> dict[Operation, dict[str, Tensor]]:
    """Inputs of every operation by name.

    Args:
        vae: the model.
        x: raw rows, (N, D) with NaN for missing cells, or (N, H, W, C).
        num_samples: K.
        seed: seed of the random inputs.
    """
    n, z_dim = len(x), vae.latent_dim
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(n, num_samples, z_dim, generator=generator)
    z = torch.randn(n, z_dim, generator=generator)
    noise = torch.randn(n, vae.features.dim, 2, generator=generator)
    rows = {"x": x}
    mask: dict[str, Tensor] = {}
    if x.dtype == torch.float64:  # columns
        rows["x"], mask["observed"] = observed_rows(x)
    if vae.features.may_be_missing:
        rows |= mask
    member: dict[str, Tensor] = {}
    if vae.members > 1:
        member["member"] = torch.randint(vae.members, (n,), generator=generator)
    prior = {"noise": z}
    if "choice" in vae.prior.inputs:
        prior |= {"choice": torch.rand(n, generator=generator), **member}
    bound = {"x": rows.pop("x"), "eps": eps, **rows}
    masked = {**bound, **mask}
    alone: dict[Operation, dict[str, Tensor]] = {} if vae.prior.is_standard else {"bound": bound}
    return {
        "encode": {"x": bound["x"], **({"eps": eps} if member else {}), **mask},
        "prior": prior,
        "decode": {"z": z, **member},
        "observe": {"z": z, "noise": noise, **member},
        **alone,
        "elbo": bound,
        "surprise": masked,
    }


def evaluate(vae: AnyVAE, operation: Operation, feeds: dict[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of an operation by name, computed by torch in the model's own precision.

    Args:
        vae: the model.
        operation: one of the operations of a bundle.
        feeds: its inputs, in the order of `graph_inputs`.
    """
    wanted = output_names(vae, operation)
    module, names = exported_module(vae, operation)
    if operation == "decode" or (operation == "encode" and "eps" not in feeds):  # has fewer inputs than exported_with
        module, names = (_Decode if operation == "decode" else _Encode)(vae), wanted
    floats = {name: a.to(vae.dtype) if a.dtype == torch.float32 else a for name, a in feeds.items()}
    with torch.no_grad():
        found = dict(zip(names, module(*floats.values()), strict=True))
    return {name: found[name] for name in wanted}


def evaluate_in_parts(vae: AnyVAE, operation: Operation, feeds: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """The same as `evaluate`, from at most this many rows at a time, to limit memory."""
    parts = [
        evaluate(vae, operation, dict(zip(feeds, part, strict=True)))
        for part in zip(*(a.split(rows) for a in feeds.values()), strict=True)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def elbo_names(vae: AnyVAE) -> tuple[str, ...]:
    """Names of the outputs of `elbo`, which are the first of those of `surprise`."""
    return ("elbo", "log_likelihood", "kl", EVIDENCE, *(("fold_elbo",) if isinstance(vae, FoldModels) else ()))


def output_names(vae: AnyVAE, operation: Operation) -> tuple[str, ...]:
    """Names of the outputs of an operation's graph, in order."""
    elbo = elbo_names(vae)
    return {
        "encode": ("mu", "sigma", *(("weights",) if vae.members > 1 else ())),
        "prior": ("z",),
        "decode": vae.likelihood.parameters_in_raw_units,
        "observe": ("x",),
        "bound": tuple(name for name in elbo if name != EVIDENCE),
        "elbo": elbo,
        "surprise": (*elbo, FEATURES, *_of_cells(vae), *_of_exemplars(vae)),
    }[operation]


def has_cells(vae: AnyVAE) -> bool:
    """Whether the model predicts each cell from the others."""
    return isinstance(vae.each[0] if isinstance(vae, FoldModels) else vae, KernelVAE)


def _of_cells(vae: AnyVAE) -> tuple[str, ...]:
    if not has_cells(vae):
        return ()
    has_categories = "probabilities" in vae.likelihood.parameters_in_raw_units
    return (*CELLS, *((PROBABILITIES,) if has_categories else ()))


def _of_exemplars(vae: AnyVAE) -> tuple[str, ...]:
    """The exemplars of fold models are other ones for each fold, so the mixture names none."""
    return (EXEMPLAR, WEIGHT) if isinstance(vae, KernelVAE) else ()


def exported_with(vae: AnyVAE, operation: Operation) -> Operation:
    """The operation that is captured for this one: it has at least its outputs and its inputs.

    The graphs of encode and surprise can leave cells out, so that novel rows can be scored. Those of bound and elbo
    leave cells out only if cells were missing in training: in all other models that would slow down ordinary rows.
    """
    if operation in ("bound", "elbo"):
        return "surprise" if vae.features.may_be_missing else "elbo"
    if operation in ("decode", "observe"):
        return "observe"
    return "prior" if operation == "prior" else "surprise"


def exported_module(vae: AnyVAE, operation: Operation) -> tuple[nn.Module, tuple[str, ...]]:
    """The module to capture for an operation, and the names of its outputs, which include those of the operation."""
    if operation in ("encode", "bound", "elbo", "surprise"):
        return _RowOperations(vae), (*output_names(vae, "encode"), *output_names(vae, "surprise"))
    if operation in ("decode", "observe"):
        return _LatentOperations(vae), (*output_names(vae, "decode"), *output_names(vae, "observe"))
    return _Prior(vae), output_names(vae, "prior")
