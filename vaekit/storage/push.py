"""Copies a bundle from a local folder to a store or to the Hugging Face hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from vaekit.bundle.manifest import MANIFEST_FILE, Manifest
from vaekit.bundle.proposal import ACCEPTED_FILE, PROPOSAL_FILE
from vaekit.bundle.read import open_bundle
from vaekit.errors import InputError
from vaekit.storage.hub import CARD, SCHEME, HubFolder, hub_folder, tag_of
from vaekit.storage.model_card import model_card
from vaekit.storage.paths import StoragePath, storage_path
from vaekit.storage.remote import translated
from vaekit.storage.transfer import digest_of, files_to_push, warning_of

_UNFINISHED = ".writing-"  # before the name of a manifest that is being written


@dataclass(frozen=True)
class Pushed:
    """A bundle in a store."""

    manifest: Manifest
    url: str
    revision: str | None  # commit of a hub's repository
    sha256: str  # of manifest.json
    files: int
    is_new: bool  # False: the store had it already
    warning: str | None  # what the bundle reveals of its training rows


def push(folder: Path, url: str, *, public: bool = False) -> Pushed:
    """Verify a bundle and copy it to a store, as <url>/<name>/<version>/, or to a repository of the hub.

    The manifest is written last: a reader never sees half a bundle. A version that is there is never replaced; but if
    it is proposed there and was accepted in the folder, it is accepted there too.

    Args:
        folder: of the bundle.
        url: a folder of models on any file system, or hf://owner/name.
        public: whether a new repository of the hub can be read by everybody.

    Raises:
        BundleError: the bundle is invalid.
        InputError: the URL is invalid, or another bundle has this name and version there.
        StoreError: the store or the hub cannot be reached, or refuses.
        MissingExtra: huggingface-hub is not installed.
    """
    with open_bundle(folder) as bundle:
        manifest = bundle.manifest
    if url.startswith(SCHEME):
        return _push_to_hub(folder, manifest, hub_folder(url), public=public)
    return _push_to_store(folder, manifest, storage_path(url))


def _push_to_store(folder: Path, manifest: Manifest, root: StoragePath) -> Pushed:
    target = root.below(manifest.name).below(str(manifest.version))
    names = files_to_push(folder, manifest)
    with translated(target.text):
        root.check_bucket()
        there = _manifest_of(target)
        if there is None:
            _end_proposal(folder, target)  # of a push that was interrupted
            for name in names[:-1]:
                _upload(folder / name, target.below(name))
            _upload_at_once(folder / MANIFEST_FILE, target)
        digest = digest_of(folder)
        _check_same(there, digest, target.text, manifest)
        if (folder / ACCEPTED_FILE).exists():
            _end_proposal(folder, target)
    warning = warning_of(manifest, target.text)
    return Pushed(manifest, target.text, None, digest, len(names), there is None, warning)


def _manifest_of(target: StoragePath) -> bytes | None:
    path = target.below(MANIFEST_FILE)
    return path.read() if path.exists else None


def _end_proposal(folder: Path, target: StoragePath) -> None:
    """Make a proposed version in the store an ordinary one, if the one in the folder is."""
    proposal = target.below(PROPOSAL_FILE)
    if (folder / PROPOSAL_FILE).exists() or not proposal.exists:
        return
    if (folder / ACCEPTED_FILE).exists():
        _upload(folder / ACCEPTED_FILE, target.below(ACCEPTED_FILE))
    try:
        proposal.filesystem.delete_file(proposal.fs_path)
    except OSError:  # pyarrow then writes an empty object for the folder, which some stores refuse
        if proposal.exists:
            raise


def _upload(file: Path, to: StoragePath) -> None:
    if not to.is_in_store:
        to.filesystem.create_dir(to.fs_path.rpartition("/")[0], recursive=True)
    to.upload(file)


def _upload_at_once(manifest: Path, folder: StoragePath) -> None:
    """Write the manifest so that no reader sees half of it: object stores do, other file systems rename."""
    target = folder.below(MANIFEST_FILE)
    if target.is_in_store:
        target.upload(manifest)
        return
    unfinished = folder.below(_UNFINISHED + MANIFEST_FILE)
    unfinished.upload(manifest)
    target.filesystem.move(unfinished.fs_path, target.fs_path)


def _push_to_hub(folder: Path, manifest: Manifest, hub: HubFolder, *, public: bool) -> Pushed:
    tag, digest, names = tag_of(manifest.version), digest_of(folder), files_to_push(folder, manifest)
    url = f"{SCHEME}{hub.repository}@{tag}"
    warning = warning_of(manifest, url)
    if hub.has_tag(tag):
        tagged = hub.at_version(manifest.version)
        with TemporaryDirectory() as temporary:
            tagged.files()
            tagged.fetch(MANIFEST_FILE, there := Path(temporary) / MANIFEST_FILE)
            _check_same(there.read_bytes(), digest, url, manifest)
        return Pushed(manifest, url, tagged.commit, digest, len(names), False, warning)
    files: dict[str, Path | bytes] = {name: folder / name for name in names}
    files[CARD] = model_card(folder, manifest, f"{SCHEME}{hub.repository}")
    message = f"{manifest.name}, version {manifest.version}"
    commit = hub.commit_all(files, message, tag, private=not public)
    return Pushed(manifest, url, commit, digest, len(files), True, warning)


def _check_same(there: bytes | None, digest: str, where: str, manifest: Manifest) -> None:
    """Raises InputError if another bundle is there."""
    if there is not None and (found := hashlib.sha256(there).hexdigest()) != digest:
        raise InputError(
            f"{where}: another bundle is {manifest.name}@{manifest.version} there (sha256 {found[:12]}..., and not "
            f"{digest[:12]}...); a version is never replaced: publish this one under another number or name"
        )
