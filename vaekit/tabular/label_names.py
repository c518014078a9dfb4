"""Recognises columns that look like labels, by their names."""

from __future__ import annotations

import re

_LABEL = re.compile(
    r"(?i:(?:^|[_\W])(?:labels?|class|target|y|(?:is_?)?(?:anomal(?:y|ies|ous)|outliers?|faults?|faulty|fraud|defects?|attack|"
    r"abnormal|normal|malignant)|diagnosis|ground_?truth)(?:$|[_\W]))"
)


def named_as_label(name: str) -> bool:
    """Whether a column's name says that it marks anomalies, or a class."""
    return _LABEL.search(name) is not None
