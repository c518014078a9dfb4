"""A trained VAE -> ONNX graphs that give the same numbers. Knows graphs and parity, not training."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar, cast, get_args

import onnx
import onnx.utils
import torch
from torch import Tensor, nn

from vaekit.bundle.manifest import Operation
from vaekit.bundle.manifest import Tensor as TensorSpec
from vaekit.errors import NotFinite
from vaekit_training.features import observed_rows
from vaekit_training.folds import AnyVAE, FoldModels
from vaekit_training.networks.half import LARGEST, Half
from vaekit_training.vae import VAE

OPSET = 18
_DTYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.BOOL: "bool",
}


class _Part(nn.Module):
    """What one operation of a model gives, or several; its arguments, in their order, are the inputs of a graph."""

    def __init__(self, vae: AnyVAE) -> None:
        super().__init__()
        self.vae: Any = vae  # fold models are asked for what they have in common with a VAE


class _Encode(_Part):
    def forward(self, x: Tensor, observed: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.vae.encode(x, observed)


class _OfRows(_Part):
    """All that is asked of rows: mu, sigma, (N, M, Z) with members, and these' weights (N, M); the bound's terms."""

    def forward(self, x: Tensor, eps: Tensor, observed: Tensor | None = None) -> tuple[Tensor, ...]:
        *codes, of_members = self.vae.coded_bounds(x, eps, observed)
        if self.vae.members > 1:  # q(m|x) proportional to exp(ELBO_m): which member a row is likely from
            codes = [values.transpose(0, 1) for values in (*codes, torch.softmax(of_members.elbo, dim=0))]
        bound = self.vae.mixed(of_members)
        of_folds = () if bound.fold_elbo is None else (bound.fold_elbo,)
        return (*codes, *bound[:4], *of_folds, bound.feature_log_likelihood.unflatten(-1, x.shape[1:]))


class _Prior(_Part):
    def forward(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> tuple[Tensor, ...]:
        return (self.vae.prior.sample(noise, choice, member),)


class _Decode(_Part):
    def forward(self, z: Tensor, member: Tensor | None = None) -> tuple[Tensor, ...]:
        return tuple(self.vae.decode(z, member).values())


class _OfCodes(_Part):
    """All that is asked of codes: the parameters of p(x|z), and a draw of it."""

    def forward(self, z: Tensor, noise: Tensor, member: Tensor | None = None) -> tuple[Tensor, ...]:
        return (*self.vae.decode(z, member).values(), self.vae.observe(z, noise, member))


EVIDENCE, FEATURES = "log_evidence", "feature_log_likelihood"
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
    wanted = _outputs(vae, operation)
    module, names = _traced(vae, operation)
    if operation == "decode" or (operation == "encode" and "eps" not in feeds):  # of less than all is traced with
        module, names = (_Decode if operation == "decode" else _Encode)(vae), wanted
    floats = {name: a.to(vae.dtype) if a.dtype == torch.float32 else a for name, a in feeds.items()}
    with torch.no_grad():
        found = dict(zip(names, module(*floats.values()), strict=True))
    return {name: found[name] for name in wanted}


def export_graphs(
    vae: AnyVAE, x: Tensor, operations: Collection[Operation] = get_args(Operation)
) -> dict[Operation, ExportedGraph]:
    """The graph of every operation there is among these, with free N (and K).

    What takes the same inputs is traced once, and each operation's graph cut out: the nodes that its outputs need.
    bound is elbo without log_evidence, and a graph of its own where that is most of the work: an aggregate prior's
    density at every draw. ONNX Runtime computes outputs that nobody asked for.

    Args:
        vae: in float32.
        x: two or more raw rows to trace with.
        operations: those wanted; all unless given.
    """
    feeds = graph_inputs(vae, x[:3], num_samples=2, seed=0)
    wanted = [operation for operation in feeds if operation in operations]
    still = frozen(vae)
    whole = {each: _trace(still, each, feeds[each]) for each in dict.fromkeys(_FULLEST[each] for each in wanted)}
    return {each: _cut(whole[_FULLEST[each]], each, list(feeds[each]), _outputs(vae, each)) for each in wanted}


_FULLEST: dict[Operation, Operation] = {  # the one of the same inputs, or more, that it is traced with
    "encode": "surprise",
    "bound": "surprise",
    "elbo": "surprise",
    "surprise": "surprise",
    "prior": "prior",
    "decode": "observe",
    "observe": "observe",
}
_FILES: dict[Operation, str] = {
    "encode": "encoder.onnx",
    "prior": "prior.onnx",
    "decode": "decoder.onnx",
    "observe": "observe.onnx",
    "bound": "bound.onnx",
    "elbo": "elbo.onnx",
    "surprise": "surprise.onnx",
}


def elbo_names(vae: AnyVAE) -> tuple[str, ...]:
    """The outputs of elbo, those of surprise but the last."""
    return ("elbo", "log_likelihood", "kl", EVIDENCE, *(("fold_elbo",) if isinstance(vae, FoldModels) else ()))


def _outputs(vae: AnyVAE, operation: Operation) -> tuple[str, ...]:
    elbo = elbo_names(vae)
    return {
        "encode": ("mu", "sigma", *(("weights",) if vae.members > 1 else ())),
        "prior": ("z",),
        "decode": vae.likelihood.parameters_in_raw_units,
        "observe": ("x",),
        "bound": tuple(name for name in elbo if name != EVIDENCE),
        "elbo": elbo,
        "surprise": (*elbo, FEATURES),
    }[operation]


def _traced(vae: AnyVAE, operation: Operation) -> tuple[nn.Module, tuple[str, ...]]:
    """What gives the operation's outputs among others, and the names of all."""
    if _FULLEST[operation] == "surprise":
        return _OfRows(vae), (*_outputs(vae, "encode"), *_outputs(vae, "surprise"))
    if _FULLEST[operation] == "observe":
        return _OfCodes(vae), (*_outputs(vae, "decode"), *_outputs(vae, "observe"))
    return _Prior(vae), _outputs(vae, "prior")


