"""Encoders and decoders, and the cost of computing them."""

from vaekit_training.networks.cost import Cost, cost, total_cost
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
    "total_cost",
]
