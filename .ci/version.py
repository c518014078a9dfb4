"""The version of the project: where it is written, and how it changes.

python .ci/version.py          prints it
python .ci/version.py 0.2.0    writes another one into every file that repeats it
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "vaekit/_version.py"  # read by the build, the service and its OpenAPI document
# Files that repeat the version, and how often. The changelog is not among them: a new version has an entry of its own.
REPEATED = {
    SOURCE: 1,
    "CITATION.cff": 1,
    "Dockerfile": 1,
    "clients/javascript/package-lock.json": 2,
    "clients/javascript/package.json": 1,
    "deploy/kserve/runtime.yaml": 1,
    "deploy/kubernetes/cpu/kustomization.yaml": 1,
    "deploy/kubernetes/gpu/kustomization.yaml": 1,
    "docs/how-to/kubernetes.md": 2,
    "docs/how-to/start-a-project.md": 1,
    "tests/service/openapi.json": 1,
}
PEP_440 = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")


def version(root: Path = ROOT) -> str:
    found = re.search(r'__version__ = "(.+)"', (root / SOURCE).read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def pattern(number: str) -> re.Pattern[str]:
    """Matches the version where it stands alone, not as a part of another number or as a pin."""
    return re.compile(rf"(?<![\d.])(?<!==){re.escape(number)}(?![\d.])")


def replace(new: str, root: Path = ROOT) -> None:
    """Write a new version into all files.

    Raises:
        SystemExit: it is no version, or a file does not have the old one as often as listed; nothing is written.
    """
    old = version(root)
    if not PEP_440.fullmatch(new):
        raise SystemExit(f"{new}: expected a version such as 0.2.0 or 0.2.0rc1")
    changed = {}
    for name, times in REPEATED.items():
        text = (root / name).read_text(encoding="utf-8")
        changed[name], found = pattern(old).subn(new, text)
        if found != times:
            raise SystemExit(f"{name}: has {old} {found} times, expected {times}")
    for name, text in changed.items():
        (root / name).write_text(text, encoding="utf-8")
    print(f"{old} -> {new} in {len(changed)} files")


if __name__ == "__main__":
    if sys.argv[1:]:
        replace(sys.argv[1])
    else:
        print(version())
