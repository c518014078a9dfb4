"""Networks: image sizes, members, initialisation, cost, and export."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.graphs import exported_session
from tests.training.models import of_member
from vaekit.errors import ConfigError
from vaekit_training.networks import MLP, Head, cost, decayed, decoder, encoder
from vaekit_training.networks.layers import MemberLinear
from vaekit_training.networks.make import Decoder, Encoder
from vaekit_training.sections import NetworkConfig

Z = 3
SMALL: dict[str, Any] = {"channels": (4, 5), "hidden": (7, 7), "blocks": 1}
SIZES = [(8, 8, 1), (9, 8, 3), (13, 22, 2), (31, 33, 1), (8, 256, 1)]


def make(shape: Any, parameters: int = 2, **settings: Any) -> tuple[Encoder, Decoder]:
    """An encoder and a decoder for rows of this shape, with weights from a seed."""
    config = NetworkConfig(**{**SMALL, **settings})
    dim = shape if isinstance(shape, int) else math.prod(shape)
    torch.manual_seed(0)
    return encoder(config, shape, Z), decoder(config, Z, shape, parameters * dim)


def stirred(network: nn.Module) -> nn.Module:
    """The network with random changes of all parameters, norms and biases included."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return network.eval()


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("name", ["mlp", "conv", "resnet"])
def test_networks_accept_and_return_images_of_any_size(name: str, shape: tuple[int, int, int]) -> None:
    encode, decode = make(shape, name=name)
    dim = math.prod(shape)
    assert encode(torch.rand(2, dim)).shape == (2, 2 * Z)
    assert decode(torch.randn(2, Z)).shape == (2, 2 * dim)
    assert decode(torch.randn(2, 4, Z)).shape == (2, 4, 2 * dim)
    assert decode.inputs == Z
    assert decode.head.width == decode.outputs == 2 * dim


@pytest.mark.parametrize("name", ["conv", "resnet"])
def test_flattened_rows_are_read_in_the_order_height_width_channel(name: str) -> None:
    encode, _ = make((9, 8, 3), name=name)
    image = torch.rand(2, 9, 8, 3)
    by_hand = encode.linear(encode.stages(image.permute(0, 3, 1, 2)).flatten(1))  # type: ignore[operator,union-attr]  # of a ConvEncoder
    torch.testing.assert_close(encode(image.flatten(1)), by_hand)


@pytest.mark.parametrize("name", ["conv", "resnet"])
def test_the_first_layer_can_absorb_any_affine_map_of_the_channels_also_at_the_edges(name: str) -> None:
    """The layer with weights w / a and bias b - sum w c / a gives for a x + c what w and b give for x."""
    encode, _ = (network.double() for network in make((9, 8, 3), name=name))
    x = torch.rand(2, 9, 8, 3, dtype=torch.float64)
    a, c = torch.tensor([127.5, -3.0, 0.01]).double(), torch.tensor([-1.0, 100.0, 0.5]).double()
    before = encode(x.flatten(1))
    first = encode.stages[0]  # type: ignore[union-attr,index]  # of a ConvEncoder
    with torch.no_grad():
        first.weight.div_(a[:, None, None])
        first.bias.sub_((first.weight * c[:, None, None]).sum((1, 2, 3)))
    torch.testing.assert_close(encode((a * x + c).flatten(1)), before)


@pytest.mark.parametrize("name", ["conv", "resnet"])
def test_outputs_are_ordered_by_parameter_height_width_channel(name: str) -> None:
    shape, seen = (9, 8, 3), []
    _, decode = make(shape, name=name)
    decode.head.layer.register_forward_hook(lambda _layer, _x, out: seen.append(out))
    h = decode(torch.randn(1, Z)).view(2, *shape)
    planes = seen[0][0]  # (P C, H, W), before it is cut
    for p, y, x, c in [(0, 0, 0, 0), (0, 8, 7, 2), (1, 3, 5, 1)]:
        assert h[p, y, x, c] == planes[3 * p + c, y, x]


