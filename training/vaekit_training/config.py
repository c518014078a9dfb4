"""Reads the config of a training run from TOML, and checks that its settings are compatible."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field, PrivateAttr, ValidationError, model_validator

from vaekit.bundle.manifest import Name
from vaekit.errors import ConfigError
from vaekit.tolerance_rules import ToleranceRule
from vaekit_training import recipe
from vaekit_training.data import kinds
from vaekit_training.data.sources import beside, holds_columns
from vaekit_training.sections import (
    CalibrationConfig,
    ConfigSection,
    DataConfig,
    DrawsConfig,
    ExportConfig,
    LikelihoodConfig,
    NetworkConfig,
    ObjectiveConfig,
    PriorConfig,
    PrivacyConfig,
    TrainingConfig,
)

OF_KERNELS = "prior.name = 'kernel'"
LOCATION_SCALE = ("gaussian", "student_t", "laplace")


class Config(ConfigSection):
    """The config of one training run; `vae train --help` shows how to write it."""

    name: Name
    description: str = Field("", description="a sentence that the model card shows")
    data: DataConfig
    network: NetworkConfig = NetworkConfig()
    likelihood: LikelihoodConfig = LikelihoodConfig()
    prior: PriorConfig = PriorConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    draws: DrawsConfig = DrawsConfig()
    export: ExportConfig = ExportConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    ignore: dict[str, ToleranceRule] = Field(
        default_factory=dict,
        description="tolerance rules by column, such as [ignore.pressure] with above = 0.2, below = 'any': the largest "
        "deviations from the expected value, in the column's unit, that are not worth an alarm",
    )
    _filled: recipe.Filled = PrivateAttr(default=frozenset())  # settings of 'auto' that depend on the number of rows
    _of_kernels: dict[str, Any] | None = PrivateAttr(default=None)  # those of 'auto' for tables that kernels can model

    @model_validator(mode="after")
    def _possible(self) -> Config:
        impossible = "; ".join(_impossible(self))
        if impossible:
            raise ValueError(impossible)
        return self

    def to_toml(self) -> str:
        """The whole config as TOML, defaults included; reading it gives the same config."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    @property
    def may_have_kernels(self) -> bool:
        """Whether the prior is a kernel density, or becomes one if it can model the table: see fitted."""
        return self.prior.name == "kernel" or self._of_kernels is not None

    @property
    def may_show_exemplars(self) -> bool:
        """Whether the bundle is to hold the rows of a kernel prior."""
        return self.privacy.show_exemplars and self.may_have_kernels and self.data.folds is None

    def fitted(self, rows: int, *, kernels: bool) -> Config:
        """The config with the settings of 'auto' that depend on the data.

        Args:
            rows: number of training rows.
            kernels: whether a kernel prior can model the table: see build.kernel_columns.
        """
        if kernels and self._of_kernels is not None:
            return make_config(self._of_kernels)
        if rows >= recipe.FEW or not self._filled:
            return self
        tree = self.model_dump(mode="json", exclude_none=True)
        for (section, key), value in recipe.by_size(self.network.members, rows).items():
            if (section, key) in self._filled:
                tree[section][key] = value
        return make_config(tree)


