"""Converts a bundle to bytes and back, for pickling."""

from __future__ import annotations

from collections.abc import Mapping

from vaekit.bundle.disk import temporary_folder, writing
from vaekit.bundle.manifest import MANIFEST_FILE
from vaekit.bundle.read import Bundle, open_bundle


def packed(bundle: Bundle) -> dict[str, bytes]:
    """The manifest and all files whose sha256 is in it, by name. The config and the report are not included."""
    signed = {part.file: bundle.path(part.file).read_bytes() for part in bundle.manifest.files}
    return {MANIFEST_FILE: bundle.manifest.to_json().encode(), **signed}


def unpacked(files: Mapping[str, bytes]) -> Bundle:
    """The bundle of these files, verified like a bundle in a folder.

    Raises:
        BundleError, StorageError: see open_bundle.
    """
    with temporary_folder() as folder:
        with writing(f"temporary folder {folder}"):
            for name, content in files.items():
                (folder / name).write_bytes(content)
        return open_bundle(folder)
