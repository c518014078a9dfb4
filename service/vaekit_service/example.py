"""Makes the example curl command that `vae serve` prints at start."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
from PIL import Image

from vaekit.bundle.input_spec import Column, ImageSpec
from vaekit.runtime import Model
from vaekit.tabular.levels import level_names

_MAX_LENGTH = 1500  # characters; a longer command is awkward to paste


def curl(model: Model, url: str, *, with_key: bool = False) -> str:
    """A curl command that scores one row sampled from the model.

    If rows are too long, an image model gets a command that scores a file, and another model one for /sample.

    Args:
        with_key: whether the command sends a key, which it takes from VAE_API_KEY.
    """
    base, key = f"{url}/models/{model.manifest.name}", ' -H "authorization: Bearer $VAE_API_KEY"' if with_key else ""
    line = _line(f"{base}/elbo", {"inputs": [_row(model)]}, key)
    if len(line) <= _MAX_LENGTH:
        return line
    if isinstance(model.spec, ImageSpec):
        return f"curl -s {base}/elbo{key} -F images=@IMAGE.png"
    return _line(f"{base}/sample", {"n": 2}, key)


def _line(url: str, body: object, key: str) -> str:
    return f"curl -s {url}{key} -H 'content-type: application/json' -d '{json.dumps(body)}'"


def _row(model: Model) -> object:
    drawn = model.sample_rows(1, seed=0).samples[0]  # (D) or (H, W, C)
    if not isinstance(model.spec, ImageSpec):
        return _plain(drawn, model)
    pixels = np.clip(np.rint(drawn), 0, 255).astype(np.uint8)
    if model.spec.two_valued:
        pixels = np.where(pixels < 128, 0, 255).astype(np.uint8)
    image, file = Image.fromarray(pixels.squeeze(axis=2) if model.spec.channels == 1 else pixels), io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _plain(row: np.ndarray, model: Model) -> list[object]:
    """A row (D,) as a JSON list."""
    assert not isinstance(model.spec, ImageSpec)
    return [cell(x, column) for x, column in zip(row.tolist(), model.spec.columns, strict=True)]


def cell(x: float, column: Column) -> object:
    """A sampled value as a JSON cell that its column accepts, rounded to four significant digits."""
    if column.kind == "category":
        return level_names([x], column)[0]
    if column.kind in ("binary", "count"):
        return max(0, round(x))
    return float(f"{x:.4g}")