def _impossible(config: Config) -> Iterator[str]:
    """A message for each combination of settings that is invalid for any data."""
    network, likelihood, objective = config.network, config.likelihood, config.objective
    if network.name != "mlp" and (config.data.read == "stream" or holds_columns(config.data.source)):
        yield f"network.name = {network.name!r} is for images, but {config.data.source} holds columns: set 'mlp'"
    if network.members > 1 and network.name != "mlp":
        yield f"network.members = {network.members} needs network.name = 'mlp', not {network.name!r}"
    by_member = {"objective.beta": objective.beta, "likelihood.scale": likelihood.scale}
    for where, values in {**by_member, "likelihood.scale_floor": likelihood.scale_floor}.items():
        if isinstance(values, tuple) and len(values) != network.members:
            yield f"{where} has {len(values)} values, but network.members is {network.members}: give one per member"
    if isinstance(objective.beta, tuple) and objective.free_bits:
        yield "objective.free_bits needs the same objective.beta for all members: give one number"
    if network.output != "linear" and likelihood.name not in LOCATION_SCALE:
        yield f"network.output = {network.output!r} limits a mean, but likelihood.name = {likelihood.name!r} has none"
    if likelihood.binarize != "none" and likelihood.name != "bernoulli":
        yield f"likelihood.binarize = {likelihood.binarize!r} is for 'bernoulli', not {likelihood.name!r}"
    yield from kinds.impossible(config.data.kinds, likelihood)
    if config.prior.name == "aggregate" and objective.free_bits:
        yield "objective.free_bits needs the KL per latent dimension, which prior.name = 'aggregate' does not have"
    if config.training.cuda_graphs and config.prior.name == "aggregate" and config.prior.start < 1:
        yield "training.cuda_graphs replays the same step, but prior.start below 1 changes it: set prior.start = 1"
    if likelihood.scale != "network" and likelihood.name not in (*LOCATION_SCALE, "mixed"):
        yield f"likelihood.scale = {likelihood.scale!r} is not used by likelihood.name = {likelihood.name!r}"
    if config.data.folds is not None:
        yield from _impossible_by_folds(config)
    if config.prior.name == "kernel":
        yield from _impossible_by_kernels(config)
    if config.privacy.show_exemplars and config.data.read == "stream":
        yield "privacy.show_exemplars needs the number of each row, which data.read = 'stream' loses: set 'memory'"
    if network.scaling != "standardize" and likelihood.name in ("bernoulli", "continuous_bernoulli"):
        yield f"network.scaling = {network.scaling!r}: {likelihood.name!r} needs values from 0 to 1"
    if config.data.read == "stream" and config.prior.name == "aggregate" and config.prior.start < 1:
        yield "prior.start below 1 needs training rows, which data.read = 'stream' leaves on disk: set prior.start = 1"


def _impossible_by_kernels(config: Config) -> Iterator[str]:
    scale, likelihood = config.likelihood.scale, config.likelihood.name
    if likelihood not in ("gaussian", "mixed") or not isinstance(scale, float):
        yield (
            f"{OF_KERNELS} needs likelihood.name = 'gaussian' or 'mixed' with a number as likelihood.scale, such as "
            "1e-4"
        )
    if likelihood == "mixed" and config.likelihood.real != "gaussian":
        yield f"{OF_KERNELS} needs likelihood.real = 'gaussian', not {config.likelihood.real!r}"
    if config.network.members > 1 or config.network.name != "mlp":
        yield f"{OF_KERNELS} has no networks: leave out network.members and network.name"
    if config.export.half:
        yield f"{OF_KERNELS} has no networks for float16 graphs: leave out export.half"


def _impossible_by_folds(config: Config) -> Iterator[str]:
    folds = f"data.folds = {config.data.folds}"
    if config.network.name != "mlp":
        yield f"{folds} is for columns, but network.name = {config.network.name!r} is for images: set 'mlp'"
    if config.likelihood.binarize != "none":
        yield f"{folds}: each fold model would binarise with other thresholds: leave out likelihood.binarize"
    if config.export.half:
        yield f"{folds} cannot have float16 graphs: leave out export.half"


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """The config from a TOML file with `a.b=value` overrides. A relative data source is relative to the file's folder.

    Raises:
        ConfigError: the file is unreadable or not TOML, or a key or value is invalid; the message names it.
    """
    path = Path(path)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not TOML: {exc}") from exc
    data = tree.get("data")
    if isinstance(data, dict) and isinstance(source := data.get("source"), str):
        data["source"] = beside(source, path.parent)
    return make_config(tree, overrides)


