"""Tolerance rules: by column, the deviations from the expected value that are not worth an alarm.

    deviation_d = x_d - expected_d, tolerated if -below_d <= deviation_d <= above_d          in the column's raw unit

A rule can only remove an alarm. Scores and p-values do not depend on rules. vaekit.bundle.tolerance fits rules to the
columns of a model, and vaekit.runtime.explain.tolerance applies them. This file is part of the wire, so it imports no
numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Real
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from pydantic_core import ErrorDetails

from vaekit.errors import InputError

ANY = "any"
EXAMPLE = "such as {'pressure': {'above': 0.2, 'below': 'any'}}"
_SIZES = f"expected a number of at least 0, in the column's unit, or '{ANY}'"


def _size(value: Any) -> Any:
    if isinstance(value, str) and value == ANY:
        return value
    number = math.nan
    if not isinstance(value, bool) and isinstance(value, Real):
        with suppress(OverflowError):  # an integer of hundreds of digits
            number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{value!r:.50}: {_SIZES}")
    return number


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
