"""Builds an encoder and a decoder from settings and shapes."""

from __future__ import annotations

import math

from vaekit.errors import ConfigError
from vaekit_training.networks.conv import ConvDecoder, ConvEncoder, Shape
from vaekit_training.networks.mlp import MLP, MemberMLP
from vaekit_training.sections import NetworkConfig

Encoder = MLP | ConvEncoder
Decoder = MLP | ConvDecoder
SMALLEST, LARGEST = 8, 256  # pixels per side


def encoder(config: NetworkConfig, inputs: int | Shape, latent_dim: int) -> Encoder:
    """An encoder x (N, E) -> mu and raw sigma (N, 2 Z), or (M, N, 2 Z) with M members.

    Args:
        config: the section [network].
        inputs: E, or (H, W, C) for images, which are passed flattened, E = H W C.
        latent_dim: Z.

    Raises:
        ConfigError: a network for images is used for columns, or its number of stages is too large for the image size.
    """
    if config.name == "mlp":
        return _mlp(config, (_count(inputs), *config.hidden, 2 * latent_dim))
    shape = _image_shape(config, inputs)
    return ConvEncoder(shape, config.channels, 2 * latent_dim, config.activation, _blocks(config))


def decoder(config: NetworkConfig, latent_dim: int, outputs: int | Shape, width: int) -> Decoder:
    """A decoder z (N, Z) -> h (N, width), or (N, K, Z) -> (N, K, width); with M members h has a leading axis M.

    Args:
        config: the section [network].
        latent_dim: Z.
        outputs: D, or (H, W, C) for images.
        width: number of outputs; for images P * H * W * C, [P, H, W, C] flattened.

    Raises:
        ConfigError: as in encoder.
    """
    if config.name == "mlp":
        return _mlp(config, (latent_dim, *reversed(config.hidden), width))
    shape = _image_shape(config, outputs)
    return ConvDecoder(latent_dim, shape, config.channels, width, config.activation, _blocks(config))


def _mlp(config: NetworkConfig, sizes: tuple[int, ...]) -> MLP:
    made = MLP if config.members == 1 else MemberMLP
    return made(
        sizes,
        config.activation,
        residual=config.residual,
        layer_norm=config.layer_norm,
        members=config.members,
    )


def _count(shape: int | Shape) -> int:
    return shape if isinstance(shape, int) else math.prod(shape)


def _blocks(config: NetworkConfig) -> int:
    return config.blocks if config.name == "resnet" else 0


def _image_shape(config: NetworkConfig, shape: int | Shape) -> Shape:
    """The shape of the images, after checking that the network accepts it."""
    takes = f"takes images of {SMALLEST} to {LARGEST} pixels per side"
    if isinstance(shape, int):
        raise ConfigError(f"network.name: {config.name!r} {takes}, not rows of {shape} columns: set 'mlp'")
    height, width, _ = shape
    if min(height, width) < SMALLEST or max(height, width) > LARGEST:
        raise ConfigError(f"network.name: {config.name!r} {takes}, not {height} x {width}: set 'mlp'")
    stages, most = len(config.channels), min(height, width).bit_length() - 1
    if stages > most:
        raise ConfigError(
            f"network.channels: {stages} stages, each of which halves the sides, are too many for images of {height} x "
            f"{width}: give at most {most}"
        )
    return shape
