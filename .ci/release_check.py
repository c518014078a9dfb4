"""Checks what can be checked before a release, and lists what is left to do; `make release-check` runs it.

python .ci/release_check.py dist
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
JAVASCRIPT = ROOT / "clients" / "javascript"
# Sets of extras that a user may install together. cpu and gpu are never in one set: they share an import name.
SETS = ("cpu,service,training,scoring", "cpu,service,arrow,traces,hub,ray", "gpu,service,arrow")


class Failed(Exception):
    """A check failed; the message says what was expected."""


def main() -> None:
    """Run every check and print one line for each; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path, help="folder with the sdist and the wheel, from `make dist`")
    dist: Path = parser.parse_args().dist
    failed = 0
    for name, check in checks(dist):
        try:
            print(f"ok: {name}: {check()}", flush=True)
        except Failed as exc:
            failed += 1
            print(f"FAILED: {name}: {exc}", flush=True)
    print("next: docs/how-to/release.md" if not failed else f"{failed} checks failed")
    raise SystemExit(failed > 0)


def checks(dist: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "no uncommitted changes", clean
    yield "the changelog has a date for the version", changelog
    yield "no tag of the version yet", tag
    yield "dist/", lambda: built(dist)
    yield "links of the metadata", links
    for extras in SETS:
        yield f"[{extras}] resolves", lambda extras=extras: resolves(dist, extras)
    yield "npm package", npm


def version() -> str:
    return command([sys.executable, str(ROOT / ".ci" / "version.py")]).strip()


def command(words: list[str], cwd: Path = ROOT, **variables: str) -> str:
    """The standard output of a command. Raises Failed with its last lines if it fails."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode:
        raise Failed(" ".join((done.stderr or done.stdout).strip().splitlines()[-3:]))
    return done.stdout


def clean() -> str:
    if changed := command(["git", "status", "--porcelain"]).splitlines():
        raise Failed(f"{len(changed)} files, the first is {changed[0].split()[-1]}: commit or remove them")
    return command(["git", "log", "-1", "--format=%h %s"]).strip()


def changelog() -> str:
    found = re.search(rf"^## \[{re.escape(version())}\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if found is None or not re.fullmatch(r"\d{4}-\d\d-\d\d", found[1]):
        raise Failed(f"expected '## [{version()}] - YYYY-MM-DD', found {found[0] if found else 'no entry'!r}")
    return found[1]


def tag() -> str:
    if command(["git", "tag", "--list", f"v{version()}"]).strip():
        raise Failed(f"v{version()} exists: choose a new version with python .ci/version.py X.Y.Z")
    return f"v{version()} is free"


def built(dist: Path) -> str:
    expected = {f"vaekit-{version()}.tar.gz", f"vaekit-{version()}-py3-none-any.whl"}
    found = {path.name for path in dist.iterdir()} if dist.is_dir() else set()
    if found != expected:
        raise Failed(f"has {', '.join(sorted(found)) or 'nothing'}, expected {', '.join(sorted(expected))}: make dist")
    command([sys.executable, "-m", "twine", "check", "--strict", *(str(dist / name) for name in expected)])
    return ", ".join(f"{name} ({(dist / name).stat().st_size / 1e6:.2f} MB)" for name in sorted(expected))


def links() -> str:
    if not (url := os.environ.get("PROJECT_URL")):
        raise Failed("set PROJECT_URL to the address of the repository's web page, and run make dist again")
    return url


def resolves(dist: Path, extras: str) -> str:
    """Whether pip finds a set of versions for the extras within the project's pins, without installing it."""
    wheel = next(dist.glob("*.whl"), None)
    if wheel is None:
        raise Failed("no wheel: make dist")
    pins = ["constraints.txt", *(["constraints-gpu.txt"] if "gpu" in extras.split(",") else [])]
    constraints = [word for file in pins for word in ("--constraint", file)]
    options = ["--dry-run", "--quiet", "--ignore-installed", "--report", "-", *constraints]
    report = json.loads(command([sys.executable, "-m", "pip", "install", *options, f"{wheel.absolute()}[{extras}]"]))
    return f"{len(report['install'])} distributions"


def npm() -> str:
    if shutil.which("npm") is None:
        raise Failed("npm is not installed")
    (packed,) = json.loads(command(["npm", "pack", "--dry-run", "--json", "--offline"], JAVASCRIPT))
    names = {file["path"] for file in packed["files"]}
    others = {name for name in names if not name.startswith(("src/", "types/"))}
    stray = others - {"LICENSE", "README.md", "package.json"}
    if packed["version"] != version() or stray or "LICENSE" not in names:
        missing = "" if "LICENSE" in names else "; LICENSE is missing"
        raise Failed(f"version {packed['version']}, stray files {sorted(stray)}{missing}")
    return f"{packed['filename']}, {len(names)} files, {packed['size'] / 1e3:.0f} kB"


if __name__ == "__main__":
    main()
