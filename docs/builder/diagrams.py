"""Draws the flowcharts of pages, which a code host draws from the same text, as SVG in the colours of the site."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

FENCE = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NODE = re.compile(r'(\w+)\["([^"]*)"\]')
ARROW = re.compile(r'^\s*(\w+)(?:\["[^"]*"\])?\s+(--|-\.)(?:\s*"?([^">-]*?)"?\s*(?:--|\.-))?>\s+(\w+)')
WIDE, HIGH, GAP_X, GAP_Y = 250, 46, 26, 44  # of a box and the space around it
SWEEPS = 8  # passes that order the boxes of a rank by their neighbours


@dataclass(frozen=True)
class Arrow:
    """An arrow from one node to another, with an optional label."""

    start: str
    end: str
    label: str
    dashed: bool


def drawn(text: str) -> str:
    """A page with its mermaid flowcharts as pictures."""
    return FENCE.sub(lambda found: f"```{{raw}} html\n{flowchart(found[1])}\n```", text)


def flowchart(source: str) -> str:
    """A flowchart from bottom to top as SVG: every arrow points upwards."""
    labels: dict[str, str] = {}
    arrows: list[Arrow] = []
    for line in source.splitlines()[1:]:
        labels |= dict(NODE.findall(line))
        found = ARROW.match(line)
        if found:
            arrows.append(Arrow(found[1], found[4], (found[3] or "").strip(), found[2] == "-."))
    ranks = _ranks(labels, arrows)
    rows = _rows(ranks, arrows)
    places = _places(rows)
    width = max(len(row) for row in rows) * (WIDE + GAP_X) + GAP_X
    height = len(rows) * (HIGH + GAP_Y)
    lines = [_line(arrow, ranks, places) for arrow in arrows]
    boxes = [_box(label, *places[name]) for name, label in labels.items()]
    words = html.escape("; ".join(f"{_first(labels[a.start])} to {_first(labels[a.end])}" for a in arrows))
    return (
        f'<svg class="flowchart" viewBox="0 0 {width} {height}" role="img" aria-label="Arrows: {words}">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z"/></marker></defs>{"".join(lines)}{"".join(boxes)}</svg>'
    )


def _first(label: str) -> str:
    return label.split("<br/>")[0]


def _ranks(names: Iterable[str], arrows: Sequence[Arrow]) -> dict[str, int]:
    """The longest way from each node to the top."""
    ranks = dict.fromkeys(names, 0)
    for _ in ranks:
        for arrow in arrows:
            ranks[arrow.start] = max(ranks[arrow.start], ranks[arrow.end] + 1)
    return ranks


def _bends(arrow: Arrow, ranks: dict[str, int]) -> list[str]:
    """The names of the points at which a long arrow passes the ranks between its ends, from the top."""
    return [f"{arrow.start}>{arrow.end}>{rank}" for rank in range(ranks[arrow.end] + 1, ranks[arrow.start])]


def _rows(ranks: dict[str, int], arrows: Sequence[Arrow]) -> list[list[str]]:
    """The nodes and bends of each rank, ordered so that few arrows cross."""
    rows: list[list[str]] = [[name for name in ranks if ranks[name] == rank] for rank in range(max(ranks.values()) + 1)]
    near: dict[str, list[str]] = {}
    for arrow in arrows:
        chain = [arrow.end, *_bends(arrow, ranks), arrow.start]
        for rank, bend in enumerate(chain[1:-1], ranks[arrow.end] + 1):
            rows[rank].append(bend)
        for upper, lower in pairwise(chain):
            near.setdefault(upper, []).append(lower)
            near.setdefault(lower, []).append(upper)
    for _ in range(SWEEPS):
        for row in rows:
            places = _places(rows)
            row.sort(
                key=lambda name: sum(places[other][0] for other in near.get(name, [])) / max(1, len(near.get(name, [])))
            )
    return rows


def _places(rows: Sequence[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """The middle of each box and bend."""
    widest = max(map(len, rows))
    return {
        name: (
            GAP_X + (WIDE + GAP_X) * (column + (widest - len(row)) / 2) + WIDE / 2,
            (HIGH + GAP_Y) * rank + HIGH / 2 + 6,
        )
        for rank, row in enumerate(rows)
        for column, name in enumerate(row)
    }


def _line(arrow: Arrow, ranks: dict[str, int], places: dict[str, tuple[float, float]]) -> str:
    chain = [arrow.start, *reversed(_bends(arrow, ranks)), arrow.end]
    points = [places[name] for name in chain]
    x, y = points[0][0], points[0][1] - HIGH / 2
    path = [f"M{x:.0f} {y:.0f}"]
    for index, (to_x, to_y) in enumerate(points[1:], 1):
        last = index == len(points) - 1
        end_y = to_y + HIGH / 2 + (1 if last else 0)
        middle = (y + end_y) / 2
        path.append(f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {end_y:.0f}")
        if not last:
            path.append(f"V{to_y - HIGH / 2:.0f}")
        x, y = to_x, to_y - HIGH / 2
    dashed = ' class="dashed"' if arrow.dashed else ""
    text = ""
    if arrow.label:
        (from_x, from_y), (at_x, at_y) = points[0], points[len(points) // 2]
        if len(points) == 2:
            at_x, at_y = (from_x + at_x) / 2, (from_y + at_y) / 2
        text = f'<text x="{at_x + 6:.0f}" y="{at_y + 4:.0f}" class="label">{html.escape(arrow.label)}</text>'
    return f'<path d="{" ".join(path)}"{dashed} marker-end="url(#tip)"/>{text}'


def _box(label: str, x: float, y: float) -> str:
    lines = label.split("<br/>")
    top = y + 4 - 8 * (len(lines) - 1)
    words = "".join(
        f'<text x="{x:.0f}" y="{top + 17 * index:.0f}"{"" if index else " class=name"}>{html.escape(line)}</text>'
        for index, line in enumerate(lines)
    )
    return f'<rect x="{x - WIDE / 2:.0f}" y="{y - HIGH / 2:.0f}" width="{WIDE}" height="{HIGH}" rx="6"/>{words}'