def _trace(vae: AnyVAE, operation: Operation, feeds: dict[str, Tensor]) -> onnx.ModelProto:
    module, names = _traced(vae, operation)
    n, k = torch.export.Dim("N"), torch.export.Dim("K")
    shapes = {name: {0: n, 1: k} if name == "eps" else {0: n} for name in feeds}
    model = quiet_export(module, feeds, names, shapes)
    inputs = [value.name for value in model.graph.input]
    for node in model.graph.node:
        if (
            node.op_type == "Shape"
            and node.input[0] in inputs
            and [a.i for a in node.attribute if a.name == "end"] == [1]
        ):
            node.input[0] = inputs[0]  # N, of an input that every operation has
    return model


def _cut(whole: onnx.ModelProto, operation: Operation, inputs: list[str], outputs: tuple[str, ...]) -> ExportedGraph:
    model = _strip(onnx.utils.Extractor(whole).extract_model(inputs, list(outputs)))
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
    with _Quiet(), _operators_read_once():
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


@contextmanager
def _operators_read_once() -> Iterator[None]:
    """Keep the exporter's table of operators, for which it parses 500 functions at every call, for the next call.

    That is a third of a small model's export. A torch that has its table elsewhere goes on making it; so does whoever
    exports in another thread meanwhile and finds the table taken.
    """
    try:
        from torch.onnx._internal.exporter import _registration
    except ImportError:
        yield
        return
    registry: Any = getattr(_registration, "ONNXRegistry", object)
    made = vars(registry).get("from_torchlib")
    if not isinstance(made, classmethod):
        yield
        return
    registry.from_torchlib = staticmethod(partial(_table, made, registry))
    try:
        yield
    finally:
        registry.from_torchlib = made


@cache
def _table(made: Any, registry: Any, opset_version: int) -> Any:
    """What the class method gives; whoever exports only reads it."""
    return made.__func__(registry, opset_version)


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
