"""A scorer that also says which cells of each row are odd, as columns. Knows Arrow types and a model; no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from vaekit.runtime import Model
from vaekit.runtime.cells import named
from vaekit.runtime.explain import check_explained
from vaekit.scoring.scorers import LocalScorer, Scores

FIELDS = {"": pa.string(), "_relief": pa.float64(), "_p_value": pa.float64(), "_expected": pa.string()}


def reason_fields(top: int) -> list[pa.Field]:
    """`odd_1`, the name of the oddest cell's column, `odd_1_relief`, ... to `odd_<top>_expected`, and `kl_p_value`."""
    each = [pa.field(f"odd_{i}{name}", kind) for i in range(1, top + 1) for name, kind in FIELDS.items()]
    return [*each, pa.field("kl_p_value", pa.float64())]


@dataclass(frozen=True)
class Reasoned(Scores):
    """Scores with columns more, found by their names as the scores' own are."""

    reasons: Mapping[str, pa.Array] = field(default_factory=dict)

    def __getattr__(self, name: str) -> pa.Array:
        """What is no field of a score."""
        try:
            return vars(self)["reasons"][name]
        except KeyError:
            raise AttributeError(name) from None


class ExplainingScorer(LocalScorer):
    """A loaded model that explains every row; some thirty times the work of scoring it."""

    def __init__(self, model: Model, top: int, *, num_samples: int | None = None, alpha: float = 0.05) -> None:
        """
        Args:
            model: stays the caller's to close.
            top: cells of each row.
            num_samples: None, or the model's default: held-out cells have no other.
            alpha: false-alarm rate of the verdict.

        Raises:
            InputError: as of LocalScorer, or a model whose cells have nothing to compare with.
        """
        super().__init__(model, num_samples=num_samples, alpha=alpha)
        check_explained(model, top, num_samples)
        self._top = top
        self.appended = pa.schema([*self.appended, *reason_fields(top)])
        self.facts = {**self.facts, "explain": top}

    def score(self, x: NDArray[Any]) -> Scores:
        found = self._model.explain(x, top=self._top)
        assert found.explanation is not None
        rows = named(found.explanation, self.spec)  # (n, at most k)
        reasons = {"kl_p_value": pa.array(found.kl_p_value)}
        for i in range(self._top):
            for name, kind in FIELDS.items():
                column = [_said(row[i], name) if i < len(row) else None for row in rows]
                reasons[f"odd_{i + 1}{name}"] = pa.array(column, kind)
        return Reasoned(**super().score(x).arrays(), reasons=reasons)


def _said(cell: Mapping[str, Any], name: str) -> Any:
    """A cell's field: names and expected values in words, since levels have no number."""
    value = cell[name.removeprefix("_") or "feature"]
    return f"{value:.6g}" if name == "_expected" and isinstance(value, float) else value
