"""What `vae models list` says of the versions of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from vaekit.errors import BundleError, FormatError


def described(models: Path, name: str) -> dict[str, Any]:
    """What `list --json` says of a model."""
    from vaekit.bundle import versions
    from vaekit.bundle.models_folder import latest
    from vaekit.bundle.policy import LATEST, read_policy
    from vaekit.bundle.proposal import is_proposed

    policy, reason, numbers, newest = LATEST, None, list[int](), None
    try:
        numbers, newest = versions(models, name), latest(models, name)
        policy = read_policy(models / name)
    except FormatError as exc:
        reason = str(exc)
    used = policy.pinned or newest
    if policy.pinned is not None and policy.pinned not in numbers:
        reason = f"pinned to version {policy.pinned}, which is not there"
    elif policy.pinned is not None and is_proposed(models / name / str(policy.pinned)):
        reason = f"pinned to version {policy.pinned}, which is proposed"
    return {
        "name": name,
        "version": used,
        "pinned": policy.pinned,
        "loaded": list(policy.loaded),
        "reason": reason,
        "versions": [_version(models / name / str(number), number) for number in numbers],
    }


def _version(folder: Path, number: int) -> dict[str, Any]:
    from vaekit.bundle.origin import read_origin
    from vaekit.bundle.proposal import is_proposed
    from vaekit.bundle.read import read_manifest

    origin = read_origin(folder)
    found: dict[str, Any] = {"version": number, "proposed": is_proposed(folder)}
    found |= {
        "created": None,
        "format": None,
        "bytes": 0,
        "reason": None,
        "origin": origin and origin.model_dump(mode="json"),
    }
    try:
        found["bytes"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        manifest = read_manifest(folder)
    except BundleError as exc:
        return {**found, "reason": str(exc)}
    except OSError as exc:
        return {**found, "reason": f"{folder}: cannot be read: {exc.strerror}"}
    return {**found, "created": f"{manifest.created:%Y-%m-%d %H:%M}", "format": manifest.format}


def used_as(model: dict[str, Any], version: dict[str, Any]) -> str:
    """What a version is used as, for the table: latest or pinned, proposed, kept in memory."""
    number = version["version"]
    names = ["pinned" if model["pinned"] is not None else "latest"] if number == model["version"] else []
    names += ["proposed"] if version["proposed"] else []
    return ", ".join([*names, *(["kept in memory"] if number in model["loaded"] else [])])


def listing(found: list[dict[str, Any]]) -> Table:
    """The table of `vae models list`; names are never cut, because they go into commands."""
    pulls = any(version["origin"] for model in found for version in model["versions"])
    table = Table()
    for heading in ("model", "version", "used as", "created", "MiB", "format", *(["pulled from"] if pulls else [])):
        table.add_column(heading, no_wrap=heading in ("model", "created"), overflow="fold")
    for model in found:
        for version in model["versions"]:
            size, made = f"{version['bytes'] / 2**20:.2f}", version["created"] or ""
            what = escape(version["reason"] or version["format"])
            pulled = [escape((version["origin"] or {}).get("url", ""))] if pulls else []
            number = str(version["version"])
            table.add_row(model["name"], number, used_as(model, version), made, size, what, *pulled)
        if model["reason"] is not None:
            table.add_row(model["name"], "", "", "", "", escape(model["reason"]))
    return table
