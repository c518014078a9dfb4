"""A bundle as bytes and back, for pickling."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from vaekit.bundle.manifest import MANIFEST_FILE
from vaekit.bundle.read import Bundle, open_bundle


def packed(bundle: Bundle) -> dict[str, bytes]:
    """The manifest and all that it signs, by name; config and report, which it does not sign, are left behind."""
    signed = {part.file: bundle.path(part.file).read_bytes() for part in bundle.manifest.files}
    return {MANIFEST_FILE: bundle.manifest.to_json().encode(), **signed}


def unpacked(files: Mapping[str, bytes]) -> Bundle:
    """The bundle of these files, verified as one from a folder is.

    Raises:
        BundleError: see open_bundle.
    """
    with tempfile.TemporaryDirectory(prefix="vaekit-packed-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return open_bundle(folder)
