"""Each operator that the export supports gives the same in ONNX Runtime as in torch, also for other N and K."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.graphs import exported_session
from tests.training.models import case
from vaekit.errors import TrainingError
from vaekit_training.export import export_graphs, lowering
from vaekit_training.export.capture import RUNS, capture
from vaekit_training.export.operators import TABLE

D = 4
aten = torch.ops.aten
WEIGHT, BIAS = torch.linspace(-1, 1, 3 * D).view(D, 3), torch.tensor([0.5, -1.0, 2.0])
PLANES = torch.linspace(-1, 1, 2 * 9).view(2, 1, 3, 3)
INDEX, MASK = torch.tensor([2, 0, 3]), torch.tensor([True, False, True, True])


def whole(x: Tensor) -> Tensor:
    """Integers from -5 to 5."""
    return (10 * x).clamp(-5, 5).long()


def image(x: Tensor) -> Tensor:
    """(N, K, D) -> (N K, 1, 2, 2)."""
    return x.view(-1, 1, 2, 2)


# By operator: functions that call it for x (N, K, D) float32, with positive and negative values.
CASES: dict[str, list[Callable[[Tensor], Any]]] = {
    "abs.default": [torch.abs],
    "ceil.default": [lambda x: (3 * x).ceil()],
    "cos.default": [torch.cos],
    "erf.default": [torch.erf],
    "exp.default": [torch.exp, lambda x: x.double().exp()],
    "floor.default": [lambda x: (3 * x).floor()],
    "isnan.default": [lambda x: torch.where(x > 0, x, torch.nan).isnan()],
    "log.default": [lambda x: x.abs().log(), lambda x: x.abs().double().log()],
    "neg.default": [torch.neg, lambda x: -whole(x)],
    "reciprocal.default": [lambda x: (2 + x.abs()).reciprocal()],
    "relu.default": [torch.relu, lambda x: functional.relu(x + 1, inplace=True)],
    "round.default": [lambda x: (2 * x).round(), lambda x: torch.round(whole(x).float() * 0.5)],
    "sigmoid.default": [torch.sigmoid],
    "sign.default": [torch.sign],
    "sin.default": [torch.sin],
    "sqrt.default": [lambda x: x.abs().sqrt()],
    "tanh.default": [torch.tanh],
    "bitwise_not.default": [lambda x: ~(x > 0)],
    "logical_not.default": [lambda x: torch.logical_not(x > 0)],
    "alias.default": [lambda x: aten.alias(x) + 1],
    "detach.default": [lambda x: x.detach() + 1],
    "clone.default": [lambda x: x.clone() + 1],
    "_to_copy.default": [lambda x: x.double(), lambda x: (3 * x).long(), lambda x: (x > 0).float()],
    "rsqrt.default": [lambda x: (1 + x.abs()).rsqrt()],
    "leaky_relu.default": [
        functional.leaky_relu,
        lambda x: functional.leaky_relu(x, 0.3),
        lambda x: functional.leaky_relu(x + 1, inplace=True),
    ],
    "silu.default": [functional.silu],
    "gelu.default": [functional.gelu],
    "clamp.default": [lambda x: x.clamp(-0.5, 0.25), lambda x: x.clamp(max=0.1), lambda x: x.double().clamp(min=0)],
    "clamp_min.default": [lambda x: x.clamp_min(0.1), lambda x: torch.clamp_min(x.exp(), 1)],
    "clamp_max.default": [lambda x: x.clamp_max(0.1)],
    "pow.Tensor_Scalar": [lambda x: x**2, lambda x: x.abs() ** 0.5, lambda x: (1 + x.abs()) ** -1.5],
    "mul.Tensor": [lambda x: x * x, lambda x: 1.5 * x, lambda x: (x > 0) * x, lambda x: x * 1.000001],
    "div.Tensor": [lambda x: x / (1 + x.abs()), lambda x: whole(x) / 3],
    "maximum.default": [lambda x: torch.maximum(x, -x), lambda x: torch.maximum(x > 0, x > 1)],
    "minimum.default": [lambda x: torch.minimum(x, -x), lambda x: torch.minimum(x > 0, x > 1)],
    "add.Tensor": [
        lambda x: x + 1e-9,
        lambda x: torch.add(x, x.exp(), alpha=2),
        lambda x: x + BIAS.new_ones(D).double(),
    ],
    "sub.Tensor": [lambda x: x - 0.1, lambda x: torch.sub(x, x.exp(), alpha=2)],
    "rsub.Scalar": [lambda x: 1 - x, lambda x: torch.rsub(x, 1, alpha=2)],
    "rsub.Tensor": [lambda x: torch.rsub(x, x.exp())],
    "addcmul.default": [lambda x: torch.addcmul(x[..., :1], x, x), lambda x: torch.addcmul(x, x, x, value=0.5)],
    "remainder.Scalar": [lambda x: whole(x) % 3],
    "remainder.Tensor": [lambda x: whole(x) % torch.tensor([3, -3, 2, 5])],
    "div.Tensor_mode": [lambda x: whole(x).div(torch.tensor([3, -3, 2, 5]), rounding_mode="floor")],
    "where.self": [lambda x: torch.where(x > 0, x, x.exp()), lambda x: torch.where(x > 0, x.double(), 0.0)],
    "masked_fill.Scalar": [lambda x: x.masked_fill(x > 0, -torch.inf)],
    "masked_fill.Tensor": [lambda x: x.masked_fill(x > 0, torch.tensor(3.0))],
    "full_like.default": [lambda x: torch.full_like(x, 2.5), lambda x: torch.full_like(x, 2.5).sum(-1) * x[..., 0]],
    "ones_like.default": [lambda x: torch.cat([x, torch.ones_like(x)], -1)],
    "zeros_like.default": [lambda x: torch.zeros_like(x)[:, 0]],
    "sum.dim_IntList": [lambda x: x.sum(-1), lambda x: x.sum((0, 2), keepdim=True), lambda x: (x > 0).sum(1)],
    "sum.default": [lambda x: x.sum()],
    "mean.dim": [lambda x: x.mean(1), lambda x: x.double().mean(-1, keepdim=True)],
    "mean.default": [lambda x: x.mean()],
    "amax.default": [lambda x: x.amax(-1), lambda x: x.amax((1, 2), keepdim=True)],
    "amin.default": [lambda x: x.amin(0)],
    "argmax.default": [lambda x: x.argmax(-1), lambda x: x.argmax(1, keepdim=True)],
    "topk.default": [
        lambda x: torch.cat(x.topk(2), -1),
        lambda x: x.double().topk(1, dim=1, largest=False)[0],
        lambda x: x.topk(3, dim=-1)[1],
    ],
    "cumsum.default": [lambda x: x.cumsum(-1), lambda x: whole(x).cumsum(1)],
    "logsumexp.default": [lambda x: x.logsumexp(-1), lambda x: (800 * x).logsumexp(1, keepdim=True)],
    "_softmax.default": [lambda x: x.softmax(-1), lambda x: x.double().softmax(0)],
    "_log_softmax.default": [lambda x: x.log_softmax(1), lambda x: x.double().log_softmax(0)],
    "native_layer_norm.default": [
        lambda x: functional.layer_norm(x, (D,)),
        lambda x: functional.layer_norm(x, (D,), torch.arange(4.0), torch.ones(4), eps=1e-3),
    ],
    "mm.default": [lambda x: x[:, 0] @ WEIGHT, lambda x: x @ WEIGHT],
    "bmm.default": [lambda x: x @ x.transpose(1, 2), lambda x: x[:, :1].transpose(0, 1) @ WEIGHT.expand(3, D, 3)],
    "addmm.default": [
        lambda x: functional.linear(x[:, 0], WEIGHT.T, BIAS),
        lambda x: torch.addmm(BIAS, x[:, 0], WEIGHT, beta=2),
    ],
    "baddbmm.default": [lambda x: torch.baddbmm(BIAS, x, WEIGHT.expand(len(x), D, 3))],
    "convolution.default": [
        lambda x: functional.conv2d(image(x), PLANES, torch.ones(2), stride=2, padding=1),
        lambda x: functional.conv_transpose2d(
            image(x).expand(-1, 2, 2, 2), PLANES, stride=2, padding=1, output_padding=1
        ),
    ],
    "replication_pad2d.default": [lambda x: functional.pad(image(x), (1, 2, 0, 1), mode="replicate")],
    "view.default": [
        lambda x: x.flatten(0, 1),
        lambda x: x.flatten(0, 1).unflatten(0, x.shape[:2]),
        lambda x: x.flatten(),
    ],
    "_unsafe_view.default": [lambda x: aten._unsafe_view(x, [-1, D])],
    "unsqueeze.default": [lambda x: x[:, None], lambda x: x.unsqueeze(-1)],
    "squeeze.dim": [lambda x: x[:, :, :1].squeeze(-1)],
    "squeeze.dims": [lambda x: x[:, :1, :1].squeeze((1, 2))],
    "expand.default": [lambda x: x[:, None].expand(-1, 3, -1, -1), lambda x: x[..., :1].expand(x.shape).sum(-1)],
    "permute.default": [lambda x: x.permute(2, 0, 1)],
    "transpose.int": [lambda x: x.transpose(0, -1)],
    "t.default": [lambda x: x[:, 0].t()],
    "select.int": [lambda x: x[:, 0], lambda x: x[..., -1]],
    "unbind.int": [lambda x: torch.stack(x.unbind(-1)[::2])],
    "slice.Tensor": [lambda x: x[..., 1:3], lambda x: x[..., :-1], lambda x: x[..., ::2]],
    "split.Tensor": [lambda x: x.split(3, -1)[1], lambda x: x.split(D, -1)[0] + 1],
    "split_with_sizes.default": [lambda x: torch.cat(x.split([1, 3], -1)[::-1], -1)],
    "cat.default": [lambda x: torch.cat([x, x.double()], 1)],
    "stack.default": [lambda x: torch.stack([x, x.exp()], -1)],
    "gather.default": [lambda x: x.gather(-1, whole(x).abs().clamp(max=3))],
    "index_select.default": [lambda x: x.index_select(-1, INDEX), lambda x: x[:, 0].index_select(1, INDEX)],
    "index.Tensor": [lambda x: x[..., INDEX], lambda x: x[..., MASK], lambda x: torch.arange(9.0)[whole(x).abs()]],
    "bitwise_and.Tensor": [lambda x: (x > 0) & (x < 1)],
    "bitwise_or.Tensor": [lambda x: (x < 0) | (x > 1)],
    "bitwise_xor.Tensor": [lambda x: (x > 0) ^ (x > 1)],
    "logical_and.default": [lambda x: torch.logical_and(x > 0, x > 1)],
    "logical_or.default": [lambda x: torch.logical_or(x > 0, x > 1)],
    **{
        f"{name}.{form}": [
            lambda x, name=name, form=form: getattr(torch, name)(
                whole(x), 2 if form == "Scalar" else x.double().round()
            ),
            lambda x, name=name, form=form: getattr(torch, name)(x, 0.1 if form == "Scalar" else -x),
        ]
        for name in ("eq", "ne", "gt", "ge", "lt", "le")
        for form in ("Tensor", "Scalar")
    },
}


class Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.function(x),)


def rows(n: int, k: int, seed: int = 0) -> Tensor:
    return torch.randn(n, k, D, generator=torch.Generator().manual_seed(seed))


def used(function: Callable[[Tensor], Any]) -> set[str]:
    captured = capture(Apply(function), {"x": rows(3, 2)}, {"x": {0: "N", 1: "K"}})
    return {operation.name for operation in captured.operations}


@pytest.mark.parametrize("name", CASES)
def test_an_operator_gives_the_same_in_onnx_as_in_torch(name: str) -> None:
    for function in CASES[name]:
        assert f"aten.{name}" in used(function)
        session = exported_session(Apply(function), {"x": rows(3, 2)}, ("y",), {"x": {0: "N", 1: "K"}})
        for n, k in ((1, 1), (8, 3), (7, 5)):
            x = rows(n, k, seed=1)
            want = function(x).numpy()
            (got,) = session.run(None, {"x": x.numpy()})
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_every_operator_of_the_table_has_a_case() -> None:
    assert {f"aten.{name}" for name in CASES} == set(TABLE)


def test_small_summands_and_factors_near_one_are_not_optimised_away() -> None:
    session = exported_session(
        Apply(lambda x: (x + 1e-9) * 1.0000001), {"x": rows(3, 2)}, ("y",), {"x": {0: "N", 1: "K"}}
    )
    x = torch.zeros(2, 1, D)
    np.testing.assert_array_equal(session.run(None, {"x": x.numpy()})[0], ((x + 1e-9) * 1.0000001).numpy())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: torch.special.i0(x), r"operator aten\.i0\.default is not supported"),
        (lambda x: x[: len(x) // 2], r"a size that is not a multiple of N, K or N K: 2 and 5"),
        (lambda x: x + torch.arange(len(x)).view(-1, 1, 1), "a constant that depends on the number of rows or draws"),
        (lambda x: x + len(x) * 0.5, "an argument that depends on the number of rows or draws"),
        (lambda x: x.exp() if len(x) == RUNS[0][0] else x.log(), "the sequence of operations depends on"),
        (lambda x: [y := x.exp(), y.view(-1).mul_(2), y][-1], "overwrites a tensor that shares its memory"),
    ],
    ids=["operator", "size", "constant", "number", "branch", "in place"],
)
def test_operations_that_onnx_cannot_express_stop_the_export(function: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        exported_session(Apply(function), {"x": rows(3, 2)}, ("y",), {"x": {0: "N", 1: "K"}})


def test_a_graph_names_its_free_axes_and_contains_no_path() -> None:
    one = case("gaussian, scale from the network")
    graph = export_graphs(one.vae, one.x, ["elbo"])["elbo"]
    assert [value.shape for value in graph.inputs] == [("N", 5), ("N", "K", 3)]
    assert {value.shape for value in graph.outputs} == {("N",)}
    assert str(Path(lowering.__file__).parents[1]).encode() not in graph.data


def test_equal_nodes_are_written_once() -> None:
    twice = Apply(lambda x: x.exp() + x.exp())
    captured = capture(twice, {"x": rows(3, 2)}, {"x": {0: "N", 1: "K"}})
    builder, (result,) = lowering.lower(captured, {"N": ("x", 0), "K": ("x", 1)})
    kinds = [node.op_type for node in builder.model(["x"], {"y": result}).graph.node]
    assert kinds == ["Exp", "Add", "Identity"]


def test_a_capture_does_not_keep_intermediate_results() -> None:
    """Those of a kernel prior, rows x exemplars x columns, take much memory."""
    alive = []

    class Steps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            first = x + 1.0
            seen = ref(first)
            second = first * 2.0
            del first
            alive.append(seen() is not None)
            return second.exp()

    captured = capture(Steps(), {"x": torch.ones(3, D)}, {"x": {0: "N"}})
    assert alive == [False, False]
    assert [operation.name for operation in captured.operations] == [
        "aten.add.Tensor",
        "aten.mul.Tensor",
        "aten.exp.default",
    ]
