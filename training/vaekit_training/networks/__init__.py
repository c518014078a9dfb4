"""Encoders and decoders, and their cost."""

from vaekit_training.networks.cost import Cost, cost, together
from vaekit_training.networks.head import Head
from vaekit_training.networks.layers import ACTIVATIONS, decayed
from vaekit_training.networks.make import Decoder, Encoder, decoder, encoder
from vaekit_training.networks.mlp import MLP, mlp

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Cost",
    "Decoder",
    "Encoder",
    "Head",
    "cost",
    "decayed",
    "decoder",
    "encoder",
    "mlp",
    "together",
]
