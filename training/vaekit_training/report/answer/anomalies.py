"""The section on the most anomalous rows: each with the cells that make it so, or with the heatmap of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vaekit.chart_style import LIGHT
from vaekit.tabular.explained_cells import NONE_IS_ODD
from vaekit.tabular.row_names import of_id
from vaekit_training.evaluate import ALPHA
from vaekit_training.report import image_sheets
from vaekit_training.report.answer.shares import percent
from vaekit_training.report.facts import Facts
from vaekit_training.report.measured.cases import Case, CaseImage
from vaekit_training.report.parts import Item, Items, Reason, Section, number, plural
from vaekit_training.report.svg import MINUS, Axis, Chart

STRIP_WIDTH, STRIP_HEIGHT = 150, 18
TOGETHER = "its values are unusual together"
FAR = 3.0  # half-widths of the interval: the chart of a cell ends there, and values beyond are at its edge
IMAGE_WIDTH = 88  # of each of the three images of a row, CSS pixels


def section(facts: Facts) -> Section:
    """The most anomalous rows and why they are."""
    top, normal = facts.cases.top, facts.cases.normal
    if not top:
        return Section("anomalies", "The most anomalous rows", (HIDDEN,))
    thing = "image" if facts.is_image else "window" if facts.is_windowed else "row"
    among = f"test {thing}s" + (" and labelled anomalies" if facts.judged.has_anomalies else "")
    title = f"The {plural(len(top), f'most anomalous {thing}')}"
    lists = [Items("", tuple(_item(facts, case) for case in top))]
    if normal:
        lists.append(Items("Further normal rows, the most anomalous", tuple(_item(facts, case) for case in normal)))
    return Section("anomalies", title, tuple(_text(facts, among)), items=tuple(lists))


GLOWING = (
    "Spots that glow in normal images are features that the model has not learnt: bring parts into the same position "
    "and angle, or add images."
)
HIDDEN = "The rows are not shown, because privacy.report_rows is false."


def _text(facts: Facts, among: str) -> list[str]:
    count = f"{len(facts.judged.index):,} {among}{' (a sample)' if facts.is_sampled else ''}"
    said = [f"Of {count}, by p-value and then by score. "]
    if facts.is_image:
        said[0] += (
            "From left to right: the image, what the model expects, and where they differ: orange pixels are more "
            "surprising than usual, blue ones less."
        )
        if not all(case.labelled for case in facts.cases.top):
            said.append(GLOWING)
    else:
        said[0] += (
            "Below each row are the cells that stand out, with what the model expects there from the other cells of "
            "the row. In the small charts the band is the expected range (90\u00a0%) and the dot is the value."
        )
    if facts.judged.has_anomalies:
        said.append("A row that is labelled normal and is flagged is a false alarm, or its label is wrong: look at it.")
    said.append("Everyone who gets this page can see these rows. With privacy.report_rows = false it has none.")
    return said


def _item(facts: Facts, case: Case) -> Item:
    what = "image" if facts.is_image else "window that ends at time step" if facts.is_windowed else "row"
    title = f"{what} {case.row}" if case.row is not None else f"a sampled {'image' if facts.is_image else 'row'}"
    title += of_id(facts.manifest.id_column, case.id)
    remarks = [("", f"p-value {number(case.p_value, 2)}"), ("", f"score {number(case.score)} nats")]
    if facts.judged.has_anomalies:
        remarks.append(("bad", "labelled anomaly") if case.labelled else ("", "labelled normal"))
    if facts.can_flag:
        remarks.append(("bad", f"flagged at {ALPHA}") if case.flagged else ("", "not flagged"))
    if case.novel:
        remarks.append(("bad", "novel: unlike every training row"))
    if case.group is not None:
        remarks.append(("", f"compared with {case.group}"))
    if case.image is not None:
        return Item(title, tuple(remarks), images=_images(case.image, title))
    note = _nothing_odd(case) if case.cells == () else ""
    return Item(title, tuple(remarks), tuple(_reason(cell) for cell in case.cells or ()), note=note)


def _nothing_odd(case: Case) -> str:
    together = f": {TOGETHER}" if case.flagged else ""
    return f"{NONE_IS_ODD[0].upper()}{NONE_IS_ODD[1:]}{together}."


def _reason(cell: dict[str, Any]) -> Reason:
    expected = f"expected {_text_of(cell['expected'])}"
    if cell["low"] is not None:
        expected += f" ({_text_of(cell['low'])} to {_text_of(cell['high'])})"
    elif cell["probability"] is not None:
        expected += f" ({percent(cell['probability'])})"
    return Reason(cell["feature"], _text_of(cell["value"]), expected, strip(cell))


def _text_of(value: float | str | None) -> str:
    if value is None:
        return "an unseen level"
    return value if isinstance(value, str) else number(value).replace("-", MINUS)  # which does not end a line


def strip(cell: dict[str, Any]) -> Markup:
    """A chart of one cell: the expected range as a band, and the value as a dot; nothing for a category."""
    low, high, value, expected = (cell[name] for name in ("low", "high", "value", "expected"))
    if low is None or not isinstance(value, float) or not np.isfinite([low, high, value, expected]).all():
        return Markup("")
    half = max(high - low, 1e-12 * max(abs(low), abs(high), 1e-300)) / 2
    ends = max(low - FAR * half, min(low - half, value)), min(high + FAR * half, max(high + half, value))
    x = Axis.over(ends, margin=0.06)
    chart = Chart(x, Axis(-1, 1), width=STRIP_WIDTH, height=STRIP_HEIGHT, left=8, top=2, x_ticks=0, y_ticks=0)
    chart.height += 18  # room below the axis, which is not drawn
    chart.band(low, high, 0.55, "f1").line([expected, expected], [-0.55, 0.55], "s1").points([value], [0.0], "s2 large")
    said = f"{cell['feature']}: {number(value)}, expected {number(low)} to {number(high)}"
    return chart.bare(said, STRIP_HEIGHT)


def _images(image: CaseImage, title: str) -> Markup:
    """The image, its reconstruction and its heatmap, on one sheet."""
    given, expected = (_rgb(np.asarray(one, dtype=np.float64)) for one in (image.given, image.expected))
    three = np.stack([given, expected, heat_colours(image.heat)])
    return image_sheets.embedded(three, 3, f"{title}: the image, what is expected, and the heatmap", shown=IMAGE_WIDTH)


def _rgb(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """An image (H, W, C) in three channels."""
    return image if image.shape[-1] == 3 else np.repeat(image[..., :1], 3, axis=-1)


def heat_colours(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    """The colours (H, W, 3), 0..255, of nats above the held-out median (H, W): blue below 0, red above, white at 0."""
    most = max(float(np.quantile(np.abs(heat), 0.99)), 1e-9)
    share = np.clip(heat / most, -1.0, 1.0)[..., None]  # (H, W, 1)
    white, high, low = (_channels(LIGHT[name]) for name in ("page", "c2", "c1"))
    return np.asarray(np.where(share > 0, white + share * (high - white), white - share * (low - white)))


def _channels(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float64)
