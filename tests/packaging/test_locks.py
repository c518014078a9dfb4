"""The lock files of the images agree with the pins and the extras, and name a hash for every file that pip may take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.test_setup import needed, pins

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "locks"
NAMES = ["build", "service", "service-gpu", "tools"]
EXTRAS = {
    name: frozenset(re.findall(r"--extra (\w+)", line))
    for name, line in re.findall(r"^lock ([\w-]+)\.txt (.+)$", (LOCKS / "lock.sh").read_text(), re.MULTILINE)
}


def locked(name: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each distribution of a lock file.

    Raises:
        AssertionError: a line is neither a comment, nor an exact version, nor a SHA-256.
    """
    text = (LOCKS / f"{name}.txt").read_text()
    entries = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    found = {}
    for entry in entries:
        match = re.fullmatch(r"([\w.-]+)==([\w.!+]+)((?: +--hash=sha256:[0-9a-f]{64})+)", entry.rstrip())
        assert match, entry
        found[canonicalize_name(match[1])] = match[2], re.findall(r"sha256:(\w+)", match[3])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_has_the_pinned_versions(name: str) -> None:
    known = pins() | pins("constraints-gpu.txt")
    versions = {dist: f"=={version}" for dist, (version, _) in locked(name).items()}
    assert {dist: version for dist, version in versions.items() if dist in known} == {
        dist: str(known[dist].specifier) for dist in versions if dist in known
    }
    assert name == "tools" or set(versions) <= set(known)


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_names_no_index_and_no_hash_twice(name: str) -> None:
    assert not re.search(r"https?:|//|--(extra-)?index|find-links", (LOCKS / f"{name}.txt").read_text())
    hashes = [one for _, hashes in locked(name).values() for one in hashes]
    assert len(set(hashes)) == len(hashes)


def test_the_lock_of_the_service_has_exactly_what_its_extras_need() -> None:
    assert EXTRAS["service"] == {"cpu", "service", "arrow", "traces"}
    assert set(locked("service")) == needed("vaekit", EXTRAS["service"])


def test_the_lock_of_the_gpu_differs_from_that_of_the_service_only_by_the_runtime_and_its_libraries() -> None:
    assert EXTRAS["service-gpu"] == EXTRAS["service"] - {"cpu"} | {"gpu"}
    gpu, service = set(locked("service-gpu")), set(locked("service"))
    assert service - gpu == {"onnxruntime"}
    assert gpu - service == set(pins("constraints-gpu.txt"))


def test_the_lock_of_the_build_has_pip_and_what_builds_the_wheel() -> None:
    required = re.findall(r'^requires = \["(.+)"\]$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(locked("build")) == {"pip", *(Requirement(text).name for text in required)}


def test_the_images_of_the_service_install_from_locks_only() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip install ([^&\n]+)", dockerfile)
    checked = [line for line in installs if "--require-hashes" in line]
    assert {Path(line.split()[-1]).stem for line in checked} == set(NAMES)
    rest = {line.strip() for line in installs if line not in checked}
    trainer = '--constraint constraints.txt ${PIP_ARGS} "$(ls /wheels/*.whl)[cpu,training,scoring]"'
    assert rest == {"--no-deps --no-index /wheels/*.whl", trainer}
