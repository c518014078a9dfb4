"""Publishing with failures: a full disk, two concurrent writers, and a kill at any step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from vaekit.bundle import open_bundle, publish, versions


def test_a_failed_publication_leaves_no_files(tiny, tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        publish(tmp_path, tiny.manifest, tiny.files)
    assert list((tmp_path / "tiny").iterdir()) == []


PREAMBLE = """
    import json, os, sys
    from pathlib import Path
    from vaekit.bundle import Manifest, open_bundle, publish, versions

    root, given = Path(sys.argv[1]), Path(sys.argv[2])
    manifest = Manifest.model_validate_json((given / "manifest.json").read_bytes())
    files = {p.relative_to(given).as_posix(): p.read_bytes() for p in given.rglob("*") if p.is_file()}
    del files["manifest.json"]
"""

PUBLISH_20 = """
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps([publish(root, manifest, files).version for _ in range(20)]))
"""

# One child process per step. The parent has one thread, so that a fork is safe. Audit events report every file opened
# for writing, every folder created and every rename. fsync has no audit event, so it is wrapped.
KILL_AT_EVERY_STEP = """
    STEPS = ("open", "os.mkdir", "os.chmod", "os.rename", "fsync", "torn")

    def die_at(step, torn):
        count = 0

        def at(event, handle=None):
            nonlocal count
            if count == step:
                if torn and handle is not None and os.path.isfile(f"/proc/self/fd/{handle}"):
                    os.truncate(f"/proc/self/fd/{handle}", os.fstat(handle).st_size // 2)
                os._exit(9)
            count += 1

        def audit(event, arguments):
            if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                return
            if event in STEPS:
                at(event)

        real = os.fsync

        def fsync(handle):
            at("fsync", handle)
            real(handle)

        os.fsync = fsync
        sys.addaudithook(audit)

    def attempt(step, torn):
        child = os.fork()
        if child == 0:
            die_at(step, torn)
            publish(root, manifest, files)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    steps = 0
    for torn in (False, True):
        step = 0
        while True:
            before = versions(root, "tiny")
            code = attempt(step, torn)
            assert code in (0, 9), code
            for version in versions(root, "tiny"):
                open_bundle(root / "tiny" / str(version)).close()
            added = set(versions(root, "tiny")) - set(before)
            assert len(added) == (1 if code == 0 else len(added)) and len(added) <= 1
            print(step, torn, code, sorted(added))
            steps += 1
            if code == 0:
                break
            step += 1
    print("steps", steps)
"""


def script(body: str, root: Path, given: Path) -> subprocess.Popen[str]:
    code = textwrap.dedent(PREAMBLE) + textwrap.dedent(body)
    command = [sys.executable, "-c", code, str(root), str(given)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_concurrent_processes_publish_forty_different_versions(published, tmp_path):
    root = tmp_path / "shared"
    both = [script(PUBLISH_20, root, published) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = []
    for process in both:
        out, err = process.communicate()
        assert process.returncode == 0, err
        taken += json.loads(out)
    assert sorted(taken) == versions(root, "tiny") == list(range(1, 41))
    for version in taken:
        open_bundle(root / "tiny" / str(version)).close()
        assert json.loads((root / "tiny" / str(version) / "manifest.json").read_text())["version"] == version


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs fork and /proc")
def test_a_kill_at_any_step_leaves_no_broken_version(published, tmp_path):
    process = script(KILL_AT_EVERY_STEP, tmp_path / "killed", published)
    out, err = process.communicate()
    assert process.returncode == 0, err
    lines = out.splitlines()
    files = len(list(published.rglob("*.*")))
    assert int(lines[-1].split()[1]) > 2 * (
        2 * files + 3
    )  # two runs, each with an open and an fsync per file, and more
    listed = [line for line in lines[:-1] if not line.endswith("[]")]
    assert len(listed) <= 4  # two complete runs, and two killed after the rename