def make_config(tree: dict[str, Any], overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """The config from a copy of nested tables and overrides: `a.b=value` texts, {"a.b": value} or {"a": {"b": value}}.

    Raises:
        ConfigError: a key or value is invalid; the message names it.
    """
    tree = copy.deepcopy(tree)
    _apply(tree, overrides)
    of_kernels = recipe.of_kernels(copy.deepcopy(tree))
    filled = recipe.fill(tree)
    try:
        # strict JSON: a list becomes a tuple, and true is not 1
        config = Config.model_validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as exc:
        raise ConfigError("\n".join(dict.fromkeys(_explain(error) for error in exc.errors()))) from exc
    config._filled, config._of_kernels = filled, of_kernels
    return config


def parse_overrides(overrides: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables of overrides as in `make_config`, not yet checked.

    Raises:
        ConfigError: an override has no section, key or value.
    """
    tree: dict[str, Any] = {}
    _apply(tree, overrides)
    return tree


def _apply(tree: dict[str, Any], overrides: Sequence[str] | Mapping[str, Any]) -> None:
    if isinstance(overrides, Mapping):
        return _update(tree, overrides)
    for override in [overrides] if isinstance(overrides, str) else overrides:
        _set(tree, override)
    return None


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if "[" not in str(part) and "constrained" not in str(part))
    if error["type"] == "extra_forbidden":
        return f"config: {where}: no such key; the keys are {', '.join(_keys_beside(error['loc']))}"
    if error["type"] == "value_error":
        return f"config: {where + ': ' if where else ''}{error['ctx']['error']}"
    if where == "likelihood.scale":  # pydantic's message for one type does not list the choices of the others
        choices = "'network', 'feature', 'shared', a number from 1e-6 to 1e6, or a list of 'network' and 'feature'"
        return f"config: {where}: {error['input']!r} is not {choices}"
    if where == "likelihood.name":
        return f"config: {where}: {error['input']!r} is not {recipe.AUTO!r}, {error['ctx']['expected']}"
    if where == "name" and error["type"] == "string_pattern_mismatch":
        named = f"1 to 64 lower-case letters, digits, - and _, such as {slug(error['input'])!r}"
        return f"config: {where}: {error['input']!r}: expected {named}"
    if error["type"] == "literal_error":
        return f"config: {where}: {error['input']!r} is not one of {error['ctx']['expected']}"
    if error["type"] == "missing":
        return f"config: {where}: missing; this key is required"
    if error["type"] == "tuple_type":
        return f"config: {where}: {error['input']!r} is not a list: write [{error['input']!r}]"
    if where == "data.split":
        return f"config: {where}: {error['input']!r} is not 'random', 'time:<column>' or 'group:<column>'"
    return f"config: {where}: {error['msg']}, not {error['input']!r}"


def _keys_beside(loc: Sequence[int | str]) -> list[str]:
    """The keys of the section in which an unknown key was found."""
    section: Any = Config
    if loc[0] == "ignore":
        return list(ToleranceRule.model_fields)
    for part in loc[:-1]:
        section = section.model_fields[str(part)].annotation
    return list(section.model_fields)


def _set(tree: dict[str, Any], override: str) -> None:
    if not isinstance(override, str):
        raise ConfigError(f"settings: {override!r}: expected a text section.key=value, or a dictionary of settings")
    path, equals, text = override.partition("=")
    keys = _keys(path)
    if not equals or not keys:
        raise ConfigError(f"--set {override}: expected section.key=value")
    _put(tree, keys, _value(text.strip()), f"--set {override}")


def _put(tree: dict[str, Any], keys: Sequence[str], value: Any, where: str) -> None:
    *sections, key = keys
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{where}: {section} is a value, not a section; expected section.key=value")
    tree[key] = value


def _update(tree: dict[str, Any], settings: Mapping[str, Any], above: tuple[str, ...] = ()) -> None:
    """Set values by dotted or nested keys."""
    for name, value in settings.items():
        given = str(name)  # below ignore and section.key, as in data.kinds, a key is a column's name, dots included
        keys = (*above, *([given] if above[1:] or above == ("ignore",) else _keys(given) or given.split(".", 2)))
        if isinstance(value, Mapping) and (value or not keys[1:]):  # an empty section changes nothing
            _update(tree, value, keys)
        else:
            _put(tree, keys, value.tolist() if hasattr(value, "tolist") else value, f"settings: {given}")


def _keys(path: str) -> list[str]:
    """The parts of a TOML key: a.b."c.d" gives ['a', 'b', 'c.d']; [] if the text is not a valid key."""
    keys: list[str] = []
    try:
        tree: Any = tomllib.loads(f"{path} = 0")
    except tomllib.TOMLDecodeError:
        return keys
    while isinstance(tree, dict):
        ((key, tree),) = tree.items()
        keys.append(key)
    return keys


def _value(text: str) -> Any:
    """The value of a TOML expression; text that is not TOML, such as a bare word, is a string."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def slug(text: str) -> str:
    """A valid model name derived from any text."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:64] or "model"
