"""What a training run can be told: typed, frozen, every field documented. Knows no data and no torch."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError, model_validator

from vaekit.bundle.manifest import Name
from vaekit.errors import ConfigError

Positive = Annotated[FiniteFloat, Field(gt=0)]
Fraction = Annotated[FiniteFloat, Field(gt=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fractions(_Section):
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


class Data(_Section):
    """[data]: which rows, and which part of them is for what."""

    source: str = Field(
        description="a .csv, .parquet, .npy or .npz file, a folder of pictures, or a built-in set: "
        "'breast-cancer', 'digits'"
    )
    label: str | None = Field(None, description="column that marks anomalies, which are kept out of training")
    anomalies: tuple[str | int | float | bool, ...] = Field((1,), description="values of the label that mean anomaly")
    exclude: tuple[str, ...] = Field((), description="columns that the model does not see")
    split: Annotated[str, Field(pattern=r"^(random|(time|group):.+)$")] = Field(
        "random",
        description="'random'; 'time:<column>', earliest rows train and the latest test; 'group:<column>', rows of one "
        "group stay together",
    )
    fractions: Fractions = Fractions()


class Network(_Section):
    """[network]: encoder and decoder."""

    latent_dim: PositiveInt | None = Field(
        None, description="Z; none: half the columns, between 2 and 16, and 16 for pictures"
    )
    hidden: tuple[PositiveInt, ...] = Field(
        (128, 128), description="widths of the encoder's hidden layers; the decoder has them reversed"
    )
    activation: Literal["leaky_relu", "relu", "tanh", "silu", "gelu"] = Field(
        "leaky_relu", description="'leaky_relu', 'relu', 'tanh', 'silu' or 'gelu', between the layers"
    )


class Likelihood(_Section):
    """[likelihood]: p(x|z)."""

    name: Literal["gaussian", "bernoulli"] = Field(
        "gaussian", description="'gaussian' for real columns, 'bernoulli' for what is 0 or 1 (pixels: 0 or 255)"
    )
    scale: Literal["network", "feature", "shared"] | Positive = Field(
        "network",
        description="gaussian: the scale from the decoder, one for each column, one for all, or a fixed number, "
        "in standard deviations of the column",
    )
    scale_floor: Positive = Field(
        0.1,
        description="gaussian: no learned scale is below this share of the column's standard deviation, nor below the "
        "rounding of its recorded values; a density without a floor runs away to infinity",
    )
    binarize: Literal["none", "threshold"] = Field(
        "none",
        description="bernoulli: 'threshold' makes ones of values of at least half the range, inside the model; with "
        "'none' grey values are refused",
    )


class Objective(_Section):
    """[objective]: -E_q[log p(x|z)] + beta KL(q(z|x) || p(z)), nats per row."""

    beta: Positive = Field(1.0, description="weight of the KL at the end of the warm-up; 1 is the ELBO itself")
    warmup: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        0.2, description="share of the steps over which beta grows from 0, so that codes are learned before they cost"
    )


class Training(_Section):
    """[training]: the optimiser and when it stops."""

    steps: PositiveInt = Field(4000, description="the most optimiser steps")
    batch_size: PositiveInt = Field(128, description="rows of a step")
    learning_rate: Positive = Field(1e-3, description="at the start; a cosine takes it to 0 at the last step")
    weight_decay: Annotated[FiniteFloat, Field(ge=0)] = Field(1e-2, description="of AdamW, on weight matrices")
    clip_norm: Positive = Field(10.0, description="longest gradient; longer ones are shortened to it")
    evaluate_every: PositiveInt = Field(50, description="steps between looks at the validation rows")
    patience: PositiveInt = Field(
        20, description="looks without a better validation objective, after the warm-up, before stopping"
    )
    threads: PositiveInt | None = Field(
        None,
        description="CPU threads; none: 1 where a step is small, else one per core. Threads of a small step wait for "
        "each other far longer than they work, once anything else runs on the machine",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        0, description="of the split, the weights, the batches, the draws"
    )


class Draws(_Section):
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


class Config(_Section):
    """One training run; `vae train --help` says how to give it."""

    name: Name
    description: str = Field("", description="a sentence for the model card")
    data: Data
    network: Network = Network()
    likelihood: Likelihood = Likelihood()
    objective: Objective = Objective()
    training: Training = Training()
    draws: Draws = Draws()

    def to_toml(self) -> str:
        """The whole config, defaults included, as TOML that gives it again."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Config from a TOML file, then `a.b=value` overrides. A relative data source is relative to the file.

    Raises:
        ConfigError: unreadable, no TOML, or a key or value that is refused.
    """
    path = Path(path)
    try:
        tree = tomllib.loads(path.read_text())
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not TOML: {exc}") from exc
    data = tree.get("data")
    if isinstance(data, dict) and isinstance(source := data.get("source"), str) and (path.parent / source).exists():
        data["source"] = str(path.parent / source)
    return make_config(tree, overrides)


def make_config(tree: dict[str, Any], overrides: Sequence[str] = ()) -> Config:
    """Config of nested tables, then `a.b=value` overrides.

    Raises:
        ConfigError: a key or value that is refused; the message names it.
    """
    for override in overrides:
        _set(tree, override)
    try:
        return Config.model_validate(tree)
    except ValidationError as exc:
        raise ConfigError("\n".join(dict.fromkeys(_explain(error) for error in exc.errors()))) from exc


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if "[" not in str(part) and "constrained" not in str(part))
    if error["type"] == "extra_forbidden":
        return f"config: {where}: no such key"
    if error["type"] == "literal_error" and where == "likelihood.name":
        return f"config: {where}: {error['input']!r} is not one of {error['ctx']['expected']}"
    if where == "likelihood.scale":
        return f"config: {where}: {error['input']!r} is not 'network', 'feature', 'shared' or a number above 0"
    return f"config: {where}: {error['msg']}, not {error['input']!r}"


def _set(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set {override}: expected section.key=value")
    *sections, key = path.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {override}: {section} is no section")
    tree[key] = _value(text.strip())


def _value(text: str) -> Any:
    """A TOML value, and a bare word as the string it looks like."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def slug(text: str) -> str:
    """A model name made of any text."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:64] or "model"
