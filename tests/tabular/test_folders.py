"""Which files are found below a folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from vaekit.errors import InputError
from vaekit.tabular.folders import files_below


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of folders that cannot be read; the superuser may read those of mode 0700."""
    names: set[str] = set()
    scandir = os.scandir

    def checked(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path).name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", checked)
    return names


def test_pipes_and_sockets_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "gone.png").symlink_to("nowhere")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as held:
        held.bind("socket.png")
        assert sorted(files_below(tmp_path)) == ["a.png", "gone.png", "link.png"]


def test_a_folder_that_cannot_be_read_is_an_error_unless_it_is_hidden(tmp_path: Path, locked: set[str]) -> None:
    for name in ("one", "two", ".trash"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
    locked.add(".trash")
    assert sorted(files_below(tmp_path)) == ["one/a.png", "two/a.png"]
    locked.add("two")
    with pytest.raises(InputError, match=rf"^{tmp_path}/two: the folder cannot be read: Permission denied$"):
        files_below(tmp_path)
