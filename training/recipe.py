"""What likelihood.name = 'auto' stands for: settings found by comparison with other detectors. Knows settings alone.

docs/log.md ("The default recipe") has what was tried, with its figures; `python -m benchmarks.detection` measures it.
"""

from __future__ import annotations

from typing import Any

AUTO = "auto"
MEMBERS = 3
LEAST_BETA = 0.1  # of the last member; the first has 1, and the others lie between them in equal ratios
ALONE = 0.3  # beta of a single VAE
SETTINGS: dict[str, dict[str, Any]] = {
    "likelihood": {"scale": "feature", "scale_floor": 0.01},
    "network": {"members": MEMBERS},
    "prior": {"name": "aggregate", "components": 2000, "start": 1.0},
    "training": {"steps": 2500},
    "draws": {"default": 4},
}


def fill(tree: dict[str, Any]) -> None:
    """Put settings where 'auto' is, in nested tables of a config; those that are there already stay."""
    likelihood = tree.get("likelihood")
    if not isinstance(likelihood, dict) or likelihood.get("name") != AUTO:
        return
    kinds = set(_table(tree, "data").get("kinds", {}).values())
    if kinds <= {"real", "positive"}:
        likelihood["name"] = "student_t"
    else:
        likelihood["name"] = "mixed"
        likelihood.setdefault("real", "student_t")
    for section, settings in SETTINGS.items():
        for key, value in settings.items():
            _table(tree, section).setdefault(key, value)
    objective, members = _table(tree, "objective"), _table(tree, "network")["members"]
    if objective.get("name", "elbo") == "elbo" and isinstance(members, int):
        objective.setdefault("beta", betas(members))


def betas(members: int) -> list[float] | float:
    """From 1 to LEAST_BETA: members that see data coarsely and finely, and make a better density together."""
    if members < 2:
        return ALONE
    return [round(LEAST_BETA ** (i / (members - 1)), 4) for i in range(members)]


def _table(tree: dict[str, Any], section: str) -> dict[str, Any]:
    found = tree.setdefault(section, {})
    return found if isinstance(found, dict) else {}
