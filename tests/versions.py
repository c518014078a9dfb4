"""Makes further versions of a committed model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def add_version(root: Path, version: int, *, says: dict[str, Any] | None = None) -> Path:
    """Copy version 1 to another version; `says` replaces fields of its manifest."""
    folder = root / "breast-cancer" / str(version)
    shutil.copytree(root / "breast-cancer" / "1", folder)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "version": version, **(says or {})}))
    return folder
