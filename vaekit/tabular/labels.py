"""Decides which labels of rows mean anomaly, and which are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.tabular.cells import is_missing, plain, spells_missing
from vaekit.tabular.levels import level_text, number_in

_SYNONYMS = {"true": "1", "false": "0"}


def label_text(value: Any) -> str:
    """The normalised text of a label: 1, 1.0 and ' 1' become '1', True and 'TRUE' become 'true'; '' if missing.

    A label is missing if it would be a missing cell in a CSV file: empty, blank, NaN, or text like 'NA'.
    """
    value = plain(value)
    if is_missing(value) or (isinstance(value, str) and spells_missing(value)):
        return ""
    text = str(value).strip()
    if text.lower() in _SYNONYMS:
        return text.lower()
    number = number_in(text)
    return text if number is None else level_text(number)


class AnomalyLabels:
    """Decides which labels mean anomaly. `seen` is the set of all labels so far, in the form of `label_text`."""

    def __init__(self, anomalies: Sequence[Any]) -> None:
        """anomalies: the labels that mean anomaly. `true` and 1 are the same label. 'NA' may be one of them."""
        self.anomalies = tuple(anomalies)
        self.seen: set[str] = set()
        self._named = {label.strip() for label in anomalies if isinstance(label, str)} - {""}
        self._wanted = {_without_synonyms(self._text(label)) for label in anomalies}

    def of(self, labels: Sequence[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(which of the labels mean anomaly, which are missing), each (n,)."""
        texts = [self._text(label) for label in labels]
        self.seen |= set(texts) - {""}
        anomaly = np.array([_without_synonyms(text) in self._wanted for text in texts], dtype=bool)
        return anomaly, np.array([not text for text in texts], dtype=bool)

    def _text(self, label: Any) -> str:
        if isinstance(label, str) and label.strip() in self._named:
            return label_text(label) or label.strip()
        return label_text(label)


def _without_synonyms(text: str) -> str:
    return _SYNONYMS.get(text, text)
