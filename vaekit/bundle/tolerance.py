"""Fits tolerance rules to the columns of a model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vaekit.bundle.input_spec import ImageSpec, Kind, VectorSpec
from vaekit.errors import InputError
from vaekit.tolerance_rules import ANY, Rules

_LISTED = 20  # columns that a message lists


@dataclass(frozen=True)
class Tolerances:
    """The R rules in force for a model."""

    names: tuple[str, ...]  # (R,) of the columns
    columns: tuple[int, ...]  # (R,) their places among the model's columns
    above: tuple[float, ...]  # (R,), raw units; inf: any deviation
    below: tuple[float, ...]  # (R,)

    @classmethod
    def of(cls, rules: Rules, spec: VectorSpec | ImageSpec) -> Tolerances | None:
        """The rules for the columns of a model; None: there are no rules.

        Raises:
            InputError: a rule names a column that the model does not have, or a category.
        """
        if not rules:
            return None
        if problem := wrong_column(rules, kinds_by_name(spec)):
            raise InputError(problem)
        assert isinstance(spec, VectorSpec)
        order = [(d, name, rules[name]) for d, name in enumerate(spec.names) if name in rules]
        above, below = ([_limit(getattr(rule, side)) for _, _, rule in order] for side in ("above", "below"))
        names, columns = tuple(name for _, name, _ in order), tuple(d for d, _, _ in order)
        return cls(names, columns, tuple(above), tuple(below))

    def __len__(self) -> int:
        return len(self.names)

    def permits(self, rule: int, deviation: float) -> bool:
        """Whether a rule tolerates a deviation, raw units; a deviation that is NaN is not tolerated."""
        return -self.below[rule] <= deviation <= self.above[rule]


def kinds_by_name(spec: VectorSpec | ImageSpec) -> dict[str, Kind]:
    """The kind of each column of a model; empty for images."""
    return {} if isinstance(spec, ImageSpec) else {column.name: column.kind for column in spec.columns}


def wrong_column(rules: Iterable[str], kinds: Mapping[str, Kind]) -> str | None:
    """What is wrong with the columns that rules are for; None: nothing.

    Args:
        rules: the columns with a rule.
        kinds: the kind of each column of the model, by name; empty for images.
    """
    for name in rules:
        where = f"ignore: column {name!r}"
        if not kinds:
            return f"{where}: the model takes images, and rules are for columns of numbers"
        if name not in kinds:
            some = ", ".join(list(kinds)[:_LISTED]) + (", ..." if len(kinds) > _LISTED else "")
            return f"{where} is not a column of the model; its columns are {some}"
        if kinds[name] == "category":
            return f"{where} is a category; levels have no size of deviation, so rules are for columns of numbers"
    return None


def _limit(size: float | str) -> float:
    return math.inf if size == ANY else float(size)
