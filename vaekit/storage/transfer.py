"""Which files of a bundle are copied, in which order, and what a copy is checked against."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vaekit.bundle.manifest import MANIFEST_FILE, Manifest
from vaekit.bundle.read import read_manifest
from vaekit.errors import IntegrityError
from vaekit.storage.remote import RemoteFolder
from vaekit.storage.versions import UNSIGNED, FoundBundle
from vaekit.tabular.folders import files_below


def digest_of(folder: Path) -> str:
    """The sha256 of the manifest in a folder. The manifest has the sha256 of every signed file."""
    return hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()


def files_to_push(folder: Path, manifest: Manifest) -> list[str]:
    """The files of a bundle, the manifest last: whoever sees it may read the others."""
    unsigned = sorted(name for name in files_below(folder) if UNSIGNED.fullmatch(name))
    return [*unsigned, *(part.file for part in manifest.files), MANIFEST_FILE]


def fetch_bundle(remote: RemoteFolder, found: FoundBundle, to: Path) -> Manifest:
    """Copy a bundle into an empty local folder. Its files are not verified yet.

    Raises:
        StoreError: a file cannot be read.
        FormatError: the manifest is invalid.
        IntegrityError: a signed file is not there.
    """
    remote.fetch(found.prefix + MANIFEST_FILE, to / MANIFEST_FILE)
    manifest = read_manifest(to)
    signed = [part.file for part in manifest.files]
    if missing := [name for name in signed if name not in found.files]:
        raise IntegrityError(f"{remote.text}: {found.prefix}{missing[0]}: no such file, but the manifest names it")
    for name in [*signed, *(name for name in found.files if UNSIGNED.fullmatch(name))]:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        remote.fetch(found.prefix + name, to / name)
    return manifest


def warning_of(manifest: Manifest, where: str) -> str | None:
    """What whoever can read a bundle learns of its training rows; None: it holds none."""
    rows = manifest.privacy.training_rows if manifest.privacy else manifest.prior.components or 0
    if not rows and manifest.exemplars is None:
        return None
    raw = " and, in raw units, in exemplars.npz" if manifest.exemplars else ""
    return (
        f"{manifest.name}@{manifest.version} holds {rows} training rows, in its graphs{raw}; whoever can read {where} "
        "can recover them. docs/explanation/privacy.md says how to train a model without them"
    )
