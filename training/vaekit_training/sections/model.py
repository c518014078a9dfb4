"""[network], [likelihood] and [prior] of a training config."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PositiveInt

from vaekit.bundle.manifest import LikelihoodName
from vaekit_training.sections.base import ConfigSection, Positive

FixedScale = Annotated[FiniteFloat, Field(ge=1e-6, le=1e6)]  # within these limits its square fits in float32
MOST_LATENT = 21201  # largest dimension of torch's Sobol sequences


class NetworkConfig(ConfigSection):
    """[network]: encoder and decoder."""

    name: Literal["mlp", "conv", "resnet"] = Field(
        "mlp", description="'mlp' for any input; 'conv' and 'resnet' for images of 8 to 256 pixels per side"
    )
    latent_dim: Annotated[int, Field(gt=0, le=MOST_LATENT)] | None = Field(
        None,
        description="number of latent dimensions Z; none: half the number of columns, between 2 and 16, or 16 for "
        "images; with an aggregate prior the number of columns, between 2 and 32; not used by a kernel prior",
    )
    hidden: tuple[PositiveInt, ...] = Field(
        (128, 128), description="mlp: widths of the encoder's hidden layers; the decoder has the same in reverse order"
    )
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(
        (32, 64, 128), description="conv, resnet: channels of each stage; a stage halves the image's sides"
    )
    blocks: PositiveInt = Field(2, description="resnet: residual blocks of each stage")
    activation: Literal["leaky_relu", "relu", "tanh", "silu", "gelu"] = Field(
        "leaky_relu", description="activation between the layers: 'leaky_relu', 'relu', 'tanh', 'silu' or 'gelu'"
    )
    residual: bool = Field(False, description="mlp: add a layer's input to its output if their widths are equal")
    layer_norm: bool = Field(False, description="mlp: layer normalisation before each activation")
    output: Literal["linear", "tanh", "sigmoid"] = Field(
        "linear",
        description="range of the decoder's mean, in model units: 'linear' unbounded, 'tanh' (-1, 1), 'sigmoid' (0, "
        "1); only for gaussian, student_t and laplace",
    )
    scaling: Literal["standardize", "symmetric", "unit"] = Field(
        "standardize",
        description="scaling of pixels for the networks: 'standardize' each channel by its mean and standard "
        "deviation, 'symmetric' to -1..1, 'unit' to 0..1; the ELBO is in pixel units in each case",
    )
    members: PositiveInt = Field(
        1, description="mlp: number M of VAEs that are trained together; the model is the mean of their densities"
    )


class LikelihoodConfig(ConfigSection):
    """[likelihood]: p(x|z)."""

    name: LikelihoodName = Field(
        "gaussian",
        description="'auto': the default recipe (docs/reference/training.md), which is a kernel prior; if that cannot "
        "model the columns, or if a setting of networks is given, student_t for real columns, "
        "mixed for others, and the recipe's settings where the config does not set them; 'gaussian', 'student_t' or "
        "'laplace' for real columns; 'bernoulli' for 0 and 1 (pixels: 0 and 255); 'continuous_bernoulli' for values "
        "between 0 and 1; 'discretized_logistic' for pixels and counts; 'categorical' for categories; 'mixed' for "
        "columns of several kinds. 'gaussian' on pixels and counts is the probability of the bin around each integer",
    )
    scale: (
        Literal["network", "feature", "shared"]
        | FixedScale
        | Annotated[tuple[Literal["network", "feature"], ...], Field(min_length=1)]
    ) = Field(
        "network",
        description="scale of p(x|z): 'network' a decoder output for each value, 'feature' one parameter per column, "
        "'shared' one for all columns, or a fixed number, in standard deviations of the column (images: in the unit of "
        "network.scaling); a list gives 'network' or 'feature' for each member",
    )
    scale_floor: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        0.1,
        description="lower limit of a learned scale, as a share of the column's standard deviation, one for all "
        "members or one for each; a scale is also never below the rounding of the recorded values. Without a limit a "
        "density can grow to infinity. Not used for binned likelihoods, whose probabilities are at most 1",
    )
    real: Literal["gaussian", "student_t", "laplace"] = Field(
        "gaussian", description="mixed: likelihood of real columns, and of the log of positive columns"
    )
    count: Literal["discretized_logistic", "gaussian"] = Field(
        "discretized_logistic", description="mixed: likelihood of count columns, as probabilities of bins"
    )
    components: PositiveInt = Field(5, description="discretized_logistic: number of components of each value's mixture")
    binarize: Literal["none", "threshold", "dynamic"] = Field(
        "none",
        description="bernoulli: 'threshold' maps values of at least half the range to 1 and others to 0, inside the "
        "model; 'dynamic' draws each value as 0 or 1 again at every training step, with its grey value as the "
        "probability of a 1, and scores rows with one fixed set of random thresholds; 'none' refuses grey values",
    )


class PriorConfig(ConfigSection):
    """[prior]: p(z)."""

    name: Literal["normal", "aggregate", "kernel"] = Field(
        "normal",
        description="'normal': N(0, I); 'aggregate': the mean of the posteriors of training rows; 'kernel': a kernel "
        "density over training rows, with the standardised row as z and no networks, for columns of numbers, "
        "categories and binary columns; "
        "with the last two the bundle contains training rows",
    )
    components: Annotated[int, Field(ge=2)] = Field(
        1000, description="aggregate, kernel: largest number of training rows in the prior"
    )
    start: Annotated[FiniteFloat, Field(ge=0, le=1)] = Field(
        0.5, description="aggregate: share of the steps after which training switches from N(0, I) to it; 1: never"
    )


class PrivacyConfig(ConfigSection):
    """[privacy]: what a bundle with training rows inside may be asked."""

    allow_low_temperature: bool = Field(
        False,
        description="aggregate and kernel priors: whether /sample accepts temperatures below 1, where samples are near "
        "copies of training rows; true if everyone who may sample may see these rows",
    )
    show_exemplars: bool = Field(
        False,
        description="kernel prior: whether the bundle holds the original training rows of the prior, to show those "
        "most similar to a row; true if everyone who has the bundle or may score rows may see them",
    )
    report_rows: bool = Field(
        True,
        description="whether the report shows rows of the test split: the ten most anomalous, and test images; false "
        "if someone who gets the bundle must not see them",
    )
