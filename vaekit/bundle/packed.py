"""Converts a bundle to bytes and back, for pickling."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from vaekit.bundle.manifest import MANIFEST_FILE
from vaekit.bundle.read import Bundle, open_bundle


def packed(bundle: Bundle) -> dict[str, bytes]:
    """The manifest and all files whose sha256 is in it, by name. The config and the report are not included."""
    signed = {part.file: bundle.path(part.file).read_bytes() for part in bundle.manifest.files}
    return {MANIFEST_FILE: bundle.manifest.to_json().encode(), **signed}


def unpacked(files: Mapping[str, bytes]) -> Bundle:
    """The bundle of these files, verified like a bundle in a folder.

    Raises:
        BundleError: see open_bundle.
    """
    with tempfile.TemporaryDirectory(prefix="vaekit-packed-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return open_bundle(folder)
