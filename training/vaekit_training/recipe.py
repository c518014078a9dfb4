"""The default recipe: the settings that likelihood.name = 'auto' stands for.

Tables of numbers, binary columns and categories get a kernel prior, see of_kernels and
docs/decisions/2026-11-29-exemplar-kernels.md. Other tables get networks, see fill and
docs/decisions/2026-11-24-the-default-recipe.md. `python -m benchmarks.detection` measures the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AUTO = "auto"
MEMBERS = 3
FEW = 1_500  # with fewer training rows, the settings for few rows apply: see by_size
SETTINGS: dict[str, dict[str, Any]] = {
    "network": {"members": MEMBERS},
    "prior": {"name": "aggregate", "components": 2000, "start": 1.0},
    "training": {"steps": 2500},
    "draws": {"default": 4},
}
RATES = {"few": 2e-3, "many": 3e-3}  # learning rates for few and for many training rows
LEAST_BETA = 0.1  # smallest beta of a member
FLOORS = {"network": 0.1, "feature": 0.01}  # likelihood.scale_floor by likelihood.scale
MEMBER_SETTINGS = (
    ("network", 0.3162),
    ("feature", LEAST_BETA),
    ("network", LEAST_BETA),
)  # (scale, beta) of each member in turn

KERNELS: dict[str, dict[str, Any]] = {
    "likelihood": {"name": "gaussian", "scale": 1e-4},
    "prior": {"name": "kernel", "components": 3000},
    "draws": {"default": 2},
}  # the settings for tables of numbers
OF_NETWORKS = ("network", "objective", "likelihood", "training", "prior", "export")  # sections that ask for networks,
UNLESS = {"likelihood": {"name"}, "training": {"seed", "threads"}, "prior": {"components"}}  # but not by these keys
KERNEL = KERNELS["prior"]["name"]
OF_KERNELS = frozenset({"real", "positive", "binary", "category"})  # kinds that a kernel prior can model
OF_LEVELS = {"name": "mixed", "real": "gaussian"}  # likelihood of tables with binary columns or categories

IMAGES: dict[str, dict[str, Any]] = {
    "network": {"latent_dim": 32},
    "likelihood": {"scale": 0.3},
    "prior": {"name": "aggregate", "components": 1000},
}  # the settings for images with grey or coloured values
UNLIKE_IMAGES = {"prior": None, "objective": {"free_bits"}, "training": {"cuda_graphs"}}  # keys that rule them out;
# None: any key

Filled = frozenset[tuple[str, str]]  # (section, key) of settings that fill sets


def fill(tree: dict[str, Any]) -> Filled:
    """Fill in the settings that 'auto' stands for, in the nested tables of a config. Given settings are not changed.

    Returns:
        The settings filled in that depend on the number of training rows. They have the values for many rows, until
        Config.fitted adapts them.
    """
    likelihood = tree.get("likelihood")
    if _table(tree, "prior").get("name") == KERNEL and _table(tree, "likelihood").get("name", AUTO) in (AUTO, "mixed"):
        tree["likelihood"] = {**_table(tree, "likelihood"), **_likelihood_of_kernels(tree)}
        for name in ("prior", "draws"):
            tree[name] = {**KERNELS[name], **_table(tree, name)}
        return frozenset()
    if not isinstance(likelihood, dict) or likelihood.get("name") != AUTO:
        return frozenset()
    kinds = set(_table(tree, "data").get("kinds", {}).values())
    if kinds <= {"real", "positive"}:
        likelihood["name"] = "student_t"
    else:
        likelihood["name"] = "mixed"
        likelihood.setdefault("real", "student_t")
    for section, settings in SETTINGS.items():
        if section == "prior" and _table(tree, section).get("name", "aggregate") != "aggregate":
            continue  # a prior without training rows has no components and no start
        for key, value in settings.items():
            _table(tree, section).setdefault(key, value)
    members = _table(tree, "network")["members"]
    if not isinstance(members, int) or members < 1:
        return frozenset()
    is_elbo = _table(tree, "objective").get("name", "elbo") == "elbo"
    of_many = by_size(members, FEW)
    found = {
        (section, key)
        for section, key in of_many
        if key not in _table(tree, section) and (is_elbo or section != "objective")
    }
    given = likelihood.get("scale")
    if isinstance(given, str) and given in FLOORS:  # the floor follows from the given scale, for any number of rows
        found.discard(("likelihood", "scale_floor"))
        likelihood.setdefault("scale_floor", FLOORS[given])
    for section, key in found:
        _table(tree, section)[key] = of_many[section, key]
    return frozenset(found)


def of_kernels(tree: dict[str, Any]) -> dict[str, Any] | None:
    """The nested tables with the settings of a kernel prior, for tables that it can model: see build.kernel_columns.

    None if 'auto' is not asked for, if a kind is given that only networks can model, or a setting that only they have.
    """
    if _table(tree, "likelihood").get("name") != AUTO or asks_for_networks(tree):
        return None
    sections = {name: {**settings, **_table(tree, name)} for name, settings in KERNELS.items()}
    return {**tree, **sections, "likelihood": _likelihood_of_kernels(tree)}


def asks_for_networks(tree: Mapping[str, Any]) -> bool:
    """Whether nested tables have a setting that only networks have, or a kind of column that only they can model."""
    kinds = set(_given(tree, "data").get("kinds", {}).values())
    return not kinds <= OF_KERNELS or any(set(_given(tree, name)) - UNLESS.get(name, set()) for name in OF_NETWORKS)


def _likelihood_of_kernels(tree: Mapping[str, Any]) -> dict[str, Any]:
    """[likelihood] of a kernel prior; settings that are given, except the name, are kept."""
    given = _given(tree, "likelihood")
    has_levels = bool(set(_given(tree, "data").get("kinds", {}).values()) & {"binary", "category"})
    own = OF_LEVELS if has_levels or given.get("name") == "mixed" else {}
    return {**KERNELS["likelihood"], **own, **{key: value for key, value in given.items() if key != "name"}}


def of_images(asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings for images as nested tables, without those that were asked for; empty if one of these rules it out.

    A fixed scale keeps small differences of many pixels from counting more than the latent vector. The aggregate prior
    makes a latent vector unlike those of all training images improbable.
    """
    for section, keys in UNLIKE_IMAGES.items():
        given = set(_given(asked, section))
        if given if keys is None else given & keys:
            return {}
    left = {name: {k: v for k, v in own.items() if k not in _given(asked, name)} for name, own in IMAGES.items()}
    return {name: own for name, own in left.items() if own}


def by_size(members: int, rows: int) -> dict[tuple[str, str], Any]:
    """The settings that depend on the number of training rows, by (section, key).

    Members differ in beta, so that their latents carry different amounts of detail. With many rows they also differ in
    whether the scale is a decoder output. The mean of such members is a better density than that of equal members.
    """
    scale: Any
    floor: Any
    if rows < FEW:
        beta = [round(LEAST_BETA ** (m / max(1, members - 1)), 4) for m in range(members)]
        scale, floor, rate = "feature", FLOORS["feature"], RATES["few"]
    else:
        scale, beta = map(list, zip(*(MEMBER_SETTINGS[m % len(MEMBER_SETTINGS)] for m in range(members)), strict=True))
        floor, rate = [FLOORS[one] for one in scale], RATES["many"]
    return {
        ("likelihood", "scale"): scale,
        ("likelihood", "scale_floor"): floor,
        ("objective", "beta"): beta,
        ("training", "learning_rate"): rate,
    }


def _given(tree: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    found = tree.get(section)
    return found if isinstance(found, Mapping) else {}


def _table(tree: dict[str, Any], section: str) -> dict[str, Any]:
    found = tree.setdefault(section, {})
    return found if isinstance(found, dict) else {}
