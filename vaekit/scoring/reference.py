"""The bundle that `name`, `name@version` or a path refers to."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vaekit.bundle.manifest import MANIFEST_FILE
from vaekit.bundle.models_folder import find
from vaekit.errors import InputError, UnknownModel

_VERSION = re.compile(r"[1-9][0-9]{0,8}")


def split_reference(text: str) -> tuple[str, int | None]:
    """("name", version) of `name@version`; version None where there is none.

    Raises:
        InputError: a version that is no number 1, 2, 3...
    """
    name, at, version = text.rpartition("@")
    if not at or "/" in version:
        return text, None
    if not _VERSION.fullmatch(version):
        raise InputError(f"{text}: version {version!r} is not a number 1, 2, 3...")
    return name, int(version)


def locate(text: str, models: Path | str) -> Path:
    """The folder of the version meant.

    Args:
        text: a name under the models folder, or, where it has a slash or starts with a dot, the path of a version's
            folder or of a model's; `@version` may follow all but the path of a version. Without it: the latest.
        models: the models folder.

    Raises:
        UnknownModel: there is no such version; the message lists those there are.
    """
    if not _is_path(text):
        return find(models, *split_reference(text))
    folder = Path(text)
    if (folder / MANIFEST_FILE).is_file():
        return folder
    name, version = split_reference(text)
    home = Path(name).resolve()
    if not home.is_dir():
        raise UnknownModel(f"no folder {name}")
    return find(home.parent, home.name, version)


def _is_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.startswith(".")