@pytest.mark.parametrize("name", ["mlp", "conv", "resnet"])
def test_the_output_for_a_row_does_not_depend_on_its_batch(name: str) -> None:
    encode, decode = make((9, 8, 3), name=name, layer_norm=True)
    x, z = torch.randn(6, 9 * 8 * 3), torch.randn(6, 2, Z)
    torch.testing.assert_close(encode(x)[3:4], encode(x[3:4]))
    torch.testing.assert_close(decode(z)[3:4, 1:], decode(z[3:4, 1:]))


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_members_give_the_outputs_of_single_networks(residual: bool, layer_norm: bool) -> None:
    members, rows = 4, 5
    encode, decode = make(6, members=members, residual=residual, layer_norm=layer_norm)
    x, z = torch.randn(rows, 6), torch.randn(members, rows, 3, Z)
    for network, out in ((stirred(encode), encode(x)), (stirred(decode), decode(z))):
        for m in range(members):
            sizes = [network.inputs, 7, 7, network.outputs]
            alone = MLP(sizes, "leaky_relu", residual=residual, layer_norm=layer_norm)  # type: ignore[arg-type]  # ints
            alone.load_state_dict({name: of_member(a, m) for name, a in network.state_dict().items()})
            torch.testing.assert_close(out[m], alone(x if network is encode else z[m]))


def test_members_share_latents_without_a_member_axis() -> None:
    _, decode = make(6, members=4)
    z = torch.randn(5, 3, Z)
    own = z.expand(4, -1, -1, -1)
    torch.testing.assert_close(decode(z), decode(own))
    torch.testing.assert_close(decode(z[:, 0]), decode(own)[:, :, 0])


def test_members_are_initialised_differently_and_each_like_a_linear_layer() -> None:
    torch.manual_seed(0)
    layer = MemberLinear(50, 16, 40)
    for p in (layer.weight.detach(), layer.bias.detach()):
        assert float(p.abs().max()) <= 0.25  # 1 / sqrt(16)
        assert float(p.std()) == pytest.approx(0.25 / 3**0.5, rel=0.05)
        assert len(torch.unique(p)) > 0.99 * p.numel()


def test_residual_adds_the_input_only_if_widths_are_equal() -> None:
    torch.manual_seed(0)
    network = MLP([6, 7, 7, 4], "tanh", residual=True)
    first, _, middle, last = network
    x = torch.randn(5, 6)
    h = torch.tanh(first(x))
    torch.testing.assert_close(network(x), last(h + torch.tanh(middle.layers[0](h))))  # type: ignore[index,union-attr]  # a Residual


def test_layer_norm_gives_hidden_units_mean_0_and_variance_1() -> None:
    torch.manual_seed(0)
    seen: list[Tensor] = []
    network = MLP([6, 50, 4], "relu", layer_norm=True)
    network[1].register_forward_hook(lambda _layer, _x, out: seen.append(out.clone()))
    network(100 * torch.randn(5, 6))
    torch.testing.assert_close(seen[0].mean(-1), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0].var(-1, correction=0), torch.ones(5), atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings", [{}, {"members": 3}, {"name": "conv"}, {"name": "resnet"}], ids=str)
def test_zero_rows_makes_outputs_constant_and_leaves_the_others(settings: dict[str, Any]) -> None:
    shape, dim = (8, 9, 2), 144
    _, decode = make(shape, parameters=3, **settings)
    z = torch.randn(4, 2, Z)
    before = decode(z)
    values = torch.rand(2).repeat(72)  # by channel, as pixels share their weights
    decode.head.zero_rows(slice(dim, 2 * dim), values)
    decode.head.zero_rows(slice(2 * dim, None), -1.5)
    after = decode(z)
    torch.testing.assert_close(after[..., :dim], before[..., :dim])
    torch.testing.assert_close(after[..., dim : 2 * dim], values.expand_as(after[..., :dim]))
    assert (after[..., 2 * dim :] == -1.5).all()
    decode.head.set_bias(slice(0, dim), 2.0)
    assert (decode(z)[..., :dim] != 2.0).any()


def test_pixels_that_share_a_bias_get_the_mean_of_their_values() -> None:
    _, decode = make((8, 8, 2), parameters=1, name="conv")
    values = torch.rand(8, 8, 2)
    decode.head.zero_rows(slice(0, 128), values.flatten())
    torch.testing.assert_close(decode(torch.randn(1, Z)).view(8, 8, 2), values.mean((0, 1)).expand(8, 8, 2))


