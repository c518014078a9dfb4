"""The pages about the Open Inference Protocol: their snippets run, and their lists are complete."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.live import serving
from tests.service.keyed import KEYS, TEXT
from tests.service.v2 import cases_others, cases_triton  # noqa: F401  they add their cases
from tests.service.v2.cases import CASES, KSERVE, MLSERVER, OVMS, TRAP, TRITON
from tests.service.v2.test_v2_clients import run
from vaekit_service.codecs.requests import OPTIONS
from vaekit_service.codecs.v2.tensors import DATATYPES

HERE = Path(__file__).parent
DOCS = HERE.parents[2] / "docs"
EXAMPLES = HERE.parents[2] / "examples"
GUIDE = (DOCS / "how-to" / "use-v2-clients.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "v2.md").read_text(encoding="utf-8")
CASE_ROWS = REFERENCE.split("## Conformance")[1]
SNIPPETS = re.findall(r"```python\n# (.+?)\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
URL = "127.0.0.1:8000"
SOURCES = {"TRITON": TRITON, "KSERVE": KSERVE, "OVMS": OVMS, "MLSERVER": MLSERVER, "TRAP": TRAP}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digit_images: Any) -> Path:
    """A folder with the files that the page uses."""
    found = tmp_path_factory.mktemp("guide")
    Image.fromarray(digit_images[0][..., 0]).save(found / "digit.png")
    shutil.copy(EXAMPLES / "rows.csv", found)
    return found


@pytest.fixture(scope="module")
def url(models_dir: Path) -> Iterator[str]:
    with serving(models_dir) as address:
        yield address.removeprefix("http://")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("package", "code"), SNIPPETS, ids=[kind for kind, _ in SNIPPETS])
def test_every_snippet_of_the_guide_runs(package: str, code: str, url: str, folder: Path, models_dir: Path) -> None:
    name, _, admin = package.partition(", ")
    if not admin:
        said = run(name, ["-c", code.replace(URL, url)], cwd=folder)
    else:
        with serving(models_dir, keys=TEXT, admin=True) as address:
            code = code.replace(URL, address.removeprefix("http://")).replace("KEY", KEYS["all"])
            said = run(name, ["-c", code], cwd=folder)
    assert said.strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_guide_runs(command: str, url: str, folder: Path) -> None:
    words = shlex.split(command.replace(URL, url))
    done = subprocess.run(["curl", "--fail", *words[1:]], cwd=folder, capture_output=True, text=True, check=True)
    if "-o" in words:
        assert (folder / "reply.bin").read_bytes().startswith(b'{"model_name":"digits"')
    else:
        assert "name" in json.dumps(json.loads(done.stdout))


def test_the_reference_lists_every_case_with_our_status() -> None:
    told = {
        (source, case): int(status)
        for source, case, status in re.findall(r"^\| ([^|]+?) \| ([^|]+?) \| (\d{3})\b.*\|$", CASE_ROWS, re.MULTILINE)
    }
    cases = {(one.source, one.name): one.status for one in CASES}
    for file in HERE.glob("test_v2_*.py"):
        for source, name, status in re.findall(
            r"@case_of\((\w+), \"(.+?)\", (\d+)\)", file.read_text(encoding="utf-8")
        ):
            assert (SOURCES[source], name) not in cases, name
            cases[SOURCES[source], name] = int(status)
    assert told == cases


def test_the_reference_lists_every_datatype_and_option() -> None:
    assert all(re.search(rf"\b{name}\b", REFERENCE) for name in DATATYPES)
    options = {name for kind in OPTIONS.values() for name in kind.model_fields}
    assert all(f"`{name}`" in REFERENCE for name in options)
