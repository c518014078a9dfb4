"""Decides the kind of each column, and which kinds each likelihood accepts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vaekit.bundle.input_spec import Kind
from vaekit.bundle.manifest import LikelihoodName
from vaekit.errors import ConfigError, InputError
from vaekit_training.sections import DataConfig, LikelihoodConfig

TAKES: dict[LikelihoodName, tuple[Kind, ...]] = {  # accepted kinds, the default one first
    "gaussian": ("real", "positive", "count"),
    "student_t": ("real", "positive"),
    "laplace": ("real", "positive"),
    "bernoulli": ("binary",),
    "continuous_bernoulli": ("fraction",),
    "discretized_logistic": ("count",),
    "categorical": ("category",),
    "mixed": ("real", "positive", "count", "fraction", "binary", "category"),
}


def takes(likelihood: LikelihoodConfig) -> tuple[Kind, ...]:
    """The kinds of columns that a likelihood accepts, the default one first."""
    if likelihood.name == "bernoulli" and likelihood.binarize != "none":
        return ("fraction", "binary")
    return TAKES[likelihood.name]


def impossible(kinds: Mapping[str, Kind], likelihood: LikelihoodConfig) -> Iterator[str]:
    """An error message for each column whose kind the likelihood does not accept."""
    allowed = takes(likelihood)
    for name, kind in kinds.items():
        if kind not in allowed:
            yield (
                f"data.kinds: column {name!r} is {kind!r}, but likelihood.name = {likelihood.name!r} takes "
                f"{' or '.join(map(repr, allowed))}: set likelihood.name = 'mixed', or another kind"
            )


def kinds_of(columns: Sequence[str], config: DataConfig, likelihood: LikelihoodConfig) -> tuple[Kind | None, ...]:
    """The kind of each column; None if it is inferred from the cells (only under 'mixed').

    Raises:
        InputError: there are no columns, or data.kinds names a column that is not modelled.
        ConfigError: the likelihood does not accept a kind.
    """
    if not columns:
        raise InputError(f"data {config.source!r}: no columns to model; name fewer in data.exclude and data.label")
    unknown = [name for name in config.kinds if name not in columns]
    if unknown:
        raise InputError(f"data.kinds: column {unknown[0]!r} is not modelled; modelled columns: {', '.join(columns)}")
    refused = "; ".join(impossible(config.kinds, likelihood))
    if refused:
        raise ConfigError(refused)
    own = None if likelihood.name == "mixed" else takes(likelihood)[0]
    return tuple(config.kinds.get(name, own) for name in columns)


def hint(column: str, config: DataConfig, likelihood: LikelihoodConfig) -> str:
    """How to fix a cell that the likelihood does not accept; empty if data.kinds defines the column's kind."""
    if column in config.kinds or likelihood.name in ("gaussian", "mixed"):
        return ""
    own = takes(likelihood)[0]
    cut = ", or set likelihood.binarize = 'threshold'" if own == "binary" else ""
    return f"likelihood.name = {likelihood.name!r} is for {own} columns: set 'gaussian' or 'mixed'{cut}"
