"""Makes folders for private copies of bundles, and removes those whose process has died without doing so.

A process that is killed cannot delete its copies. Each copy therefore names its owner in a file: the process id, the
start time of that process and its namespace of process ids, since ids are used again and containers may share a folder.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from vaekit.bundle.disk import PREFIX, full, new_temporary_folder

OWNER_FILE = ".owner"


def new_private_copy() -> Path:
    """A new private folder (0700) that names this process as its owner; the caller deletes it.

    Raises:
        StorageError: no temporary folder can be written.
    """
    folder = new_temporary_folder()
    owner = _process(os.getpid())
    if owner is not None:
        try:
            (folder / OWNER_FILE).write_text(owner, encoding="utf-8")
        except OSError as exc:
            shutil.rmtree(folder, ignore_errors=True)
            raise full(folder, exc) from exc
    return folder


def remove_abandoned_copies() -> int:
    """Delete the private copies of processes that have died, in the temporary folder; returns their number.

    Copies of other users and of other namespaces of process ids are left alone. Without /proc, none is deleted.
    """
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, UnicodeDecodeError):  # deleted meanwhile, or without an owner
            if _is_ours(folder) and _is_abandoned((folder / OWNER_FILE).read_text(encoding="utf-8")):
                shutil.rmtree(folder)
                removed += 1
    return removed


def _is_ours(folder: Path) -> bool:
    """Whether this is a folder, not a link, of the user of this process."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _is_abandoned(owner: str) -> bool:
    namespace, pid, _ = [*owner.split(" "), "", ""][:3]
    here = _process(os.getpid())
    if here is None or namespace != here.split(" ")[0] or not pid.isdecimal():
        return False
    return _process(int(pid)) != owner


def _process(pid: int) -> str | None:
    """The namespace of process ids of this process, the id of a process and its start time; None if there is none."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    is_dead = fields[0] in "ZX"  # it has ended, but its parent has not asked for its exit code
    return None if is_dead else f"{namespace} {pid} {fields[19]}"
