"""Starts the training of a column and of its mirror image alike, so that the sign of a column does not matter.

N rows, D columns. If a real column x becomes -x, its standardised t becomes -t. The initial weights that read and write
the column then change sign too, every step of training is the mirror image of what it was, and every ELBO is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.bundle.input_spec import Kind
from vaekit_training.features import Standardize, observed_rows
from vaekit_training.networks.mlp import MLP
from vaekit_training.vae import VAE

ROWS = 10_000  # most training rows that decide the signs
SYMMETRIC = 1e-9  # a mean of t^3 of this size may be rounding
LARGEST = 1e6  # |t| is clamped to it, so that one cell does not hide the others


def signs(features: Standardize, kinds: Sequence[Kind], x: Tensor) -> Tensor:
    """1 or -1 for each column, (D,), from training rows x (N, D), NaN where a cell is missing.

    It is the sign of the column's third moment, or of the first cell far from the mean if the column is symmetric. If a
    column is multiplied by a < 0, its sign changes. It is 1 for all columns that are not real or that never change.
    """
    value, observed = observed_rows(x)
    t = features(value, observed).clamp(-LARGEST, LARGEST)  # (N, D), 0 for missing cells
    third = t.pow(3).sum(0) / observed.sum(0).clamp_min(1)  # (D,)
    far = t * (t.abs() > 0.5)
    first = far.gather(0, (far != 0).int().argmax(0, keepdim=True))[0]  # (D,)
    sign = torch.where(third.abs() > SYMMETRIC, third, first).sign()  # (D,)
    mirrored = torch.tensor([kind == "real" for kind in kinds]) & features.active & (sign < 0)
    return torch.where(mirrored, -1.0, 1.0)


@torch.no_grad()
def canonical(vae: VAE, kinds: Sequence[Kind], x: NDArray[Any]) -> VAE:
    """The untrained VAE with the initial weights that read or write a column multiplied by its sign, in place.

    With network.residual and a first hidden layer as wide as the encoder's input, the input is also added to the layer,
    and mirrored columns are not trained alike.

    Args:
        vae: the VAE; nothing is done if it models images or values turned into 0 and 1.
        kinds: the kinds of the columns, (D,).
        x: training rows, (N, D), NaN where a cell is missing.
    """
    features, encoder, decoder = vae.features, vae.encoder, vae.decoder
    if not isinstance(features, Standardize):
        return vae
    assert isinstance(encoder, MLP)
    assert isinstance(decoder, MLP)
    sign = signs(features, kinds, torch.from_numpy(x))
    of_numbers = sign[features.numeric]  # the encoder's first inputs
    by_input = encoder.weights_by_input  # (E, ...)
    by_input[: len(of_numbers)] *= of_numbers.view(-1, *[1] * (by_input.ndim - 1))
    vae.likelihood.mirror(decoder.head, sign)
    return vae