def test_the_head_of_a_linear_layer_has_its_weights() -> None:
    layer = nn.Linear(4, 6)
    assert Head(layer).weight is layer.weight
    assert Head(layer).bias is layer.bias


@pytest.mark.parametrize("settings", [{}, {"members": 3}, {"name": "conv"}, {"name": "resnet"}], ids=str)
def test_multiply_adds_equal_those_that_torch_counts(settings: dict[str, Any]) -> None:
    for network in make((9, 8, 3), **settings):
        counted = cost(network)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, network.inputs))
        assert counted.flops == counter.get_total_flops()
        assert counted.parameters == sum(p.numel() for p in network.parameters())


def test_the_widest_layer_counts_the_values_of_all_members() -> None:
    encode, decode = make(6, members=3, hidden=(50, 7))
    assert (cost(encode).widest, cost(decode).widest) == (150, 150)
    _, decode = make((8, 8, 3), name="conv", channels=(2,))
    assert cost(decode).widest == 2 * 8 * 8 * 3


@pytest.mark.parametrize("settings", [{"members": 3, "layer_norm": True}, {"name": "resnet"}], ids=str)
def test_weight_decay_applies_to_matrices_and_kernels_only(settings: dict[str, Any]) -> None:
    encode, _ = make((8, 8, 1), **settings)
    wanted = {id(p) for p in decayed(encode)}
    named = {name for name, p in encode.named_parameters() if id(p) in wanted}
    norms = {"1.weight", "4.weight"} if "members" in settings else set()
    assert named == {name for name, _ in encode.named_parameters() if name.endswith("weight")} - norms


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({"name": "conv"}, 30, r"network\.name: 'conv' takes images of 8 to 256 .*, not rows of 30 columns"),
        ({"name": "resnet"}, (7, 40, 1), r"network\.name: 'resnet' takes images of 8 to 256 .*, not 7 x 40"),
        ({"name": "conv"}, (300, 40, 1), r"not 300 x 40"),
        (
            {"name": "conv", "channels": (2, 2, 2, 2)},
            (8, 40, 1),
            r"network\.channels: 4 stages.* 8 x 40: give at most 3",
        ),
    ],
)
def test_networks_that_do_not_fit_the_rows_are_refused(settings: dict[str, Any], shape: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        encoder(NetworkConfig(**settings), shape, Z)
    with pytest.raises(ConfigError, match=message):
        decoder(NetworkConfig(**settings), Z, shape, 2 * (shape if isinstance(shape, int) else math.prod(shape)))


def run(network: nn.Module, name: str, traced: Tensor, free: dict[int, str], inputs: Tensor) -> np.ndarray:
    """The exported network's output, for other numbers of rows and draws than at the capture."""
    session = exported_session(network, {name: traced}, ("out",), {name: free})
    return np.asarray(session.run(None, {name: inputs.numpy()})[0])


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"residual": True, "layer_norm": True, "activation": "gelu"}, 6),
        ({"members": 3, "residual": True, "layer_norm": True}, 6),
        ({"name": "conv", "activation": "silu"}, (9, 13, 2)),
        ({"name": "resnet"}, (8, 11, 3)),
    ],
    ids=str,
)
def test_networks_export_exactly(settings: dict[str, Any], shape: Any) -> None:
    encode, decode = (stirred(network) for network in make(shape, **settings))
    x = torch.randn(7, shape if isinstance(shape, int) else math.prod(shape))
    with torch.no_grad():
        np.testing.assert_allclose(run(encode, "x", x[:3], {0: "N"}, x), encode(x), rtol=1e-5, atol=1e-5)
        own = (3,) if "members" in settings else ()
        z = torch.randn(*own, 7, 5, Z)
        free = {len(own): "N", len(own) + 1: "K"}
        traced = z[..., :3, :2, :]
        np.testing.assert_allclose(run(decode, "z", traced, free, z), decode(z), rtol=1e-5, atol=1e-5)


def test_latents_that_members_share_export_exactly() -> None:
    _, decode = make(6, members=3)
    z = torch.randn(7, Z)
    with torch.no_grad():
        got = run(decode, "z", z[:2], {0: "N"}, z)
        np.testing.assert_allclose(got, decode(z), rtol=1e-5, atol=1e-5)
