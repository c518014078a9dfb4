"""Writes image/png: a sheet of the images of /decode and /sample, and of /elbo where each image is surprising.

For /elbo a row of the sheet has the image, its reconstruction, and a heatmap of the surprise of each pixel,
-E_q[log p(x_d|z)] summed over its channels, in nats. All heatmaps of a sheet have one scale.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaekit_service.errors import TooLarge
from vaekit_service.messages import Answer

if TYPE_CHECKING:
    from PIL.Image import Image

INPUT, RECONSTRUCTION = "input", "reconstruction"  # fields that only a sheet has: x, and E[x|z] of its mean latent
_SHOWN = 96  # pixels of the smaller side of an image, if there is room
_GAP, _CAPTION, _BAR = 6, 30, 40  # pixels between images, of the text below them, and of the scale of heatmaps
MOST_PIXELS = 2**25  # of a sheet
_COLOURS = np.array(  # from the lowest to the highest surprise; even steps are equally far apart in lightness
    [[0, 0, 4], [51, 10, 95], [120, 28, 109], [187, 55, 84], [237, 105, 37], [251, 180, 26], [252, 255, 164]], float
)
Pixels = NDArray[np.uint8]


def write(answer: Answer) -> bytes:
    """The sheet of an answer with `samples`, `mean`, or `feature_log_likelihood` beside INPUT and RECONSTRUCTION.

    Raises:
        TooLarge: more images than a sheet has room for.
    """
    surprises = answer.rows.get("feature_log_likelihood")
    if surprises is None:
        images = answer.rows.get("samples") if "samples" in answer.rows else answer.rows["mean"]
        assert images is not None
        return _sheet(_uint8(images)[:, None], _names(answer), None)
    surprise = -surprises.sum(axis=-1)  # (N, H, W)
    low, high = float(surprise.min()), float(surprise.max())
    panels = np.stack(
        [_rgb(_uint8(answer.rows[INPUT])), _rgb(_uint8(answer.rows[RECONSTRUCTION])), heatmap(surprise, low, high)],
        axis=1,
    )  # (N, 3, H, W, 3)
    return _sheet(panels, _captions(answer), (low, high))


def heatmap(surprise: NDArray[np.float64], low: float, high: float) -> Pixels:
    """Colours (..., 3) of surprises (...): black at `low`, pale yellow at `high`."""
    at = np.clip((surprise - low) / max(high - low, 1e-12), 0.0, 1.0) * (len(_COLOURS) - 1)
    below = np.minimum(at.astype(int), len(_COLOURS) - 2)
    part = (at - below)[..., None]
    return np.asarray(np.rint((1 - part) * _COLOURS[below] + part * _COLOURS[below + 1]), dtype=np.uint8)


def _names(answer: Answer) -> list[str]:
    return [str(i) if one is None else str(one) for i, one in enumerate(answer.ids or range(answer.n))]


def _captions(answer: Answer) -> list[str]:
    """The id, score, p-value and verdict of each row."""
    scores, p_values, alarms = (answer.rows.get(name) for name in ("score", "p_value", "is_anomaly"))
    found = []
    for i, name in enumerate(_names(answer)):
        score = "" if scores is None else f"  score {scores[i]:.1f}"
        p_value = "" if p_values is None or np.isnan(p_values[i]) else f"  p {p_values[i]:.2g}"
        found.append(name[:24] + score + p_value + ("  ANOMALY" if alarms is not None and alarms[i] else ""))
    return found


def _uint8(images: NDArray[Any] | None) -> Pixels:
    assert images is not None
    return np.asarray(np.rint(np.clip(images, 0, 255)), dtype=np.uint8)


def _rgb(images: Pixels) -> Pixels:
    """Images (N, H, W, C) as (N, H, W, 3); transparent pixels on white."""
    if images.shape[-1] == 4:
        alpha = images[..., 3:] / 255.0
        return _uint8(images[..., :3] * alpha + 255.0 * (1.0 - alpha))
    return np.broadcast_to(images, (*images.shape[:-1], 3)) if images.shape[-1] == 1 else images


def _sheet(panels: Pixels, captions: Sequence[str], scale: tuple[float, float] | None) -> bytes:
    """A sheet of N groups of panels (N, P, H, W, C), with a caption each, and the scale of heatmaps at its end."""
    from PIL import Image, ImageDraw

    n, p, h, w = panels.shape[:4]
    times, columns = _layout(n, p, h, w)
    cell = p * w * times + (p - 1) * _GAP // 2 + _GAP, h * times + _CAPTION  # width and height of a group
    size = columns * cell[0] + _GAP, -(-n // columns) * cell[1] + _GAP + (0 if scale is None else _BAR)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for i, caption in enumerate(captions):
        x, y = _GAP + i % columns * cell[0], _GAP + i // columns * cell[1]
        for j, panel in enumerate(_rgb(panels[i])):
            image = Image.fromarray(np.ascontiguousarray(panel)).resize(
                (w * times, h * times), Image.Resampling.NEAREST
            )
            sheet.paste(image, (x + j * (w * times + _GAP // 2), y))
        _text(draw, (x, y + h * times + 1), caption, cell[0] - _GAP)
    if scale is not None:
        _draw_scale(sheet, scale)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _layout(n: int, p: int, h: int, w: int) -> tuple[int, int]:
    """(how often a pixel is repeated, groups per row), so that the sheet is about square and not too large."""
    for times in range(max(1, _SHOWN // min(h, w)), 0, -1):
        width, height = p * w * times + 2 * _GAP, h * times + _CAPTION
        columns = max(1, min(n, round((n * height / width) ** 0.5)))
        if (columns * width + _GAP) * (-(-n // columns) * height + _GAP + _BAR) <= MOST_PIXELS:
            return times, columns
    raise TooLarge(f"{n} images of {w} x {h} pixels do not fit on a sheet of {MOST_PIXELS:,} pixels; ask for fewer")


def _text(draw: Any, at: tuple[int, int], text: str, width: int) -> None:
    """Draw a text in lines that are no wider than the group; what does not fit in two lines is cut."""
    lines = [""]
    for word in text.encode("ascii", "replace").decode().split("  "):
        joined = f"{lines[-1]}  {word}" if lines[-1] else word
        if draw.textlength(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    for i, line in enumerate(lines[:2]):
        while line and draw.textlength(line) > width:
            line = line[:-1]
        draw.text((at[0], at[1] + 13 * i), line, fill="black")


def _draw_scale(sheet: Image, scale: tuple[float, float]) -> None:
    from PIL import Image, ImageDraw

    low, high = scale
    width, top = min(256, sheet.width - 2 * _GAP), sheet.height - _BAR
    bar = heatmap(np.broadcast_to(np.linspace(low, high, width), (10, width)), low, high)
    sheet.paste(Image.fromarray(np.ascontiguousarray(bar)), (_GAP, top))
    draw = ImageDraw.Draw(sheet)
    _text(draw, (_GAP, top + 12), f"surprise of a pixel:  {low:.2f} to {high:.2f} nats", sheet.width - 2 * _GAP)
