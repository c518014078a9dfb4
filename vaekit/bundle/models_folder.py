"""Lists the models and versions in a models folder: models/<name>/<version>/."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from vaekit.bundle.manifest import MANIFEST_FILE, Name
from vaekit.bundle.policy import read_policy
from vaekit.bundle.proposal import is_proposed
from vaekit.errors import FormatError, InputError, UnknownModel

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_NAME = TypeAdapter(Name)


def check_name(name: str) -> str:
    """Return the name if it is a valid model name.

    Raises:
        UnknownModel: the name is not valid, so there can be no such model.
    """
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        raise UnknownModel(f"no model {name!r}: names must match ^[a-z0-9][a-z0-9_-]{{0,63}}$") from None


def models(root: Path | str) -> list[str]:
    """Names of models under root that have at least one complete version, or whose folder cannot be read; sorted.

    Raises:
        FormatError: root itself cannot be read.
    """
    folder = Path(root)
    if not folder.is_dir():
        return []
    names = (entry.name for entry in _entries(folder) if not entry.name.startswith(".") and _is_folder(entry))
    return sorted(name for name in names if _may_have_versions(folder, name))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no permission; reading it gives the error
        return True


def _may_have_versions(root: Path, name: str) -> bool:
    try:
        return bool(versions(root, name))
    except FormatError:
        return True


def no_model(name: str, root: Path | str) -> str:
    """What to say of a model that does not exist: the one that was probably meant, and all there are."""
    if not Path(root).exists():
        return f"no model {name!r}: folder {str(root)!r} does not exist; models there: none"
    known = models(root)
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"no model {name!r} in {root}{hint}; models there: {', '.join(known) or 'none'}"


def versions(root: Path | str, name: str) -> list[int]:
    """Complete versions of a model, ascending; empty if there is no such model.

    A version whose folder or manifest cannot be read counts as complete; loading it gives the error.

    Raises:
        FormatError: the model's folder cannot be read.
    """
    try:
        model_folder = Path(root) / check_name(name)
    except UnknownModel:
        return []
    if not _is_folder(model_folder):
        return []
    return [number for number in taken_numbers(model_folder) if has_manifest(model_folder / str(number))]


def latest(root: Path | str, name: str) -> int | None:
    """The newest complete version that is not proposed; None if there is none.

    Raises:
        FormatError: the model's folder cannot be read.
    """
    return newest_accepted({number: is_proposed(Path(root) / name / str(number)) for number in versions(root, name)})


def newest_accepted(proposed: Mapping[int, bool]) -> int | None:
    """The version that `latest` means, of versions that are proposed or not; None if all are proposed."""
    return max((number for number, is_waiting in proposed.items() if not is_waiting), default=None)


def has_manifest(folder: Path) -> bool:
    """Whether a folder has an entry for a manifest, or may have one but cannot be read.

    The entry may be a link to nowhere or no file at all; reading it gives the error.
    """
    try:
        (folder / MANIFEST_FILE).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # no permission, or a loop of links
        return True
    return True


def taken_numbers(model_folder: Path) -> list[int]:
    """The version numbers in a model's folder, also of incomplete versions, ascending.

    Raises:
        FormatError: the folder cannot be read.
    """
    return sorted(int(entry.name) for entry in _entries(model_folder) if _VERSION.fullmatch(entry.name))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as exc:
        raise FormatError(f"{folder}: the folder cannot be read: {exc.strerror}") from exc


def split_reference(text: str) -> tuple[str, int | None]:
    """Split `name@version` into (name, version); version is None if absent.

    Raises:
        InputError: the version is not a positive integer.
    """
    name, at, version = text.rpartition("@")
    if not at or "/" in version:
        return text, None
    if not _VERSION.fullmatch(version):
        raise InputError(f"{text}: version {version!r} is not a positive integer, as in name@2")
    return name, int(version)


def find(root: Path | str, name: str, version: int | None = None) -> Path:
    """The folder of a version; by default the one that is pinned, else the latest one that is not proposed.

    Raises:
        UnknownModel: no such model or version, or only proposed ones, or it is pinned to a proposed one; the message
            lists the existing ones.
        FormatError: no version is named, and the model's policy cannot be read.
    """
    known = versions(root, check_name(name))
    if not known:
        raise UnknownModel(no_model(name, root))
    pinned = None if version is not None else read_policy(Path(root) / name).pinned
    version = version or pinned or latest(root, name)
    if version is None:
        raise UnknownModel(
            f"model {name!r} has only proposed versions; name one, or run vae models accept {name}@{known[-1]}"
        )
    if version not in known:
        which = f"no version {version} of model {name!r}" + (", which it is pinned to" if pinned else "")
        raise UnknownModel(f"{which}; versions: {', '.join(map(str, known))}")
    folder = Path(root) / name / str(version)
    if pinned and is_proposed(folder):
        reference = f"{name}@{pinned}"
        raise UnknownModel(
            f"{reference}, which {name} is pinned to, is proposed; first run vae models accept {reference}"
        )
    return folder


def bundle_folder(path: Path) -> Path:
    """The folder of a bundle: the path itself, or of a model's folder the version that is used.

    Raises:
        UnknownModel, FormatError: see `find`.
    """
    return find(path.parent, path.name) if not has_manifest(path) and versions(path.parent, path.name) else path
