"""Tolerance rules: by column, the deviations from the expected value that are not worth an alarm.

    deviation_d = x_d - expected_d, tolerated if -below_d <= deviation_d <= above_d          in the column's raw unit

A rule can only remove an alarm. Scores and p-values do not depend on rules. How a rule is applied is in
vaekit.runtime.explain.tolerance.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from pydantic_core import ErrorDetails

from vaekit.bundle.input_spec import ImageSpec, Kind, VectorSpec
from vaekit.errors import InputError

ANY = "any"
EXAMPLE = "such as {'pressure': {'above': 0.2, 'below': 'any'}}"
_LISTED = 20  # columns that a message lists
_LARGEST = sys.float_info.max
_SIZES = f"expected a number of at least 0, in the column's unit, or '{ANY}'"


def _size(value: Any) -> Any:
    if value == ANY:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        raise ValueError(f"{value!r:.50}: {_SIZES}")
    return float(value)


Size = Annotated[Annotated[FiniteFloat, Field(ge=0)] | Literal["any"], BeforeValidator(_size)]


class ToleranceRule(BaseModel):
    """The deviations of one column that are not worth an alarm."""

    # An unknown key is an error in a manifest too: a reader that skipped a condition would remove too many alarms.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    above: Size = Field(
        0.0,
        description="largest deviation above the expected value that is not worth an alarm, in the column's unit; "
        "'any': none is; default: all are",
    )
    below: Size = Field(0.0, description="the same below the expected value")

    @model_validator(mode="after")
    def _tolerates(self) -> ToleranceRule:
        if self.above == 0 and self.below == 0:
            raise ValueError("the rule tolerates nothing: give above, below or both")
        return self


Rules = Mapping[str, ToleranceRule]


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


def parse_rules(found: Any, where: str = "ignore") -> dict[str, ToleranceRule]:
    """The rules by column from nested dictionaries, {"pressure": {"above": 0.2, "below": 0.2}}.

    Args:
        found: the dictionaries, or rules themselves.
        where: the file or the argument, for messages.

    Raises:
        InputError: a rule is invalid; the message names its column and key.
    """
    if not isinstance(found, Mapping):
        raise InputError(f"{where}: expected rules by column name, {EXAMPLE}")
    return {str(name): _rule(rule, f"{where}: column {name!r}") for name, rule in found.items()}


def _rule(found: Any, where: str) -> ToleranceRule:
    try:
        return ToleranceRule.model_validate(dict(found) if isinstance(found, Mapping) else found)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
    raise InputError(f"{where}: {rule_error(first, first['loc'])}")


def rule_error(error: ErrorDetails, loc: Sequence[int | str]) -> str:
    """What is wrong with a rule, by pydantic's error and its place within the rule."""
    key = f"{loc[0]!s:.50}: " if loc else ""
    if error["type"] == "extra_forbidden":
        return f"{key}no such key; the keys are above and below"
    if error["type"] == "model_type":
        return f"{error['input']!r:.100}: expected above and below, {EXAMPLE}"
    return f"{key}{error['ctx']['error'] if error['type'] == 'value_error' else error['msg']}"


def _limit(size: float | str) -> float:
    return math.inf if size == ANY else float(size)
