"""The sections of a training config, typed, frozen, every field documented. Knows no data and no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, model_validator

from vaekit.bundle.manifest import Kind, LikelihoodName

Positive = Annotated[FiniteFloat, Field(gt=0)]
Fraction = Annotated[FiniteFloat, Field(gt=0, lt=1)]
FixedScale = Annotated[FiniteFloat, Field(ge=1e-6, le=1e6)]  # its square stays well within float32
MOST_LATENT = 21201  # dimensions of the quasi-random draws that torch has
Share = Annotated[FiniteFloat, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Frozen; a key that is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Fractions(Section):
    """Shares of the normal rows; they add up to 1. Labelled anomalies all go to the test part."""

    train: Fraction = Field(0.6, description="gives weights and standardisation")
    validation: Fraction = Field(0.1, description="chooses when to stop")
    calibration: Fraction = Field(0.2, description="gives the p-values, and is used for nothing else")
    test: Fraction = Field(0.1, description="gives the reported figures")

    @model_validator(mode="after")
    def _whole(self) -> Fractions:
        total = self.train + self.validation + self.calibration + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the fractions add up to {total:g}, not 1")
        return self


class Data(Section):
    """[data]: which rows, and which part of them is for what."""

    source: str = Field(
        description="a .csv, .parquet, .npy or .npz file, a folder of pictures or of .parquet files, or a built-in "
        "set: 'breast-cancer', 'digits', 'photographs'"
    )
    label: str | None = Field(None, description="column that marks anomalies, which are kept out of training")
    anomalies: tuple[str | int | float | bool, ...] = Field((1,), description="values of the label that mean anomaly")
    exclude: tuple[str, ...] = Field((), description="columns that the model does not see")
    kinds: dict[str, Kind] = Field(
        default_factory=dict,
        description="by column: 'real', 'positive' (> 0, modelled on the log), 'count' (0, 1, 2, ...), 'fraction' "
        "(between 0 and 1), 'binary' or 'category'; a column that is not named has the likelihood's own kind, and "
        "under 'mixed' text is a category, 0 and 1 alone are binary, and anything else is real",
    )
    missing: Literal["refuse", "marginalise"] = Field(
        "refuse",
        description="'marginalise': columns that have empty cells may have them in use too, and the ELBO is over the "
        "observed columns of a row",
    )
    read: Literal["memory", "map", "stream"] = Field(
        "memory",
        description="'memory'; 'map' leaves a .npy file on disk, memory-mapped; 'stream' reads Parquet piece by piece, "
        "for data larger than memory",
    )
    shuffle_buffer: PositiveInt = Field(
        65536, description="stream: rows that are held, and drawn from at random, to mix neighbours in the files"
    )
    split: Annotated[str, Field(pattern=r"^(random|(time|group):.+)$")] = Field(
        "random",
        description="'random'; 'time:<column>', earliest rows train and the latest test; 'group:<column>', rows of one "
        "group stay together",
    )
    fractions: Fractions = Fractions()
    folds: Annotated[int, Field(ge=3, le=99)] | None = Field(
        None,
        description="F, odd, for few rows of columns: train and calibration part are dealt into F folds, and each of F "
        "models is trained without one of them, which gives it p-values; the bundle is their mixture and its p-value "
        "their median (docs/explanation/calibration.md). None: one model, and a calibration part of its own",
    )

    @model_validator(mode="after")
    def _streamed(self) -> Data:
        if self.read == "stream" and self.split != "random":
            raise ValueError(f"split '{self.split}' needs all rows at once: set read = 'memory'")
        return self

    @model_validator(mode="after")
    def _folded(self) -> Data:
        if self.folds is None:
            return self
        if self.folds % 2 == 0:
            raise ValueError(f"folds {self.folds} is even: of an odd number of p-values one is the median")
        if self.split != "random":
            raise ValueError(f"folds are dealt out at random, and not by split '{self.split}': leave one of them out")
        if self.read == "stream":
            raise ValueError("folds are for few rows: set read = 'memory'")
        return self


class Network(Section):
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


class Likelihood(Section):
    """[likelihood]: p(x|z)."""

    name: LikelihoodName = Field(
        "gaussian",
        description="'auto' for real columns: student_t, and what else detects anomalies best (docs/decisions) where "
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


class Prior(Section):
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


class Objective(Section):
    """[objective]: what is minimised, nats per row."""

    name: Literal["elbo", "iwae"] = Field(
        "elbo",
        description="'elbo' -E_q[log p(x|z)] + beta KL(q(z|x) || p(z)); 'iwae' the importance-weighted bound of "
        "num_samples draws, with doubly reparameterised gradients",
    )
    num_samples: PositiveInt = Field(1, description="K, draws of z a row and step")
    beta: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        1.0,
        description="weight of the KL at the end of the warm-up, one for all members or one for each; 1 is the ELBO "
        "itself. Below 1 codes are finer, and posteriors, which come out too narrow, are widened after training",
    )
    schedule: Literal["constant", "linear", "cyclical"] = Field(
        "linear", description="how beta gets there: at once, once over the warm-up, or in cycles"
    )
    warmup: Share = Field(
        0.2,
        description="share of the steps (cyclical: of each cycle) over which beta grows from 0, so that codes are "
        "learned before they cost",
    )
    cycles: PositiveInt = Field(4, description="cyclical: how often beta starts anew")
    free_bits: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.0, description="nats of KL, averaged over a batch, that each latent dimension has for nothing"
    )

    @property
    def betas(self) -> tuple[float, ...]:
        """The beta of each member, or the one of all."""
        return self.beta if isinstance(self.beta, tuple) else (self.beta,)

    @property
    def shown_beta(self) -> str:
        """beta in words: '0.3', or '1, 0.3' of two members."""
        return ", ".join(f"{beta:g}" for beta in self.betas)

    @model_validator(mode="after")
    def _together(self) -> Objective:
        if self.name == "iwae" and (set(self.betas) != {1.0} or self.free_bits):
            raise ValueError("iwae has neither beta nor free_bits: set beta = 1 and free_bits = 0, or name = 'elbo'")
        if self.name == "iwae" and self.num_samples < 2:
            raise ValueError("iwae of one draw is the elbo: set num_samples to 2 or more, or name = 'elbo'")
        return self


class Training(Section):
    """[training]: the optimiser and when it stops."""

    steps: PositiveInt = Field(4000, description="the most optimiser steps")
    batch_size: PositiveInt = Field(128, description="rows of a step, over all ranks and accumulated parts")
    accumulate: PositiveInt = Field(1, description="parts that a step's rows are taken in, to save memory")
    learning_rate: Positive = Field(1e-3, description="at the start; a cosine takes it to 0 at the last step")
    weight_decay: Annotated[FiniteFloat, Field(ge=0)] = Field(1e-2, description="of AdamW, on weight matrices")
    clip_norm: Positive = Field(10.0, description="longest gradient; longer ones are shortened to it")
    ema: Share = Field(
        0.0, description="share of its past that the running mean of the weights keeps each step; 0: none is kept"
    )
    evaluate_every: PositiveInt = Field(50, description="steps between looks at the validation rows")
    patience: PositiveInt = Field(
        20, description="looks without a better validation objective, after the warm-up, before stopping"
    )
    checkpoint_every: PositiveInt = Field(1000, description="steps between checkpoints, from which --resume goes on")
    rollbacks: Annotated[int, Field(ge=0)] = Field(
        3, description="times that a step which is not finite is undone, at half the learning rate, before giving up"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="of the networks while training; the likelihood and the bundle stay in fp32"
    )
    compile: bool = Field(False, description="torch.compile: pays where steps are large or on CUDA")
    cuda_graphs: bool = Field(False, description="CUDA only: record a step and replay it; needs fp32 or bf16")
    threads: PositiveInt | None = Field(
        None,
        description="CPU threads; none: 1 where a step is small, else one per core. Threads of a small step wait for "
        "each other far longer than they work, once anything else runs on the machine",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        0, description="of the split, the weights, the batches, the draws"
    )

    @model_validator(mode="after")
    def _divided(self) -> Training:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        if self.cuda_graphs and self.precision == "fp16":
            raise ValueError("cuda_graphs cannot replay fp16's loss scaling: set precision to 'bf16' or 'fp32'")
        return self


class Export(Section):
    """[export]: which graphs are written."""

    half: bool = Field(
        False,
        description="also the encoder's and the scores' graphs with networks that compute in float16, for cards; how "
        "far their ELBO is off is measured and reported",
    )


class Draws(Section):
    """[draws]: Monte-Carlo draws of the exported score."""

    default: Annotated[int, Field(ge=2)] | None = Field(
        None, description="K unless a request says otherwise; none: 16 for tables, 4 for pictures"
    )
    maximum: Annotated[int, Field(ge=2, le=65536)] = Field(256, description="K_max")

    @model_validator(mode="after")
    def _ordered(self) -> Draws:
        if self.default is not None and self.default > self.maximum:
            raise ValueError(f"default {self.default} is above maximum {self.maximum}")
        return self
