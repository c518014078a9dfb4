"""The sentence on what a run of ours minimised, against what foreign losses are explained as."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from vaekit.bundle.manifest import Provenance
from vaekit.losses import ForeignLoss, explain, sentence, sentence_of
from vaekit.runtime import Model


def test_the_sentence_of_a_fixed_scale_gives_the_weight_that_others_write() -> None:
    text = sentence(likelihood="gaussian", scale=0.5, beta=2.0, dim=10, latent_dim=3)
    (weight,) = re.findall(r"mean squared error \+ ([0-9.]+) KL", text)
    (half,) = re.findall(r"0\.5 SSE \+ ([0-9.]+) KL", text)
    (sigma,) = re.findall(r"negative ELBO at a scale of ([0-9.]+)\.$", text)
    for loss in (
        ForeignLoss(over_dims="mean", kl_weight=float(weight), dim=10),
        ForeignLoss(weight=0.5, kl_weight=float(half), dim=10),
    ):
        exact = explain(loss).equivalents[0]
        assert exact.sigma == pytest.approx(float(sigma), rel=1e-5)
        assert exact.sigma == pytest.approx(0.5 * math.sqrt(2.0), rel=1e-5)


SENTENCES = [
    ({"likelihood": "gaussian", "scale": "network"}, "the scale s is learned (from the decoder)"),
    ({"likelihood": "gaussian", "scale": "network"}, "mean squared error + 0.2 s^2 KL; the exact negative ELBO."),
    ({"likelihood": "gaussian", "scale": 1.0}, "plus a constant of 9.18939 nats"),
    ({"likelihood": "bernoulli"}, "as summed binary cross-entropy + KL on x of 0 and 1; the exact negative ELBO."),
    (
        {"likelihood": "bernoulli", "beta": 0.5},
        "+ 0.5 KL on x of 0 and 1; its negative is above the ELBO and not a bound",
    ),
    (
        {"likelihood": "student_t", "scale": "network", "beta": 2.0},
        "the full negative log-density; its negative is a looser bound",
    ),
    ({"likelihood": "gaussian", "scale": "network", "mass": True}, "the full negative log-probability"),
    (
        {"likelihood": "gaussian", "scale": "shared", "free_bits": 0.5},
        "up to 0.5 nats of KL in each latent dimension, 1.5 in all",
    ),
    ({"likelihood": "bernoulli", "objective": "iwae", "num_samples": 50}, "with K = 50"),
    ({"likelihood": "bernoulli", "members": 4}, "for each of 4 members"),
]


@pytest.mark.parametrize(("facts", "said"), SENTENCES)
def test_the_sentence_says_what_was_minimised(facts: dict[str, Any], said: str) -> None:
    text = sentence(dim=10, latent_dim=3, **facts)
    assert said in text
    assert text.count(". ") == 0
    assert text.endswith(".")


def test_the_sentence_of_a_bundle_is_that_of_its_config(breast_cancer: Model, digits: Model) -> None:
    first = breast_cancer.manifest
    beta = first.provenance.config["objective"]["beta"]
    want = sentence(likelihood="gaussian", scale="network", beta=beta, dim=30, latent_dim=first.latent_dim)
    assert sentence_of(first) == want
    assert "the bernoulli likelihood summed over 64 dimensions" in sentence_of(digits.manifest)
    fixed = first.model_copy(deep=True)
    fixed.provenance.config["likelihood"]["scale"] = 0.5
    fixed.provenance.config["objective"]["beta"] = 2.0
    assert sentence_of(fixed) == sentence(
        likelihood="gaussian", scale=0.5, beta=2.0, dim=30, latent_dim=first.latent_dim
    )
    bare = first.model_copy(update={"provenance": Provenance()})
    assert sentence_of(bare) == "What was minimised is not recorded in the bundle."
