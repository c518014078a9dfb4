"""Publishes copies of a bundle as further versions of a model, whole or broken in one of several ways."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from vaekit.bundle.manifest import MANIFEST_FILE


class Publisher:
    """Publishes into the models folder of a running service, as a trainer does: write beside, then rename.

    Args:
        home: models/<name>, with version 1.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self.newest = 1

    def publish(self, harm: Callable[[Path], None] | None = None) -> int:
        """Publish the next version, broken by `harm`; returns its number."""
        self.newest += 1
        draft = self._home / f".writing-{self.newest}"
        shutil.copytree(self._home / "1", draft)
        manifest = json.loads((draft / MANIFEST_FILE).read_text())
        (draft / MANIFEST_FILE).write_text(json.dumps({**manifest, "version": self.newest}))
        if harm is not None:
            harm(draft)
        draft.rename(self._home / str(self.newest))
        return self.newest


def flip_a_bit(folder: Path) -> None:
    graph = folder / "elbo.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)


def lose_a_file(folder: Path) -> None:
    (folder / "decoder.onnx").unlink()


def cut_the_manifest(folder: Path) -> None:
    manifest = folder / MANIFEST_FILE
    manifest.write_bytes(manifest.read_bytes()[:100])


def empty_the_manifest(folder: Path) -> None:
    (folder / MANIFEST_FILE).write_bytes(b"")


def take_the_manifest_of_version_1(folder: Path) -> None:
    shutil.copy(folder.parent / "1" / MANIFEST_FILE, folder / MANIFEST_FILE)


HARMS = (flip_a_bit, lose_a_file, cut_the_manifest, empty_the_manifest, take_the_manifest_of_version_1)
