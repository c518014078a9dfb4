"""The methods that scikit-learn expects of an estimator, without importing scikit-learn.

scikit-learn checks for these methods, not for its own base class. They are defined here so that importing a detector
is fast, and a detector with a loaded model works without scikit-learn.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Self

from vaekit.errors import InputError

if TYPE_CHECKING:
    from sklearn.utils import Tags

P = ParamSpec("P")
FOREIGN = {  # parameters of other libraries' detectors, and what to use instead
    "contamination": "the share of the training rows to flag; use alpha, the largest share of new normal rows to flag, "
    "on average",
}


def refusing_foreign(init: Callable[P, None]) -> Callable[P, None]:
    """An __init__ whose TypeError for a parameter of another library says what to use instead; its signature stays."""

    @wraps(init)
    def checked(*args: P.args, **given: P.kwargs) -> None:
        for name, instead in FOREIGN.items():
            if name in given:
                raise TypeError(f"no parameter {name!r}, {instead}")
        init(*args, **given)

    return checked


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
