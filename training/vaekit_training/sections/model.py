"""[network], [likelihood] and [prior] of a training config: what the model is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PositiveInt

from vaekit.bundle.manifest import LikelihoodName
from vaekit_training.sections.base import ConfigSection, Positive

FixedScale = Annotated[FiniteFloat, Field(ge=1e-6, le=1e6)]  # its square stays well within float32
MOST_LATENT = 21201  # dimensions of the quasi-random draws that torch has


class NetworkConfig(ConfigSection):
    """[network]: encoder and decoder."""

    name: Literal["mlp", "conv", "resnet"] = Field(
        "mlp", description="'mlp' for anything; 'conv' and 'resnet' for pictures of 8 to 256 pixels a side"
    )
    latent_dim: Annotated[int, Field(gt=0, le=MOST_LATENT)] | None = Field(
        None,
        description="Z; none: half the columns, between 2 and 16, and 16 for pictures; under an aggregate prior, which "
        "tells codes apart however many dimensions they have, as many as columns, between 2 and 32",
    )
    hidden: tuple[PositiveInt, ...] = Field(
        (128, 128), description="mlp: widths of the encoder's hidden layers; the decoder has them reversed"
    )
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(
        (32, 64, 128), description="conv, resnet: channels of each stage; a stage halves the picture's sides"
    )
    blocks: PositiveInt = Field(2, description="resnet: residual blocks of each stage")
    activation: Literal["leaky_relu", "relu", "tanh", "silu", "gelu"] = Field(
        "leaky_relu", description="'leaky_relu', 'relu', 'tanh', 'silu' or 'gelu', between the layers"
    )
    residual: bool = Field(False, description="mlp: add a layer's input to its output, where their widths agree")
    layer_norm: bool = Field(False, description="mlp: normalise each hidden layer's output over its units")
    output: Literal["linear", "tanh", "sigmoid"] = Field(
        "linear",
        description="range of the decoder's mean, in what the networks see: 'linear' any, 'tanh' (-1, 1), 'sigmoid' "
        "(0, 1); gaussian, student_t and laplace only",
    )
    scaling: Literal["standardize", "symmetric", "unit"] = Field(
        "standardize",
        description="pictures, as the networks see them: 'standardize' each channel by its mean and standard "
        "deviation, 'symmetric' -1..1, 'unit' 0..1; the ELBO stays in pixel units under each",
    )
    members: PositiveInt = Field(
        1, description="M: mlp; so many VAEs at once, as an equally weighted mixture of their densities"
    )


class LikelihoodConfig(ConfigSection):
    """[likelihood]: p(x|z)."""

    name: LikelihoodName = Field(
        "gaussian",
        description="'auto' for real columns: student_t, and whatever else detects anomalies best (docs/log.md) where "
        "the config says nothing; 'gaussian', 'student_t' or 'laplace' for real columns, 'bernoulli' for what is 0 or "
        "1 (pixels: 0 or 255), 'continuous_bernoulli' for what lies between, 'discretized_logistic' for pixels and "
        "counts, 'categorical' for categories, 'mixed' for columns of several kinds; 'gaussian' on pixels and counts "
        "is the mass of the bin",
    )
    scale: (
        Literal["network", "feature", "shared"]
        | FixedScale
        | Annotated[tuple[Literal["network", "feature"], ...], Field(min_length=1)]
    ) = Field(
        "network",
        description="the scale from the decoder, one for each column, one for all, or a fixed number, in standard "
        "deviations of the column (pictures: in the unit that network.scaling gives); a list has 'network' or "
        "'feature' for each member",
    )
    scale_floor: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        0.1,
        description="no learned scale is below this share of the column's standard deviation, one for all members or "
        "one for each, nor below the rounding of its recorded values; a density without a floor runs away to "
        "infinity. Not for bins, whose mass is at most 1",
    )
    real: Literal["gaussian", "student_t", "laplace"] = Field(
        "gaussian", description="mixed: what real and positive columns (on the log) have"
    )
    count: Literal["discretized_logistic", "gaussian"] = Field(
        "discretized_logistic", description="mixed: what count columns have, as masses of bins"
    )
    components: PositiveInt = Field(5, description="discretized_logistic: logistics in the mixture of each value")
    binarize: Literal["none", "threshold", "dynamic"] = Field(
        "none",
        description="bernoulli: 'threshold' makes ones of values of at least half the range, inside the model; "
        "'dynamic' draws each anew at every training step with the grey value as its probability, and scores one fixed "
        "dither; with 'none' grey values are refused",
    )


class PriorConfig(ConfigSection):
    """[prior]: p(z)."""

    name: Literal["normal", "aggregate"] = Field(
        "normal",
        description="'normal' N(0, I); 'aggregate' the mean of the posteriors of training rows, whose codes then "
        "travel with the bundle",
    )
    components: Annotated[int, Field(ge=2)] = Field(
        1000, description="aggregate: the most training rows whose posteriors it is made of"
    )
    start: Annotated[FiniteFloat, Field(ge=0, le=1)] = Field(
        0.5, description="aggregate: share of the steps after which training uses it in place of N(0, I); 1: never"
    )
