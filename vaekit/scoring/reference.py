"""Finds the bundle for a reference: `name`, `name@version` or a path."""

from __future__ import annotations

import os
from pathlib import Path

from vaekit.bundle.models_folder import find, has_manifest, split_reference
from vaekit.errors import UnknownModel


def locate(text: str, models: Path | str) -> Path:
    """The folder of the bundle that a reference names.

    Args:
        text: the name of a model in the folder of models, or a path (text with a slash or a leading dot) to the folder
            of a model or of a version. `@version` may follow the name or the folder of a model; the default is the
            latest version.
        models: the folder of models.

    Raises:
        UnknownModel: there is no such version; the message lists the existing ones.
    """
    if Path(text).is_file():
        raise UnknownModel(f"{text}: this is a file, expected a model, which comes before the rows")
    if not _is_path(text):
        return find(models, *split_reference(text))
    folder = Path(text)
    if has_manifest(folder):
        return folder
    name, version = split_reference(text)
    home = Path(os.path.realpath(name))  # Path.resolve raises RuntimeError for a loop of links
    if not home.is_dir():
        raise UnknownModel(f"{name}: no such folder, expected the folder of a model or of one of its versions")
    return find(home.parent, home.name, version)


def _is_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.startswith(".")
