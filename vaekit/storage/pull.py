"""Copies a bundle from a store or the Hugging Face hub into a local folder of models."""

from __future__ import annotations

import errno
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vaekit._version import __version__
from vaekit.bundle.disk import writing
from vaekit.bundle.manifest import Manifest
from vaekit.bundle.models_folder import has_manifest, newest_accepted
from vaekit.bundle.origin import ORIGIN_FILE, Origin
from vaekit.bundle.proposal import ACCEPTED_FILE, accept, is_proposed
from vaekit.bundle.read import open_bundle
from vaekit.bundle.write import sync
from vaekit.errors import BundleError, InputError, IntegrityError, UnknownModel
from vaekit.storage.hub import HubFolder
from vaekit.storage.remote import RemoteFolder, remote_folder
from vaekit.storage.transfer import digest_of, fetch_bundle, warning_of
from vaekit.storage.versions import FoundBundle, bundles

_UNFINISHED = ".pulling-"  # prefix of folders that are not complete; not listed as models or versions


@dataclass(frozen=True)
class Pulled:
    """A bundle in a local folder."""

    manifest: Manifest
    folder: Path
    sha256: str  # of manifest.json
    is_new: bool  # False: it was there already
    warning: str | None  # what the bundle reveals of its training rows


def pull(url: str, models: Path, *, version: int | None = None, sha256: str | None = None) -> Pulled:
    """Copy a bundle to models/<name>/<version>/, completely or not at all, and verify every signed file.

    Args:
        url: of a bundle, or of a model with its versions, on any file system; or hf://owner/name[@revision].
        models: local folder of models.
        version: of the model; None: the latest that is not proposed.
        sha256: the expected sha256 of manifest.json; None: any.

    Raises:
        InputError: the URL is invalid, or another bundle has this name and version here.
        UnknownModel: no bundle is there, or not this version.
        StoreError: the store or the hub cannot be reached.
        BundleError: the bundle is invalid, or is not the expected one; nothing has changed.
        StorageError: the local folder cannot be written.
        MissingExtra: huggingface-hub is not installed.
    """
    remote = remote_folder(url)
    if isinstance(remote, HubFolder) and version is not None:
        if remote.asked is not None:
            raise InputError(f"{url}: the URL names a revision; leave out the version")
        remote = remote.at_version(version)
    found = chosen(bundles(remote.files()), remote, version)
    with writing(models):
        models.mkdir(parents=True, exist_ok=True)
        temp = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=models))
    try:
        temp.chmod(0o755)
        manifest = fetch_bundle(remote, found, temp)
        check_digest(temp, remote, sha256)
        if (number := found.version or version) is not None and manifest.version != number:
            raise IntegrityError(f"{remote.text}: version {number} there says that it is version {manifest.version}")
        open_bundle(temp).close()  # verifies the copy
        write_origin(temp, remote, found)
        folder = models / manifest.name / str(manifest.version)
        is_new = place(temp, folder)
        if not is_new and (temp / ACCEPTED_FILE).exists() and is_proposed(folder):
            accept(folder)
    except BundleError as exc:  # name what the caller knows, not the folder that is gone
        raise type(exc)(str(exc).replace(str(temp), remote.where(found.prefix))) from exc
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return Pulled(manifest, folder, digest_of(folder), is_new, warning_of(manifest, str(folder)))


def chosen(found: list[FoundBundle], remote: RemoteFolder, version: int | None) -> FoundBundle:
    """The bundle of a version; None: of the latest that is not proposed.

    Raises:
        UnknownModel: it is not there; the message lists what is.
    """
    names = {one.name for one in found}
    if not found:
        raise UnknownModel(f"{remote.text}: no bundle there, nor a folder of versions with bundles")
    if names != {None}:
        raise UnknownModel(f"{remote.text} is a folder of models; name one: {', '.join(sorted(map(str, names)))}")
    if found[0].version is None:  # one bundle; on the hub the tag has named the version
        if version is not None and not isinstance(remote, HubFolder):
            raise UnknownModel(f"{remote.text} is one bundle and has no versions to choose from")
        return found[0]
    known = {one.version or 0: one for one in found}
    number = version or newest_accepted({number: one.is_proposed for number, one in known.items()})
    if number is None or number not in known:
        what = "only proposed versions" if number is None else f"no version {number}"
        raise UnknownModel(f"{remote.text}: {what}; versions there: {', '.join(map(str, known))}")
    return known[number]


def check_digest(temp: Path, remote: RemoteFolder, sha256: str | None) -> None:
    """Raises IntegrityError if the manifest has another sha256 than the expected one."""
    if sha256 is not None and (found := digest_of(temp)) != sha256.lower().removeprefix("sha256:"):
        raise IntegrityError(f"{remote.text}: the bundle there is another one: its sha256 is {found}")


def write_origin(temp: Path, remote: RemoteFolder, found: FoundBundle) -> None:
    """Write where the bundle in a folder came from."""
    origin = Origin(
        url=remote.where(found.prefix),
        revision=remote.revision,
        sha256=digest_of(temp),
        pulled=datetime.now(UTC).replace(microsecond=0),
        vaekit=__version__,
    )
    (temp / ORIGIN_FILE).write_bytes(origin.to_json())


def place(temp: Path, folder: Path) -> bool:
    """Give a complete bundle its folder by renaming it; returns whether it was not there before.

    Raises:
        InputError: another bundle is there.
        StorageError: the folder cannot be written.
    """
    with writing(folder):
        folder.parent.mkdir(exist_ok=True)
        for path in (*temp.rglob("*"), temp):
            sync(path)
        try:
            if not folder.exists():
                temp.rename(folder)
                sync(folder.parent)
                return True
        except OSError as exc:  # another process was faster
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            with suppress(OSError):  # not empty
                folder.parent.rmdir()
    if not has_manifest(folder) or digest_of(folder) != digest_of(temp):
        name = f"{folder.parent.name}@{folder.name}"
        raise InputError(
            f"{folder}: another bundle is {name} here; remove it with vae models remove {name}, or pull into another "
            "folder of models"
        )
    open_bundle(folder).close()
    return False
