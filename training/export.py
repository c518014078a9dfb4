"""A trained VAE -> ONNX graphs that give the same numbers. Knows graphs and parity, not training."""

from __future__ import annotations

import copy
import logging
import warnings
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import onnx
import onnx.utils
import torch
from torch import Tensor, nn

from training.features import observed_rows
from training.folds import AnyVAE, FoldModels
from training.networks.half import LARGEST, Half
from training.vae import VAE, Bound
from vaekit.bundle.manifest import Operation
from vaekit.bundle.manifest import Tensor as TensorSpec
from vaekit.errors import NotFinite

OPSET = 18
_DTYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.BOOL: "bool",
}


class _Part(nn.Module):
    """One operation of a model; its arguments, in their order, are the graph's inputs."""

    def __init__(self, vae: AnyVAE) -> None:
        super().__init__()
        self.vae: Any = vae  # fold models are asked for what they have in common with a VAE


class _Encode(_Part):
    def forward(self, x: Tensor, observed: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.vae.encode(x, observed)


class _EncodeMembers(_Part):
    """mu, sigma (N, M, Z) each, and the members' weights (N, M)."""

    def forward(self, x: Tensor, eps: Tensor, observed: Tensor | None = None) -> tuple[Tensor, ...]:
        mu, sigma = self.vae.encode(x, observed)
        weights = self.vae.member_weights(x, eps, observed)
        return mu.transpose(0, 1), sigma.transpose(0, 1), weights.transpose(0, 1)


class _Prior(_Part):
    def forward(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> tuple[Tensor, ...]:
        return (self.vae.prior.sample(noise, choice, member),)


class _Decode(_Part):
    def forward(self, z: Tensor, member: Tensor | None = None) -> tuple[Tensor, ...]:
        return tuple(self.vae.decode(z, member).values())


class _Observe(_Part):
    def forward(self, z: Tensor, noise: Tensor, member: Tensor | None = None) -> tuple[Tensor, ...]:
        return (self.vae.observe(z, noise, member),)


class _Surprise(_Part):
    def forward(self, x: Tensor, eps: Tensor, observed: Tensor | None = None) -> tuple[Tensor, ...]:
        bound = self.vae.bound(x, eps, observed)
        by_feature = bound.feature_log_likelihood.unflatten(-1, x.shape[1:])
        return (*_by_row(bound), by_feature)


class _Elbo(_Part):
    def forward(self, x: Tensor, eps: Tensor, observed: Tensor | None = None) -> tuple[Tensor, ...]:
        return _by_row(self.vae.bound(x, eps, observed))


def _by_row(bound: Bound) -> tuple[Tensor, ...]:
    return bound[:4] if bound.fold_elbo is None else (*bound[:4], bound.fold_elbo)


class _Bound(_Part):
    def forward(self, x: Tensor, eps: Tensor, observed: Tensor | None = None) -> tuple[Tensor, ...]:
        elbo, log_likelihood, kl, _, *folds = _by_row(self.vae.bound(x, eps, observed))
        return (elbo, log_likelihood, kl, *folds)


_CODES = ("mu", "sigma")
_BOUND = ("elbo", "log_likelihood", "kl")
EVIDENCE, FEATURES = "log_evidence", "feature_log_likelihood"
_WITHOUT: dict[Operation, tuple[str, ...]] = {  # of what surprise gives
    "bound": (EVIDENCE, FEATURES),
    "elbo": (FEATURES,),
}
V = TypeVar("V", bound=nn.Module)


@dataclass(frozen=True)
class ExportedGraph:
    """One graph as bytes, with its signature."""

    file: str
    data: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def double(vae: V) -> V:
    """The same model computing in float64: the reference that graphs are held against."""
    return copy.deepcopy(vae).double().eval()


def frozen(vae: V) -> V:
    """The model as graphs hold it: what has no ONNX operator worked out as a constant."""
    model: Any = copy.deepcopy(vae).eval()
    model.freeze()
    return cast(V, model)


def halved(vae: VAE) -> VAE:
    """The same model with networks that compute in float16; features, likelihood and bound stay as they are.

    Raises:
        NotFinite: a weight is too large for float16; the message names the layer and the weight.
    """
    twin = copy.deepcopy(vae).eval()
    for name, network in (("encoder", twin.encoder), ("decoder", twin.decoder)):
        for parameter, values in network.named_parameters():
            largest = float(values.detach().abs().max())
            if not largest <= LARGEST:
                raise NotFinite(f"{name}: {parameter} has a weight of {largest:.6g}, and float16 takes {LARGEST:g}")
    twin.encoder, twin.decoder = Half(twin.encoder), Half(twin.decoder)
    return twin


def graph_inputs(vae: AnyVAE, x: Tensor, num_samples: int, seed: int) -> dict[Operation, dict[str, Tensor]]:
    """Inputs for every operation around the rows x (NaN where a cell is missing), noise drawn from the seed."""
    n, z_dim = len(x), vae.latent_dim
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(n, num_samples, z_dim, generator=generator)
    z = torch.randn(n, z_dim, generator=generator)
    noise = torch.randn(n, vae.features.dim, 2, generator=generator)
    rows = {"x": x}
    if vae.features.may_be_missing:
        rows["x"], rows["observed"] = observed_rows(x)
    member: dict[str, Tensor] = {}
    if vae.members > 1:
        member["member"] = torch.randint(vae.members, (n,), generator=generator)
    prior = {"noise": z}
    if "choice" in vae.prior.inputs:
        prior |= {"choice": torch.rand(n, generator=generator), **member}
    bound = {"x": rows.pop("x"), "eps": eps, **rows}
    alone: dict[Operation, dict[str, Tensor]] = {} if vae.prior.is_standard else {"bound": bound}
    return {
        "encode": {"x": bound["x"], **({"eps": eps} if member else {}), **rows},
        "prior": prior,
        "decode": {"z": z, **member},
        "observe": {"z": z, "noise": noise, **member},
        **alone,
        "elbo": bound,
        "surprise": bound,
    }


def evaluate(vae: AnyVAE, operation: Operation, feeds: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the operation's graph must give: outputs by name, from torch in the model's own precision."""
    module, names = _module(vae, operation)
    floats = {name: a.to(vae.dtype) if a.dtype == torch.float32 else a for name, a in feeds.items()}
    with torch.no_grad():
        return dict(zip(names, module(*floats.values()), strict=True))


def export_graphs(vae: AnyVAE, x: Tensor) -> dict[Operation, ExportedGraph]:
    """Every operation's graph, with free N (and K).

    bound is elbo without log_evidence, and a graph of its own where that is most of the work: an aggregate prior's
    density at every draw. ONNX Runtime computes outputs that nobody asked for.

    Args:
        vae: in float32.
        x: two or more raw rows to trace with.
    """
    feeds = graph_inputs(vae, x[:3], num_samples=2, seed=0)
    graphs = {op: export_graph(vae, op, feeds[op]) for op in feeds if op not in _WITHOUT}
    return {op: graphs[op] if op in graphs else part_of(graphs["surprise"], op) for op in feeds}


def part_of(surprise: ExportedGraph, operation: Operation) -> ExportedGraph:
    """The graph of bound or elbo: what their outputs need of surprise's. Cut out, they need not be traced."""
    model = onnx.load_from_string(surprise.data)
    outputs = [value.name for value in model.graph.output if value.name not in _WITHOUT[operation]]
    names = [value.name for value in model.graph.input], outputs
    return _exported(operation, _strip(onnx.utils.Extractor(model).extract_model(*names)))


def elbo_names(vae: AnyVAE) -> tuple[str, ...]:
    """The outputs of elbo, those of surprise but the last."""
    return (*_BOUND, EVIDENCE, *(("fold_elbo",) if isinstance(vae, FoldModels) else ()))


def _module(vae: AnyVAE, operation: Operation) -> tuple[nn.Module, tuple[str, ...]]:
    """The operation as a module, and its outputs' names."""
    elbo = elbo_names(vae)
    return {
        "encode": (_Encode(vae), _CODES) if vae.members == 1 else (_EncodeMembers(vae), (*_CODES, "weights")),
        "prior": (_Prior(vae), ("z",)),
        "decode": (_Decode(vae), vae.likelihood.parameters_in_raw_units),
        "observe": (_Observe(vae), ("x",)),
        "bound": (_Bound(vae), tuple(name for name in elbo if name != EVIDENCE)),
        "elbo": (_Elbo(vae), elbo),
        "surprise": (_Surprise(vae), (*elbo, FEATURES)),
    }[operation]


_FILES: dict[Operation, str] = {
    "encode": "encoder.onnx",
    "prior": "prior.onnx",
    "decode": "decoder.onnx",
    "observe": "observe.onnx",
    "bound": "bound.onnx",
    "elbo": "elbo.onnx",
    "surprise": "surprise.onnx",
}


def export_graph(vae: AnyVAE, operation: Operation, feeds: dict[str, Tensor]) -> ExportedGraph:
    """One operation's graph, with free N (and K), traced with these inputs."""
    module, names = _module(frozen(vae), operation)
    n, k = torch.export.Dim("N"), torch.export.Dim("K")
    shapes = {name: {0: n, 1: k} if name == "eps" else {0: n} for name in feeds}
    return _exported(operation, quiet_export(module, feeds, names, shapes))


def _exported(operation: Operation, model: onnx.ModelProto) -> ExportedGraph:
    return ExportedGraph(
        _FILES[operation],
        model.SerializeToString(deterministic=True),
        tuple(_signature(value) for value in model.graph.input),
        tuple(_signature(value) for value in model.graph.output),
    )


def quiet_export(
    module: nn.Module, feeds: dict[str, Tensor], outputs: tuple[str, ...], shapes: dict[str, dict[int, Any]]
) -> onnx.ModelProto:
    """The module as an ONNX model without metadata, the exporter's remarks about itself unsaid."""
    with _Quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(feeds.values()),
            input_names=list(feeds),
            output_names=list(outputs),
            dynamic_shapes=tuple(shapes.values()),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    return _strip(program.model_proto)


def _strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take out stack traces with this machine's paths, and inferred shapes, which readers infer for themselves."""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    assert not model.functions
    return model


def _signature(value: onnx.ValueInfoProto) -> TensorSpec:
    shape = tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)
    return TensorSpec.model_validate(
        {"name": value.name, "dtype": _DTYPES[value.type.tensor_type.elem_type], "shape": shape}
    )


class _Quiet(warnings.catch_warnings):
    """The exporter's remarks about itself are none of our user's business; its errors are."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
        self._level = logging.getLogger("torch.onnx").level
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)

    def __exit__(self, *exc: Any) -> None:
        logging.getLogger("torch.onnx").setLevel(self._level)
        super().__exit__(*exc)
