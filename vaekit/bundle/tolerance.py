"""Tolerance rules: by column, the deviations from the expected value that are not worth an alarm.

    deviation_d = x_d - expected_d, tolerated if -below_d <= deviation_d <= above_d          in the column's raw unit

A rule can only remove an alarm. Scores and p-values do not depend on rules. How a rule is applied is in
vaekit.runtime.explain.tolerance.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.errors import InputError

ANY = "any"
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
        if problem := wrong_column(rules, spec):
            raise InputError(problem)
        if not rules:
            return None
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


def wrong_column(rules: Rules, spec: VectorSpec | ImageSpec) -> str | None:
    """What is wrong with the columns of the rules; None: nothing."""
    if not rules:
        return None
    if isinstance(spec, ImageSpec):
        return f"ignore: column {next(iter(rules))!r}: the model takes images, and rules are for columns"
    known = {column.name: column for column in spec.columns}
    for name in rules:
        if name not in known:
            some = ", ".join(list(known)[:20]) + (", ..." if len(known) > 20 else "")
            return f"ignore: column {name!r} is not a column of the model; expected one of {some}"
        if known[name].kind == "category":
            return f"ignore: column {name!r} is a category, and levels have no size of deviation; expected a number"
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
        raise InputError(f"{where}: {type(found).__name__}, expected a rule by column name, {_EXAMPLE}")
    return {str(name): _rule(rule, f"{where}: column {name!r}") for name, rule in found.items()}


_EXAMPLE = "such as {'pressure': {'above': 0.2, 'below': 'any'}}"


def _rule(found: Any, where: str) -> ToleranceRule:
    if isinstance(found, ToleranceRule):
        return found
    if not isinstance(found, Mapping):
        raise InputError(f"{where}: {found!r:.100}, expected above and below, {_EXAMPLE}")
    try:
        return ToleranceRule.model_validate(dict(found))
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
    key = "".join(f": {part}" for part in first["loc"][:1])
    if first["type"] == "extra_forbidden":
        raise InputError(f"{where}{key}: no such key; the keys are above and below")
    raise InputError(f"{where}{key}: {first['ctx']['error'] if 'ctx' in first else first['msg']}")


def _limit(size: float | str) -> float:
    return math.inf if size == ANY else float(size)
