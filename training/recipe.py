"""What likelihood.name = 'auto' stands for: settings found by comparison with other detectors. Knows settings alone.

docs/log.md ("The default recipe") has what was tried, with its figures; `python -m benchmarks.detection` measures it.
"""

from __future__ import annotations

from typing import Any

AUTO = "auto"
MEMBERS = 3
FINER = 0.3162  # beta of all members but the first, whose beta is 1
SCALES = {"network": 0.1, "feature": 0.01}  # of members in turn, with the floor that suits each
SETTINGS: dict[str, dict[str, Any]] = {
    "network": {"members": MEMBERS},
    "prior": {"name": "aggregate", "components": 2000, "start": 1.0},
    "training": {"steps": 2500, "learning_rate": 2e-3},
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
    members = _table(tree, "network")["members"]
    if isinstance(members, int) and members > 0:
        _differ(tree, members)


def _differ(tree: dict[str, Any], members: int) -> None:
    """Members that see data coarsely and finely, and spread the same everywhere or not: a better density together."""
    objective, likelihood = _table(tree, "objective"), _table(tree, "likelihood")
    if objective.get("name", "elbo") == "elbo":
        objective.setdefault("beta", [1.0, *[FINER] * (members - 1)])
    scale = likelihood.setdefault("scale", [list(SCALES)[m % len(SCALES)] for m in range(members)])
    own = scale if isinstance(scale, list) else [scale]
    floors = [SCALES.get(one, SCALES["feature"]) for one in own]
    likelihood.setdefault("scale_floor", floors if isinstance(scale, list) else floors[0])


def _table(tree: dict[str, Any], section: str) -> dict[str, Any]:
    found = tree.setdefault(section, {})
    return found if isinstance(found, dict) else {}
