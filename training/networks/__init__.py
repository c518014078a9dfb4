"""Encoders and decoders: what goes in and comes out, and what it costs. Knows layers, not densities."""

from training.networks.cost import Cost, cost, together
from training.networks.head import Head
from training.networks.layers import ACTIVATIONS, decayed
from training.networks.make import Decoder, Encoder, decoder, encoder
from training.networks.mlp import MLP, mlp

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
