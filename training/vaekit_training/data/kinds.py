"""Which kind a column has, and which likelihood takes it, by names and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vaekit.bundle.input_spec import Kind
from vaekit.bundle.manifest import LikelihoodName
from vaekit.errors import ConfigError, InputError
from vaekit_training.sections import DataConfig, LikelihoodConfig

TAKES: dict[LikelihoodName, tuple[Kind, ...]] = {  # its own kind first
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
    """The kinds of columns that it is a density or a mass of; its own first."""
    if likelihood.name == "bernoulli" and likelihood.binarize != "none":
        return ("fraction", "binary")
    return TAKES[likelihood.name]


def impossible(kinds: Mapping[str, Kind], likelihood: LikelihoodConfig) -> Iterator[str]:
    """Columns whose kind the likelihood does not take, each with what to do."""
    allowed = takes(likelihood)
    for name, kind in kinds.items():
        if kind not in allowed:
            yield (
                f"data.kinds: column {name!r} is {kind!r}, and likelihood.name = {likelihood.name!r} takes "
                f"{' or '.join(map(repr, allowed))}: take likelihood.name = 'mixed', or another kind"
            )


def kinds_of(columns: Sequence[str], config: DataConfig, likelihood: LikelihoodConfig) -> tuple[Kind | None, ...]:
    """The kind of each column; None: what it holds decides, as 'mixed' has it.

    Raises:
        InputError: no columns, or a name in data.kinds that is none of them.
        ConfigError: a kind that the likelihood does not take.
    """
    if not columns:
        raise InputError(f"data {config.source!r}: no columns left to model")
    unknown = [name for name in config.kinds if name not in columns]
    if unknown:
        raise InputError(f"data.kinds: no column {unknown[0]!r} is modelled; there are: {', '.join(columns)}")
    refused = "; ".join(impossible(config.kinds, likelihood))
    if refused:
        raise ConfigError(refused)
    own = None if likelihood.name == "mixed" else takes(likelihood)[0]
    return tuple(config.kinds.get(name, own) for name in columns)


def hint(column: str, config: DataConfig, likelihood: LikelihoodConfig) -> str:
    """What to do about a cell that is none of the likelihood's own kind; none where the column's kind was named."""
    if column in config.kinds or likelihood.name in ("gaussian", "mixed"):
        return ""
    own = takes(likelihood)[0]
    cut = ", or set likelihood.binarize = 'threshold'" if own == "binary" else ""
    return f"likelihood.name = {likelihood.name!r} is for {own} columns: take 'gaussian' or 'mixed'{cut}"
