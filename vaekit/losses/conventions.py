"""The VAE losses of known projects, pages and questions, by name.

They were read from the projects' sources and pages, which `source` names. Each is the loss of a row, averaged over the
batch unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from vaekit.errors import InputError
from vaekit.losses.foreign import ForeignLoss

_FIELDS = {f.name for f in fields(ForeignLoss)}


@dataclass(frozen=True)
class Convention:
    """A known loss, with its variants."""

    title: str
    source: str
    variants: Mapping[str, Mapping[str, Any]]  # fields of ForeignLoss
    remark: str = ""
    example: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))  # default sizes

    def losses(self, given: Mapping[str, Any]) -> dict[str, ForeignLoss]:
        """Each variant, with the given fields in place of its own.

        Raises:
            InputError: an invalid field, or a required field that is neither known nor given.
        """
        return {name: _loss({**self.example, **variant}, given) for name, variant in self.variants.items()}


def _loss(own: Mapping[str, Any], given: Mapping[str, Any]) -> ForeignLoss:
    """A loss with the given fields in place of its own; half-squared is squared with half the weight."""
    merged = {**own, **given}
    if merged.get("error", "gaussian") != "gaussian" and "scale" not in given:
        merged.pop("scale", None)  # it belonged to the replaced error
    if merged.get("error") == "half-squared":
        merged |= {"error": "squared", "weight": 0.5 * merged.get("weight", 1.0)}
    return ForeignLoss(**merged)


def losses_of(name: str | None, given: Mapping[str, Any], warmed_up: float = 1.0) -> dict[str, ForeignLoss]:
    """The losses of a convention by variant; without a name, the loss of the given fields.

    Args:
        name: one of CONVENTIONS, or None.
        given: fields of ForeignLoss that replace the convention's own; `error` may also be "half-squared", which is
            squared with half the weight.
        warmed_up: the share of a linear KL warm-up that training completed; the KL weight is multiplied by it.

    Raises:
        InputError: an unknown name or field, or an invalid value.
    """
    if unknown := set(given) - _FIELDS:
        raise InputError(f"{min(unknown)}: a loss has no such field")
    if not 0 <= warmed_up <= 1:
        raise InputError(f"warmed_up: {warmed_up!r}, expected a share between 0 and 1")
    if name is None:
        found = {"as given": _loss({}, given)}
    elif name in CONVENTIONS:
        found = CONVENTIONS[name].losses(given)
    else:
        raise InputError(f"loss: {name!r} is not known; known: {', '.join(CONVENTIONS)}")
    return {variant: replace(loss, kl_weight=loss.kl_weight * warmed_up) for variant, loss in found.items()}


_MNIST = {"dim": 784}
_MEAN = {"over_dims": "mean"}
_MIXTURE = (("name", "discretized_logistic"), ("components", 10))
_DYNAMIC = (("name", "bernoulli"), ("binarize", "dynamic"))
_SHARED = (("name", "gaussian"), ("scale", "shared"))
_MIXED = (("name", "mixed"), ("count", "discretized_logistic"))

CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        "keras-blog": Convention(
            "mean BCE + mean KL over latents, grey MNIST",
            "blog.keras.io, Building Autoencoders in Keras; keras-team/keras issues 3169 and 6015",
            {"blog": {"error": "bce", "grey": True, **_MEAN, "kl_over": "mean"}},
            "compared with BCE x D + KL, its weight of the KL is D / Z times as large: 392 times at D = 784, Z = 2. It "
            "also draws z with exp(z_log_sigma) as standard deviation, but uses it as variance in the KL",
            {**_MNIST, "latent_dim": 2},
        ),
        "keras-example": Convention(
            "BCE or MSE x D + KL, both summed",
            "keras-team/keras examples/variational_autoencoder.py; keras-io examples/generative/vae.py",
            {
                "BCE x D": {"error": "bce", "grey": True},
                "MSE x D": {"units": "unit"},
                "2016-07: mean BCE + summed KL": {"error": "bce", "grey": True, **_MEAN},
                "2020-05: BCE x D + mean KL over latents": {"error": "bce", "grey": True, "kl_over": "mean"},
            },
            "the factor original_dim came back with pull request 3383, because the latents had collapsed without it",
            {**_MNIST, "latent_dim": 2},
        ),
        "pythae": Convention(
            "0.5 SSE + KL", "pythae models/vae/vae_model.py", {"mse": {"weight": 0.5, "units": "unit"}}, example=_MNIST
        ),
        "pythae-bce": Convention(
            "BCE + KL",
            "pythae models/vae/vae_model.py",
            {"bce": {"error": "bce"}},
            "it is computed on probabilities, and the logarithm is cut at -100: a probability that float32 rounds to 1 "
            "costs 100 nats, where its logit would cost 17.5",
            _MNIST,
        ),
        "pyod": Convention(
            "SSE / D + clamp(KL - capacity)",
            "pyod >= 2.0.1, models/vae.py",
            {
                "defaults (capacity = 0), and any KL above its capacity": {**_MEAN, "kl_weight": 0.0},
                "capacity = inf": _MEAN,
            },
            "with its defaults the clamp makes both value and gradient of the KL 0, so beta has no effect. With "
            "capacity = inf, beta = 2 / D corresponds to sigma = 1",
        ),
        "pyod-1": Convention(
            "SSE + KL",
            "pyod <= 1.1.3, models/vae.py (Keras)",
            {"gamma = 1, capacity = 0": {}},
        ),
        "pytorch-vae": Convention(
            "SSE / D + 0.00025 KL in training, + KL in validation",
            "AntixK/PyTorch-VAE models/vanilla_vae.py, configs/vae.yaml, experiment.py",
            {
                "training": {**_MEAN, "kl_weight": 0.00025, "units": "unit"},
                "validation": {**_MEAN, "units": "unit"},
            },
            "training and validation have different objectives: the validation loss is not what training minimises",
            {"dim": 64 * 64 * 3},
        ),
        "alibi-detect": Convention(
            "-log N(x; m, 0.05^2) + mean KL over latents",
            "SeldonIO/alibi-detect models/tensorflow/losses.py, autoencoder.py; issue 90",
            {"sim = 0.05, beta = 1": {"error": "gaussian", "scale": 0.05, "kl_over": "mean", "units": "unit"}},
            "the effective beta is 1 / Z of the parameter beta",
            {"dim": 32 * 32 * 3, "latent_dim": 1024},
        ),
        "scvi": Convention(
            "-log p(x|z) + w KL, w = min(1, epoch / 400)",
            "scverse/scvi-tools module/_vae.py; issue 1569",
            {
                "after the warm-up": {"error": "density", "ours": _MIXED},
                "100,000 cells, defaults: it ends at epoch 79": {
                    "error": "density",
                    "ours": _MIXED,
                    "kl_weight": 79 / 400,
                },
            },
            "--warmed-up is the share of the 400 epochs that a run completed. Its likelihood for counts is a negative "
            "binomial, with or without zero inflation; vaekit's is a different one, so only beta carries over",
        ),
        "sigma-vae": Convention(
            "mean MSE + KL summed over the batch, and the three calibrated ones",
            "orybkin/sigma-vae-pytorch model.py",
            {
                "mse_vae": {**_MEAN, "kl_over_rows": "sum", "units": "unit"},
                "gaussian_vae": {"error": "gaussian", "scale": 1.0, "over_rows": "sum", "kl_over_rows": "sum"},
                "sigma_vae": {"error": "density", "ours": _SHARED, "over_rows": "sum", "kl_over_rows": "sum"},
            },
            "mse_vae changes with the batch size. optimal_sigma_vae takes its scale from the batch that it scores, so "
            "it is not a density, and its ELBO is too high",
            {"dim": 28 * 28, "batch_size": 128},
        ),
        "vdvae": Convention(
            "(-log p(x|z) + KL) / D",
            "openai/vdvae vae.py, vae_helpers.py",
            {"per dimension": {"error": "density", "ours": _MIXTURE, **_MEAN, "kl_over": "dims"}},
            "nats per dimension; / log 2 gives bits per dimension. Its latents are hierarchical",
            {"dim": 32 * 32 * 3},
        ),
        "pyro": Convention(
            "BCE + KL, grey MNIST, summed over rows",
            "pyro-ppl/pyro examples/vae/vae.py; issue 2519",
            {"Trace_ELBO": {"error": "bce", "grey": True, "over_rows": "sum", "kl_over_rows": "sum"}},
            "the KL is sampled; its validate_args = False lets grey values through",
            _MNIST,
        ),
        "numpyro": Convention(
            "BCE + KL, binarised again at every step, summed over rows",
            "pyro-ppl/numpyro examples/vae.py",
            {"Trace_ELBO": {"error": "bce", "ours": _DYNAMIC, "over_rows": "sum", "kl_over_rows": "sum"}},
            example=_MNIST,
        ),
        "tfp": Convention(
            "-log p(x|z) + KL from a regulariser, binarised at random",
            "tensorflow/probability Probabilistic_Layers_VAE.ipynb; issue 1215",
            {
                "as meant": {"error": "bce", "ours": _DYNAMIC},
                "as users measured it": {"error": "bce", "ours": _DYNAMIC, "kl_weight": 2.0},
            },
            "the issue says that the regulariser counts the KL twice; it was open when last checked",
            _MNIST,
        ),
        "pytorch-example": Convention(
            "BCE + KL, grey MNIST, both summed over the batch",
            "pytorch/examples vae/main.py; issue 399",
            {"sum": {"error": "bce", "grey": True, "over_rows": "sum", "kl_over_rows": "sum"}},
            example={**_MNIST, "batch_size": 128},
        ),
        "q1": Convention(
            "data that are not in [0, 1]: which loss?",
            "stats.stackexchange.com/questions/393841",
            {
                "a density of the rows as they are": {
                    "error": "density",
                    "ours": (("name", "gaussian"), ("scale", "network")),
                }
            },
            "BCE needs data in [0, 1]; a gaussian with mean and scale from the network does not. The KL compares "
            "distributions of latents, and does not depend on the range of x",
        ),
        "q2": Convention(
            "mean MSE + 1e-4 KL",
            "stats.stackexchange.com/questions/393841",
            {"mean SE over the columns of a row": {**_MEAN, "kl_weight": 1e-4}},
            "the weight is a scale in disguise, sigma^2 = 1e-4 D / 2, which changes with the number of columns",
        ),
        "q3": Convention(
            "z-scored RGB 32 x 32, tanh output, mean of (SE + KL)",
            "stats.stackexchange.com/questions/625388",
            {"mean over pixels and latents": {**_MEAN, "kl_over": "mean"}},
            "rescaling x by c multiplies SSE by c^2 and leaves the KL. This changes the balance of this loss, but not "
            "of a likelihood, whose sigma rescales too. A tanh output cannot reach z-scores beyond 1: set "
            'network.output = "linear"',
            {"dim": 32 * 32 * 3, "latent_dim": 128},
        ),
        "q4": Convention(
            "Keras multiplies by original_dim, the blog does not",
            "keras-team/keras issue 6015, pull request 3383",
            {
                "BCE x 784 + KL": {"error": "bce", "grey": True},
                "MSE x 784 + KL": {"units": "unit"},
                "(MSE x 784 + KL) / 784": {"units": "unit", **_MEAN, "kl_over": "dims"},
                "MSE + KL": {"units": "unit", **_MEAN},
                "blog: mean BCE + mean KL": {"error": "bce", "grey": True, **_MEAN, "kl_over": "mean"},
            },
            "dividing both terms by D changes only the factor; dividing one of them changes sigma. vaekit sums both "
            "over dimensions and averages over rows; a vector of losses by row has the same mean",
            {**_MNIST, "latent_dim": 2},
        ),
    }
)
