"""A data file alone -> the config a careful person would start from. Knows columns and kinds; not the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from training.config import slug
from training.data import numeric, read


def infer(source: str) -> tuple[dict[str, Any], list[str]]:
    """Config tree for a source, and remarks on what was decided.

    Pictures get a bernoulli likelihood, binarised where they are grey; tables a gaussian one over numeric columns.

    Raises:
        InputError: the source is unknown or unreadable.
    """
    found = read(source)
    tree: dict[str, Any] = {"name": slug(Path(source).stem), "data": {"source": source}}
    if found.pictures is not None:
        two_valued = bool(np.isin(found.pictures, (0, 255)).all())
        tree["likelihood"] = {"name": "bernoulli", "binarize": "none" if two_valued else "threshold"}
        remark = (
            "black and white" if two_valued else "grey: the likelihood is one of pixels binarised at half the range"
        )
        return tree, [f"{len(found.pictures)} pictures of {found.pictures.shape[1:]}, {remark}"]
    text = [name for name, values in found.columns.items() if not numeric(values)]
    if text:
        tree["data"]["exclude"] = text
    remarks = [f"columns that are not of numbers are left out: {', '.join(text)}"] if text else []
    remarks.append(
        "every row is taken as normal; if a column marks anomalies, say --set data.label=COLUMN, since the model would "
        "otherwise learn from it and from them"
    )
    return tree, remarks
