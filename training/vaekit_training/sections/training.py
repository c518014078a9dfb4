"""[objective], [training], [export] and [draws] of a training config: the loss, the optimiser, the graphs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from vaekit.bundle.groups import LEAST_ROWS
from vaekit_training.sections.base import ConfigSection, Positive, Share


class ObjectiveConfig(ConfigSection):
    """[objective]: the training loss, in nats per row."""

    name: Literal["elbo", "iwae"] = Field(
        "elbo",
        description="'elbo' -E_q[log p(x|z)] + beta KL(q(z|x) || p(z)); 'iwae' the importance-weighted bound of "
        "num_samples draws, with doubly reparameterised gradients",
    )
    num_samples: PositiveInt = Field(1, description="K, draws of z per row and step")
    beta: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        1.0,
        description="weight of the KL at the end of the warm-up, one for all members or one for each; 1 is the ELBO. "
        "With a beta below 1 latents carry more detail and posteriors are too narrow; they are widened after training",
    )
    schedule: Literal["constant", "linear", "cyclical"] = Field(
        "linear",
        description="how beta reaches its value: 'constant' from the first step, 'linear' over the warm-up, 'cyclical' "
        "over the warm-up of each cycle",
    )
    warmup: Share = Field(
        0.2,
        description="share of the steps (cyclical: of each cycle) over which beta grows from 0, so that the decoder "
        "learns to use the latents before the KL penalises them",
    )
    cycles: PositiveInt = Field(4, description="cyclical: number of cycles, each of which starts at beta = 0")
    free_bits: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.0, description="nats of KL per latent dimension, averaged over a batch, that are not penalised"
    )

    @property
    def betas(self) -> tuple[float, ...]:
        """The beta of each member, or the only beta, (M,) or (1,)."""
        return self.beta if isinstance(self.beta, tuple) else (self.beta,)

    @property
    def shown_beta(self) -> str:
        """beta as text: '0.3', or '1, 0.3' for two members."""
        return ", ".join(f"{beta:g}" for beta in self.betas)

    @model_validator(mode="after")
    def _together(self) -> ObjectiveConfig:
        if self.name == "iwae" and (set(self.betas) != {1.0} or self.free_bits):
            raise ValueError("iwae does not use beta and free_bits: set beta = 1 and free_bits = 0, or name = 'elbo'")
        if self.name == "iwae" and self.num_samples < 2:
            raise ValueError("iwae with num_samples = 1 is the elbo: set num_samples to 2 or more, or name = 'elbo'")
        return self


class TrainingConfig(ConfigSection):
    """[training]: the optimiser, validation, and when training stops."""

    steps: PositiveInt = Field(4000, description="largest number of optimiser steps")
    batch_size: PositiveInt = Field(
        128, description="rows per step, over all ranks and all parts of gradient accumulation"
    )
    accumulate: PositiveInt = Field(
        1, description="number of parts in which a step's rows are processed, to save memory"
    )
    learning_rate: Positive = Field(
        1e-3, description="learning rate at the start; it falls to 0 at the last step along a cosine"
    )
    weight_decay: Annotated[FiniteFloat, Field(ge=0)] = Field(
        1e-2, description="weight decay of AdamW, on weight matrices"
    )
    clip_norm: Positive = Field(10.0, description="largest norm of a gradient; longer gradients are scaled down to it")
    ema: Share = Field(0.0, description="decay per step of the running mean of the weights; 0: no running mean")
    evaluate_every: PositiveInt = Field(50, description="steps between validations")
    patience: PositiveInt = Field(
        20, description="number of validations without a better objective, after the warm-up, until training stops"
    )
    checkpoint_every: PositiveInt = Field(1000, description="steps between checkpoints, from which --resume continues")
    rollbacks: Annotated[int, Field(ge=0)] = Field(
        3,
        description="number of times that a run goes back after a non-finite step and halves the learning rate, before "
        "it fails",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="precision of the networks in training; the likelihood and the bundle stay in fp32"
    )
    compile: bool = Field(False, description="use torch.compile, which is faster for large steps or on CUDA")
    cuda_graphs: bool = Field(
        False, description="CUDA only: record a step as a CUDA graph and replay it; needs fp32 or bf16"
    )
    threads: PositiveInt | None = Field(
        None,
        description="CPU threads; none: 1 if a step is small, otherwise one per core. On a busy machine several "
        "threads slow a small step down, because they mostly wait for each other",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        0, description="seed of the split, the initial weights, the batches and the draws"
    )

    @model_validator(mode="after")
    def _divided(self) -> TrainingConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        if self.cuda_graphs and self.precision == "fp16":
            raise ValueError("cuda_graphs does not work with fp16's loss scaling: set precision to 'bf16' or 'fp32'")
        return self


class CalibrationConfig(ConfigSection):
    """[calibration]: which held-out rows a row is compared with."""

    by: tuple[str, ...] = Field(
        (),
        description="group columns, the most important one first: each row is compared with the held-out rows of its "
        "own group, so that the false-alarm rate holds in each. Categories, counts, binary columns, or "
        "'observed_cells', the number of cells of a row that are not missing (docs/explanation/calibration.md); empty: "
        "all rows are one group",
    )
    least_rows: PositiveInt = Field(
        LEAST_ROWS,
        description="fewest calibration rows of a group, with folds in each fold; rows of a smaller group are compared "
        "with the group of one column less, at last with all calibration rows. 19 is the fewest that can tell alpha = "
        "0.05",
    )


class ExportConfig(ConfigSection):
    """[export]: which graphs are written."""

    half: bool = Field(
        False,
        description="also write the encoder and score graphs with float16 networks, for GPUs; the error of their ELBO "
        "is measured and reported",
    )


class DrawsConfig(ConfigSection):
    """[draws]: Monte-Carlo draws of the exported score."""

    default: Annotated[int, Field(ge=2)] | None = Field(
        None, description="number of draws K of a request that does not set it; none: 16 for tables, 4 for images"
    )
    maximum: Annotated[int, Field(ge=2, le=65536)] = Field(256, description="largest K of a request")

    @model_validator(mode="after")
    def _ordered(self) -> DrawsConfig:
        if self.default is not None and self.default > self.maximum:
            raise ValueError(f"default {self.default} is above maximum {self.maximum}")
        return self
