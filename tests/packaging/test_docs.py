"""Commands, snippets, replies and links in README, CONTRIBUTING and docs/ work, and the index lists every page."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "README.md", *PAGES]
README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorials" / "train-and-serve.md").read_text()
GROUPS = {"tutorials", "how-to", "reference", "explanation", "decisions"}
URL = "http://127.0.0.1:8000"
QUICK = {"train": ["--set", "training.steps=60"]}  # arguments that make a command fast enough for a test


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(program: str, text: str = README) -> list[str]:
    """The lines of shell blocks that call a program, without environment variables before it."""
    lines = [line.strip() for block in blocks(text, "sh") for line in block.splitlines()]
    bare = [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line) for line in lines]
    return [line for line in bare if line.startswith(f"{program} ")]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder like the clone, with copies of the models and examples."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("models", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The environment of the tests, with the `vae` of their Python first in PATH and without VAE_ settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAE_")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"}


@pytest.fixture(scope="module")
def served(workspace: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of `vae serve` with the workspace's models, once they are ready."""
    command = ["vae", "serve", "--models", "models", "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=workspace, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("try:"):
        lines.append(process.stdout.readline())
        assert lines[-1], f"vae serve ended: {lines}"
    address = re.search(r"http://[0-9.:]+", "".join(lines))
    assert address is not None
    yield address[0]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_tutorial_trains_scores_and_evaluates_as_shown(workspace: Path, environment: dict[str, str]) -> None:
    shown = [shlex.split(line) for line in commands("vae", TUTORIAL)]
    assert [words[1] for words in shown] == ["train", "score", "evaluate", "serve"]
    for words in shown:
        if words[1] != "serve":  # `vae serve` does not end; the `served` tests run it
            run([*words, *QUICK.get(words[1], [])], workspace, environment)
    assert (workspace / "build" / "scored.parquet").stat().st_size > 0


@pytest.mark.slow
def test_the_commands_of_the_readme_turn_a_csv_into_alerts(tmp_path: Path, environment: dict[str, str]) -> None:
    generator = np.random.default_rng(0)
    load = generator.normal(50, 10, 400)
    normal = np.column_stack([load, 20 + load / 2 + generator.normal(0, 1, 400)])
    for name, rows in {"sensors.csv": normal, "new.csv": np.array([[50.0, 45.0], [50.0, 5.0]])}.items():
        np.savetxt(tmp_path / name, rows, delimiter=",", header="load,temperature", comments="")
    shown = [shlex.split(line, comments=True) for line in commands("vae")]
    assert [words[1] for words in shown] == ["demo", "train", "score", "explain", "serve"]
    for words in shown[1:4]:
        run(words, tmp_path, environment)
    with (tmp_path / "scored.csv").open(encoding="utf-8") as file:
        assert [row["is_anomaly"] for row in csv.DictReader(file)] == ["false", "true"]


def test_the_reference_names_the_columns_that_scoring_appends(workspace: Path, environment: dict[str, str]) -> None:
    run(["vae", "score", "breast-cancer", "examples/rows.csv", "scored.csv"], workspace, environment)
    with (workspace / "examples" / "rows.csv").open() as before, (workspace / "scored.csv").open() as after:
        kept, columns = next(csv.reader(before)), next(csv.reader(after))
    page = (ROOT / "docs" / "reference" / "scoring.md").read_text()
    shown = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert [name for name in shown if name in columns] == columns[len(kept) :]


@pytest.mark.parametrize("command", [words for words in commands("vae") if " serve" in words])
def test_every_flag_of_a_shown_serve_command_exists(command: str, environment: dict[str, str]) -> None:
    known = run(["vae", "serve", "--help"], ROOT, {**environment, "COLUMNS": "200", "NO_COLOR": "1"})
    assert all(word in known for word in shlex.split(command) if word.startswith("--"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_curl_command_of_the_readme_gives_the_shown_reply(
    served: str, workspace: Path, environment: dict[str, str]
) -> None:
    (command,) = commands("curl")
    assert commands("curl", TUTORIAL) == [command]
    (shown,) = blocks(README, "json")
    live = json.loads(run(shlex.split(command.replace(URL, served)), workspace, environment))
    assert rounded(live, json.loads(shown))


def rounded(live: Any, shown: Any) -> bool:
    """Whether a reply equals the shown one, which may leave out digits."""
    if isinstance(shown, dict):
        return list(live) == list(shown) and all(rounded(live[name], shown[name]) for name in shown)
    if isinstance(shown, list):
        return len(live) == len(shown) and all(map(rounded, live, shown))
    if isinstance(shown, float):
        return abs(live - shown) <= 0.02 + 1e-4 * abs(shown)
    return bool(live == shown)


@pytest.mark.slow
@pytest.mark.parametrize("snippet", blocks(README, "python")[1:], ids=lambda code: code.splitlines()[1])
def test_every_python_snippet_of_the_readme_runs(
    snippet: str, served: str, workspace: Path, environment: dict[str, str]
) -> None:
    run([sys.executable, "-W", "error", "-c", snippet.replace(URL, served)], workspace, environment)


def test_the_readme_is_short_and_shows_what_its_first_snippet_prints(environment: dict[str, str]) -> None:
    assert len(README.splitlines()) < 150
    printed = run([sys.executable, "-W", "error", "-c", blocks(README, "python")[0]], ROOT, environment)
    assert printed == blocks(README, "text")[0]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_make_target_that_a_document_shows_exists(document: Path) -> None:
    known = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    text = document.read_text()
    shown = [line.split()[1] for line in commands("make", text)] + re.findall(r"`make ([a-z-]+)", text)
    assert set(shown) <= set(known)


def links(document: Path) -> list[tuple[Path, str]]:
    """The local links of a document: (file, anchor), with an empty anchor if there is none."""
    found = re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", document.read_text())
    return [((document.parent / path).resolve() if path else document, anchor) for path, anchor in found]


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_to_a_file_resolves(document: Path) -> None:
    assert [path for path, _ in links(document) if not path.exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_anchor_of_a_link_is_a_heading_of_its_page(document: Path) -> None:
    assert [(path, anchor) for path, anchor in links(document) if anchor and anchor not in anchors(path)] == []


def test_every_page_is_in_one_group_and_in_the_index() -> None:
    docs = ROOT / "docs"
    assert {page.name for page in docs.glob("*.md")} == {"index.md", "gallery.md", "glossary.md", "design.md"}
    assert {page.relative_to(docs).parts[0] for page in PAGES if page.parent != docs} == GROUPS
    indexed = {path for page in ("index.md", "decisions/README.md") for path, _ in links(docs / page)}
    assert [page for page in PAGES if page not in indexed and page != docs / "index.md"] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("[!R]*.md")), ids=name)
def test_a_decision_record_has_a_date_and_the_four_sections(page: Path) -> None:
    text = page.read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9-]+\.md", page.name)
    assert text.splitlines()[2] == page.name[:10]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Context",
        "Decision",
        "Figures",
        "What was tried and failed",
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_environment_variable_in_the_docs_is_used_in_the_code(document: Path) -> None:
    from vaekit_service.settings import Settings

    named = set(re.findall(r"\bVAE_[A-Z_]+\b", document.read_text()))
    assert {name.removeprefix("VAE_").lower() for name in named} <= {*Settings.model_fields, "api_key", "key"}
