"""The methods that scikit-learn expects of an estimator, without importing scikit-learn.

scikit-learn checks for these methods, not for its own base class. They are defined here so that importing a detector
is fast, and a detector with a loaded model works without scikit-learn.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vaekit.errors import InputError

if TYPE_CHECKING:
    from sklearn.utils import Tags


class Estimator:
    """Reads and sets the parameters of __init__ by name, for clone, Pipeline and GridSearchCV."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002  scikit-learn's signature; none is nested
        """All parameters of __init__, as they were given."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters for the next fit.

        Raises:
            InputError: an unknown parameter.
        """
        known = self._defaults()
        for name, value in params.items():
            if name not in known:
                raise InputError(f"{type(self).__name__}: no parameter {name!r}; parameters: {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle; parameters that the version which wrote it did not have get their defaults."""
        self.__dict__.update({**self._defaults(), **state})

    def __repr__(self) -> str:
        changed = {n: getattr(self, n) for n, default in self._defaults().items() if getattr(self, n) != default}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Tags:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type="outlier_detector",
            target_tags=TargetTags(required=False),
            input_tags=InputTags(allow_nan=True, string=True),
        )

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {name: p.default for name, p in inspect.signature(cls).parameters.items()}


def not_fitted(text: str) -> InputError:
    """An InputError that is also scikit-learn's NotFittedError, if scikit-learn is installed."""
    try:
        from sklearn.exceptions import NotFittedError
    except ImportError:
        return InputError(text)
    both = type("NotFitted", (InputError, NotFittedError), {"__reduce__": lambda self: (not_fitted, self.args)})
    error: InputError = both(text)
    return error


def without_left_out(values: Any, dim: int, features: int, left_out: Sequence[str]) -> Any:
    """Rows without names, without the columns that fit left out.

    Args:
        values: an array (N, features), or lists.
        dim: number of the model's columns.
        features: number of columns in fit.
        left_out: names of the columns that fit left out, x0, x1, ...

    Raises:
        InputError: another number of columns than in fit.
    """
    rows = values if isinstance(values, np.ndarray) else None
    if features == dim:
        if rows is not None and rows.ndim == 2 and rows.shape[1] != dim:
            raise InputError(f"X has {rows.shape[1]} features, but Detector is expecting {dim} features as input")
        return values
    rows = np.array(values, dtype=object) if rows is None else rows
    if rows.ndim != 2 or rows.shape[1] != features:
        raise InputError(f"X has shape {rows.shape}, but Detector is expecting {features} features as input")
    dropped = {int(name[1:]) for name in left_out}
    return rows[:, [d for d in range(rows.shape[1]) if d not in dropped]]
