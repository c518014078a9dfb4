"""Private copies of bundles: a killed process leaves them, and the next start of a service removes only those."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vaekit.bundle import open_bundle, private_copies
from vaekit.bundle.private_copies import OWNER_FILE, new_private_copy, remove_abandoned_copies
from vaekit.errors import StorageError

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="reads /proc")

HOLD = """
import sys
from vaekit.bundle import open_bundle
held = open_bundle(sys.argv[1])
print(held.copy, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this process and of those that it starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_only_copies_of_processes_that_have_died_are_removed(models_dir: Path, folder: Path) -> None:
    bundle = str(models_dir / "breast-cancer/1")
    with open_bundle(bundle) as own:
        command = [sys.executable, "-c", HOLD, bundle]
        other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        copy = Path(other.stdout.readline().strip())
        (folder / "vaekit-without-owner").mkdir()
        (folder / "vaekit-link").symlink_to(copy)
        assert remove_abandoned_copies() == 0
        other.kill()
        other.communicate()
        assert copy.is_dir()
        assert remove_abandoned_copies() == 1
        names = {entry.name for entry in folder.iterdir()}
        assert names == {own.copy.name, "vaekit-without-owner", "vaekit-link"}
        assert own.path("elbo.onnx").is_file()


def test_a_process_that_has_the_id_of_a_dead_one_is_not_its_owner() -> None:
    mine, reused, elsewhere = new_private_copy(), new_private_copy(), new_private_copy()
    namespace, pid, start = (mine / OWNER_FILE).read_text().split(" ")
    assert int(pid) == os.getpid()
    (reused / OWNER_FILE).write_text(f"{namespace} {pid} {int(start) - 1}")
    (elsewhere / OWNER_FILE).write_text(f"pid:[1] {pid} {int(start) - 1}")
    assert remove_abandoned_copies() == 1
    assert [each.exists() for each in (mine, reused, elsewhere)] == [True, False, True]


@pytest.mark.parametrize("text", ["", "nonsense", "a b", "pid:[1] -1 5"])
def test_a_copy_whose_owner_cannot_be_read_is_left_alone(text: str) -> None:
    copy = new_private_copy()
    (copy / OWNER_FILE).write_text(text)
    assert remove_abandoned_copies() == 0
    (copy / OWNER_FILE).write_bytes(b"\xff")
    assert remove_abandoned_copies() == 0
    assert copy.is_dir()


def test_copies_of_other_users_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = new_private_copy()
    (copy / OWNER_FILE).write_text((copy / OWNER_FILE).read_text() + "1")
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert remove_abandoned_copies() == 0
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(copy.parent))
    assert remove_abandoned_copies() == 1


def test_a_full_disk_leaves_no_folder_behind(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(StorageError, match="No space left on device"):
        private_copies.new_private_copy()
    assert list(folder.iterdir()) == []
