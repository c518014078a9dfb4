"""A curl line that works, for the user of `vae serve`."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
from PIL import Image

from vaekit.bundle.input_spec import Column, ImageSpec
from vaekit.runtime import Model
from vaekit.tabular.levels import level_names

_MAX_LENGTH = 1500  # a longer line is not worth pasting


def curl(model: Model, url: str) -> str:
    """A curl line that scores one row, which the model itself has drawn; a line for /sample where rows are too long."""
    base = f"{url}/models/{model.manifest.name}"
    line = _line(f"{base}/elbo", {"inputs": [_row(model)]})
    return line if len(line) <= _MAX_LENGTH else _line(f"{base}/sample", {"n": 2})


def _line(url: str, body: object) -> str:
    return f"curl -s {url} -H 'content-type: application/json' -d '{json.dumps(body)}'"


def _row(model: Model) -> object:
    drawn = model.sample(1, seed=0).samples[0]  # (D) or (H, W, C)
    if not isinstance(model.spec, ImageSpec):
        return _plain(drawn, model)
    pixels = np.clip(np.rint(drawn), 0, 255).astype(np.uint8)
    if model.spec.two_valued:
        pixels = np.where(pixels < 128, 0, 255).astype(np.uint8)
    picture, file = Image.fromarray(pixels.squeeze(axis=2) if model.spec.channels == 1 else pixels), io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _plain(row: np.ndarray, model: Model) -> list[object]:
    """A row as JSON has it."""
    assert not isinstance(model.spec, ImageSpec)
    return [cell(x, column) for x, column in zip(row.tolist(), model.spec.columns, strict=True)]


def cell(x: float, column: Column) -> object:
    """A value that the model has drawn, as one that its column takes; four digits are enough to try."""
    if column.kind == "category":
        return level_names([x], column)[0]
    if column.kind in ("binary", "count"):
        return max(0, round(x))
    return float(f"{x:.4g}")
