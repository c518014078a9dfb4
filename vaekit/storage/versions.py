"""Finds bundles in a list of files: which versions of which models are there, and which files are theirs.

manifest.json                      one bundle
2/manifest.json                    a model with its versions
breast-cancer/2/manifest.json      a folder of models
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vaekit.bundle.manifest import MANIFEST_FILE
from vaekit.bundle.policy import POLICY_FILE
from vaekit.bundle.proposal import ACCEPTED_FILE, PROPOSAL_FILE

_NAME, _VERSION = "[a-z0-9][a-z0-9_-]{0,63}", "[1-9][0-9]{0,8}"
_BUNDLE = re.compile(rf"(?:(?:(?P<name>{_NAME})/)?(?P<version>{_VERSION})/)?{re.escape(MANIFEST_FILE)}")
_POLICY = re.compile(rf"(?:(?P<name>{_NAME})/)?{re.escape(POLICY_FILE)}")
# files of a bundle that its manifest does not sign
UNSIGNED = re.compile(rf"{PROPOSAL_FILE}|{ACCEPTED_FILE}|config\.toml|report/[A-Za-z0-9][A-Za-z0-9_.-]{{0,127}}")


@dataclass(frozen=True)
class FoundBundle:
    """A bundle in a list of files."""

    name: str | None  # of the folder of its model; None: it is not in one
    version: int | None  # of its folder; None: it is not in one
    prefix: str  # of its files; empty or ending with /
    files: Mapping[str, str]  # its files below the prefix: the stamp of each, which changes with the content

    @property
    def is_proposed(self) -> bool:
        return PROPOSAL_FILE in self.files

    @property
    def stamp(self) -> str:
        return self.files[MANIFEST_FILE]


def bundles(files: Mapping[str, str]) -> list[FoundBundle]:
    """The bundles in a folder, by name and version, ascending.

    Args:
        files: the stamp of each file below the folder, by its relative path. A folder is one bundle, or has the
            versions of one model, or models: what is deeper than the first bundle is ignored.
    """
    matches = {path: match for path in files if (match := _BUNDLE.fullmatch(path))}
    shallowest = min((path.count("/") for path in matches), default=0)
    found = [
        FoundBundle(match["name"], int(match["version"]) if match["version"] else None, prefix, _below(files, prefix))
        for path, match in matches.items()
        if path.count("/") == shallowest
        for prefix in (path.removesuffix(MANIFEST_FILE),)
    ]
    return sorted(found, key=lambda one: (one.name or "", one.version or 0))


def policies(files: Mapping[str, str]) -> dict[str | None, str]:
    """The paths of the policies in a folder, by the name of the model; None: of the model whose folder it is."""
    return {match["name"]: path for path in files if (match := _POLICY.fullmatch(path))}


def _below(files: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {path.removeprefix(prefix): stamp for path, stamp in files.items() if path.startswith(prefix)}
