"""docs/reference/networks.md states the cost of the default networks.

`python -m tests.training.test_networks_page` renews it.
"""

from __future__ import annotations

import math
from pathlib import Path

from vaekit_training.networks import cost, decoder, encoder
from vaekit_training.sections import NetworkConfig

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "networks.md"
MARK = "<!-- renewed by: python -m tests.training.test_networks_page -->\n"
SHAPES = [(28, 28, 1), (32, 32, 3), (64, 64, 3)]
Z = 16


def table() -> str:
    """Lines of the table: one per network and image size."""
    lines = ["| `name` | images | parameters | MFLOP per row | widest layer, values |", "|---|---|---|---|---|"]
    for name in ("mlp", "conv", "resnet"):
        config = NetworkConfig.model_validate({"name": name})
        for shape in SHAPES:
            one = cost(encoder(config, shape, Z))
            other = cost(decoder(config, Z, shape, 2 * math.prod(shape)))
            cells = (
                f"`{name}`",
                " x ".join(map(str, shape)),
                f"{one.parameters:,} + {other.parameters:,}",
                f"{one.flops / 1e6:.1f} + {other.flops / 1e6:.1f}",
                f"{max(one.widest, other.widest):,}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def test_the_page_states_what_the_networks_cost() -> None:
    _, mark, after = PAGE.read_text().partition(MARK)
    assert mark
    assert after == table(), "run: python -m tests.training.test_networks_page"


if __name__ == "__main__":
    before, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(before + MARK + table())
