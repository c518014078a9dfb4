"""Converts a bundle to bytes and back, for pickling, and publishes one under another name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vaekit.bundle.disk import temporary_folder, writing
from vaekit.bundle.manifest import MANIFEST_FILE
from vaekit.bundle.models_folder import check_name
from vaekit.bundle.read import Bundle, open_bundle
from vaekit.bundle.write import publish
from vaekit.errors import InputError, UnknownModel


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


def publish_as(bundle: Bundle, path: Path | str) -> Path:
    """Publish a bundle again as a new version of models/NAME; returns the folder of the version.

    Raises:
        InputError: the last part of the path is not a model name.
        StorageError: the folder cannot be written.
    """
    root, name = Path(path).parent, Path(path).name
    try:
        check_name(name)
    except UnknownModel as exc:
        raise InputError(f"publish: {str(path)!r}: expected models/NAME: {exc}") from exc
    files = {part.file: bundle.path(part.file).read_bytes() for part in bundle.manifest.files}
    manifest = publish(root, bundle.manifest.model_copy(update={"name": name}), files)
    return root / name / str(manifest.version)
