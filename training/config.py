"""What a training run can be told, read from TOML. Knows which settings go together; no data and no torch."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field, ValidationError, model_validator

from training.data import kinds
from training.sections import Data, Draws, Likelihood, Network, Objective, Prior, Section, Training
from vaekit.bundle.manifest import Name
from vaekit.errors import ConfigError

LOCATION_SCALE = ("gaussian", "student_t", "laplace")


class Config(Section):
    """One training run; `vae train --help` says how to give it."""

    name: Name
    description: str = Field("", description="a sentence for the model card")
    data: Data
    network: Network = Network()
    likelihood: Likelihood = Likelihood()
    prior: Prior = Prior()
    objective: Objective = Objective()
    training: Training = Training()
    draws: Draws = Draws()

    @model_validator(mode="after")
    def _possible(self) -> Config:
        impossible = "; ".join(_impossible(self))
        if impossible:
            raise ValueError(impossible)
        return self

    def to_toml(self) -> str:
        """The whole config, defaults included, as TOML that gives it again."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def _impossible(config: Config) -> Iterator[str]:
    """Pairs of settings that cannot be, whatever the data hold."""
    network, likelihood, objective = config.network, config.likelihood, config.objective
    if network.members > 1 and network.name != "mlp":
        yield f"network.members = {network.members} needs network.name = 'mlp', not {network.name!r}"
    if network.name != "mlp" and Path(config.data.source).suffix.lower() in (".csv", ".parquet"):
        yield f"network.name = {network.name!r} is for pictures, and {config.data.source} holds columns: take 'mlp'"
    if network.output != "linear" and likelihood.name not in LOCATION_SCALE:
        yield f"network.output = {network.output!r} bounds a mean, which likelihood.name = {likelihood.name!r} has not"
    if likelihood.binarize != "none" and likelihood.name != "bernoulli":
        yield f"likelihood.binarize = {likelihood.binarize!r} is for 'bernoulli', not {likelihood.name!r}"
    yield from kinds.impossible(config.data.kinds, likelihood)
    if config.prior.name == "aggregate" and objective.free_bits:
        yield "objective.free_bits counts the KL of each latent dimension, which prior.name = 'aggregate' has not"
    if config.training.cuda_graphs and config.prior.name == "aggregate" and config.prior.start < 1:
        yield "training.cuda_graphs replays the step as it began, and prior.start below 1 changes it: set it to 1"
    if likelihood.scale != "network" and likelihood.name not in (*LOCATION_SCALE, "mixed"):
        yield f"likelihood.scale = {likelihood.scale!r} is no part of likelihood.name = {likelihood.name!r}"
    if network.scaling != "standardize" and likelihood.name in ("bernoulli", "continuous_bernoulli"):
        yield f"network.scaling = {network.scaling!r}: {likelihood.name!r} sees 0..1 and nothing else"
    if config.data.read == "stream" and config.prior.name == "aggregate" and config.prior.start < 1:
        yield "prior.start below 1 trains with rows that data.read = 'stream' does not hold: set prior.start = 1"


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


def asked_for(overrides: Sequence[str]) -> dict[str, Any]:
    """Nested tables of `a.b=value` overrides alone, not yet checked.

    Raises:
        ConfigError: an override that is none.
    """
    tree: dict[str, Any] = {}
    for override in overrides:
        _set(tree, override)
    return tree


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if "[" not in str(part) and "constrained" not in str(part))
    if error["type"] == "extra_forbidden":
        return f"config: {where}: no such key"
    if error["type"] == "value_error":
        return f"config: {where + ': ' if where else ''}{error['ctx']['error']}"
    if error["type"] == "literal_error":
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
