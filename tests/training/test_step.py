"""One optimiser step equals a step with torch's own functions: with members, accumulated, in other precisions."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tests.training.models import Case, case, of_member, standard_eps
from vaekit_training.loop.adam import Adam
from vaekit_training.loop.distributed import World
from vaekit_training.loop.flat import Flat
from vaekit_training.loop.objective import Objective
from vaekit_training.loop.step import Step
from vaekit_training.network_rows import network_rows
from vaekit_training.networks import decayed, mlp
from vaekit_training.networks.layers import MemberLinear

GAUSSIAN = "gaussian, scale from the network"


def steps(one: Case, count: int = 5, rate: float = 1e-2) -> Step:
    """Take this number of steps, each on all rows."""
    step = Step(one.vae, one.config, World())
    batch = network_rows(one.vae, one.rows.x)
    for number in range(1, count + 1):
        eps = standard_eps(one.config.objective.num_samples, one.latent_dim, len(batch), number)
        step(batch, eps, 0.5, rate, number)
    step.flat.release()
    return step


def weights(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_a_step_updates_the_weights_as_torchs_own_optimiser_does() -> None:
    settings = ["training.clip_norm=0.8", "training.weight_decay=0.1"]
    ours, theirs = case(GAUSSIAN, *settings), case(GAUSSIAN, *settings)
    steps(ours)
    vae, batch = theirs.vae, network_rows(theirs.vae, theirs.rows.x)
    matrices = [p for p in vae.parameters() if p.ndim > 1]
    others = [p for p in vae.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    objective = Objective(vae, theirs.config.objective)
    norms = []
    for number in range(1, 6):
        optimizer.zero_grad()
        objective(batch, standard_eps(1, 3, 40, number), 0.5, 1 / 40).backward()
        norms.append(float(nn.utils.clip_grad_norm_(vae.parameters(), 0.8)))
        optimizer.step()
    assert min(norms) < 0.8 < max(norms)  # some gradients are shortened, some are not
    assert torch.allclose(weights(ours.vae), weights(vae), atol=1e-6)


def test_parameters_are_views_and_keep_their_values() -> None:
    network = mlp([3, 5, 2], "relu")
    before, x = weights(network), torch.ones(1, 3)
    y = network(x).detach()
    flat = Flat(network, decayed(network))
    assert torch.equal(weights(network), before)
    flat.weights.data.mul_(2.0)
    assert torch.equal(weights(network), 2 * before)
    flat.weights.data.mul_(0.5)
    assert torch.equal(network(x).detach(), y)
    flat.release()
    flat.weights.data.zero_()
    assert torch.equal(weights(network), before)
    assert all(p.is_contiguous() and p.grad is None for p in network.parameters())


def test_weight_decay_applies_to_matrices_only() -> None:
    network = mlp([3, 5, 2], "relu")
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    Flat(network, decayed(network)).decay(0.25)
    for name, p in network.named_parameters():
        assert torch.allclose(p.detach(), before[name] * (0.75 if p.ndim > 1 else 1.0))


def test_the_gradient_of_each_member_is_clipped_on_its_own() -> None:
    layer = MemberLinear(2, 3, 4)
    flat = Flat(layer, decayed(layer), members=2)
    flat.zero_grad()
    scale = torch.tensor([1.0, 100.0])
    (layer(torch.ones(1, 5, 3)).sum((1, 2)) * scale).sum().backward()
    flat.gather()
    norm = flat.norm()
    assert norm.shape == (2, 1)
    assert float(norm[1]) == pytest.approx(100 * float(norm[0]), rel=1e-5)
    longest = 2 * float(norm[0])
    assert flat.clip(norm, longest) is None
    assert flat.norm().flatten().tolist() == pytest.approx([float(norm[0]), longest], rel=1e-5)


def test_a_step_updates_each_member_as_it_would_a_single_vae() -> None:
    many = case("members", "network.members=3", "training.clip_norm=1")
    alone = [case(GAUSSIAN, "training.clip_norm=1") for _ in range(3)]
    for m, one in enumerate(alone):
        with torch.no_grad():
            for mine, theirs in zip(one.vae.parameters(), many.vae.parameters(), strict=True):
                mine.copy_(of_member(theirs, m))
    steps(many)
    for m, one in enumerate(alone):
        steps(one)
        for mine, theirs in zip(one.vae.parameters(), many.vae.parameters(), strict=True):
            assert torch.allclose(mine, of_member(theirs, m), atol=1e-5)


@pytest.mark.parametrize(
    "settings", [[], ["objective.free_bits=0.3"], ['objective.name="iwae"', "objective.num_samples=3"]]
)
def test_an_accumulated_step_equals_a_step_in_one_part(settings: list[str]) -> None:
    whole, parts = (case(GAUSSIAN, *settings, "training.batch_size=40", f"training.accumulate={n}") for n in (1, 4))
    start = weights(whole.vae)
    steps(whole)
    steps(parts)
    assert torch.allclose(weights(whole.vae), weights(parts.vae), atol=2e-5)
    assert float((weights(whole.vae) - start).abs().max()) > 1e-2


def test_the_running_mean_averages_the_weights() -> None:
    one = case(GAUSSIAN, "training.ema=0.5")
    step = Step(one.vae, one.config, World())
    batch, expected = network_rows(one.vae, one.rows.x), step.flat.weights.detach().clone()
    for number in range(1, 12):
        step(batch, standard_eps(1, 3, 40, number), 1.0, 1e-2, number)
        keep = min(0.5, (1 + number) / (10 + number))
        expected = keep * expected + (1 - keep) * step.flat.weights.detach()
    now = step.flat.weights.detach().clone()
    step.swap_weights()
    assert torch.allclose(step.flat.weights.detach(), expected, atol=1e-6)
    step.swap_weights()
    assert torch.equal(step.flat.weights.detach(), now)


@pytest.mark.parametrize(("precision", "off"), [("bf16", 0.05), ("fp16", 0.02)])
def test_a_step_in_lower_precision_is_close_to_one_in_float32(precision: str, off: float) -> None:
    full, half = case(GAUSSIAN), case(GAUSSIAN, f'training.precision="{precision}"')
    start = weights(full.vae)
    steps(full, 20, 1e-3)
    steps(half, 20, 1e-3)
    moved = weights(full.vae) - start
    difference = float((weights(half.vae) - weights(full.vae)).norm() / moved.norm())
    assert 0 < difference < 10 * off
    assert half.vae.encoder(torch.zeros(1, half.vae.features.width)).dtype == torch.float32


def test_fp16_skips_a_step_that_overflows_and_lowers_its_loss_scale() -> None:
    one = case(GAUSSIAN, 'training.precision="fp16"')
    step = Step(one.vae, one.config, World())
    state = step.state_dict()
    state["scaler"]["scale"] = 2.0**60
    step.load_state_dict(state)
    before = step.flat.weights.detach().clone()
    step(network_rows(one.vae, one.rows.x), standard_eps(1, 3, 40), 1.0, 1e-2, 1)
    decay = 1e-2 * one.config.training.weight_decay
    assert torch.allclose(step.flat.weights.detach(), before, atol=2 * decay * float(before.abs().max()))
    assert step.state_dict()["scaler"]["scale"] == 2.0**59


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler reads .grad of non-leaf tensors
def test_a_compiled_step_equals_a_plain_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only tracing is tested; to compile the gradient and generate machine code takes minutes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    plain, compiled = case(GAUSSIAN), case(GAUSSIAN, "training.compile=true")
    steps(plain)
    steps(compiled)
    assert torch.allclose(weights(plain.vae), weights(compiled.vae), atol=1e-5)


def test_restoring_its_state_repeats_a_step_exactly() -> None:
    one = case(GAUSSIAN, "training.ema=0.9")
    step = Step(one.vae, one.config, World())
    batch = network_rows(one.vae, one.rows.x)
    step(batch, standard_eps(1, 3, 40, 1), 1.0, 1e-2, 1)
    state = step.state_dict()
    after = []
    for _ in range(2):
        for number in (2, 3):
            step(batch, standard_eps(1, 3, 40, number), 1.0, 1e-2, number)
        after.append(step.state_dict())
        step.load_state_dict(state)
    for name in ("weights", "mean"):
        assert torch.equal(after[0][name], after[1][name])
        assert not torch.equal(after[0][name], state[name])
    assert all(torch.equal(after[0]["moments"][k], after[1]["moments"][k]) for k in ("m", "v", "step"))


def test_cuda_graphs_are_refused_on_a_cpu() -> None:
    one = case(GAUSSIAN, "training.cuda_graphs=true")
    with pytest.raises(ValueError, match="cuda_graphs: needs a single CUDA device, not device cpu"):
        Step(one.vae, one.config, World())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records a CUDA graph")
def test_a_replayed_cuda_graph_equals_a_plain_step() -> None:
    after = []
    for graphs in ("false", "true"):
        one = case(GAUSSIAN, f"training.cuda_graphs={graphs}")
        vae, batch = one.vae.cuda(), network_rows(one.vae, one.rows.x).to("cuda")
        step = Step(vae, one.config, World())
        for number in range(1, 6):
            step(batch, standard_eps(1, 3, 40, number).cuda(), 0.1 * number, 1e-2 / number, number)
        after.append(step.flat.weights.detach().cpu())
    assert torch.allclose(after[0], after[1], atol=1e-6)


def test_adam_divides_the_gradient_by_the_given_divisor() -> None:
    one, two = (nn.Parameter(torch.ones(4)) for _ in range(2))
    one.grad, two.grad = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([2.0, 4.0, 6.0, 8.0])
    first, second = Adam(one, 0.1), Adam(two, 0.1)
    first.step()
    second.step(torch.tensor(2.0))
    assert torch.equal(first.moments["v"], second.moments["v"])
    assert torch.equal(one.detach(), two.detach())
    assert float(one.detach().max()) == pytest.approx(0.9)
