"""Pages whose Python blocks are run: how a notebook is written, run and renewed.

A notebook is a page of Markdown that reads well on a code host. It begins with MARK. Its blocks of `python` are run in
order, in one process. After a block may follow a block of `text` with what it prints, and a picture that it draws:

    python -m docs.builder.notebooks [PAGES]

runs the notebooks and writes these texts and pictures. The site shows what Sphinx's own run gave in their place.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CACHE = ROOT / "build" / "docs" / "notebooks"
MARK = "<!-- notebook: `make notebooks` runs the Python blocks and renews what they print and draw -->"
HEAD = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n"
SET_UP = "```{code-cell} ipython3\n:tags: [remove-cell]\n\nfrom docs.builder.workspace import enter\n\nenter()\n```\n"
CELL = re.compile(
    r"^```python\n(?P<code>.*?)^```\n"
    r"(?:\n```text\n(?P<printed>.*?)^```\n)?"
    r"(?:\n!\[(?P<alt>(?:[^\]\\]|\\.)*)\]\((?P<picture>[^)]+)\)\n)?",
    re.MULTILINE | re.DOTALL,
)
PROFILE = "c.IPKernelApp.log_level = 'ERROR'\nc.HistoryManager.enabled = False\n"
TIMEOUT = 120  # seconds for one block


@dataclass(frozen=True)
class Cell:
    """A block of code of a page, with what the page shows after it."""

    code: str
    printed: str
    alt: str
    picture: str


def is_notebook(text: str) -> bool:
    return text.startswith("<!-- notebook")


def notebooks() -> list[Path]:
    """The pages of docs/ that are notebooks."""
    return [path for path in sorted(DOCS.rglob("*.md")) if is_notebook(path.read_text(encoding="utf-8"))]


def cells_of(text: str) -> list[Cell]:
    """The blocks of a notebook that are run."""
    return [_cell(found) for found in CELL.finditer(text)]


def cells(text: str) -> str:
    """The page as MyST-NB reads it: code cells, without the texts and pictures that they make."""
    body = text.split("\n", 1)[1].lstrip("\n")
    first, rest = body.split("\n", 1)  # the title comes before the first cell
    return f"{HEAD}{first}\n\n{SET_UP}{CELL.sub(lambda found: _code_cell(_cell(found)), rest)}"


def prepare_kernels() -> None:
    """Let the kernels import the packages of this clone and docs.builder, without the user's IPython profile."""
    profile = CACHE.parent / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(PROFILE, encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(profile.parent)
    folders = [str(ROOT), str(ROOT / "service"), str(ROOT / "training"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))


def run(path: Path) -> list[tuple[str, bytes | None]]:
    """What each block of a notebook prints, and the picture it draws; from the cache if its code was run before."""
    from myst_nb.core.read import read_myst_markdown_notebook
    from myst_parser.config.main import MdParserConfig

    notebook = read_myst_markdown_notebook(cells(path.read_text(encoding="utf-8")), MdParserConfig(), path=str(path))
    done = _executed(notebook, path)
    return [_outputs(cell) for cell in done.cells if cell.cell_type == "code"][1:]


def renew(path: Path) -> None:
    """Write what the blocks print and draw into a notebook and its pictures."""
    text = path.read_text(encoding="utf-8")
    results = iter(run(path))

    def renewed(found: re.Match[str]) -> str:
        printed, picture = next(results)
        cell = replace(_cell(found), printed=printed)
        if picture is not None:
            if not cell.picture:
                raise SystemExit(f"{path}: add ![what the picture shows](../images/NAME.png) after:\n{cell.code}")
            (path.parent / cell.picture).write_bytes(picture)
        return _written(cell)

    path.write_text(CELL.sub(renewed, text), encoding="utf-8")


def _cell(found: re.Match[str]) -> Cell:
    return Cell(found["code"], found["printed"] or "", found["alt"] or "", found["picture"] or "")


def _code_cell(cell: Cell) -> str:
    options = f"---\nmystnb:\n  image:\n    alt: {_quoted(cell.alt)}\n---\n" if cell.alt else ""
    return f"```{{code-cell}} ipython3\n{options}{cell.code}```\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _written(cell: Cell) -> str:
    printed = f"\n```text\n{cell.printed.rstrip()}\n```\n" if cell.printed.strip() else ""
    picture = f"\n![{cell.alt}]({cell.picture})\n" if cell.picture else ""
    return f"```python\n{cell.code}```\n{printed}{picture}"


def _executed(notebook: Any, path: Path) -> Any:
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn
    from jupyter_cache.executors.utils import single_nb_execution

    cache = get_cache(CACHE)
    try:
        return cache.merge_match_into_notebook(notebook)[1]
    except KeyError:
        result = single_nb_execution(notebook, cwd=str(path.parent), timeout=TIMEOUT, allow_errors=False)
        if result.err is not None:
            raise SystemExit(f"{path}: {result.exc_string}") from result.err
        cache.cache_notebook_bundle(CacheBundleIn(notebook, str(path)), check_validity=False, overwrite=True)
        return notebook


def _outputs(cell: Any) -> tuple[str, bytes | None]:
    """The text and the picture of an executed cell."""
    texts, picture = [], None
    for output in cell.outputs:
        data = output.get("data", {})
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif "image/png" in data:
            picture = base64.b64decode(data["image/png"])
        elif "text/plain" in data:
            texts.append(data["text/plain"] + "\n")
    return "".join(texts), picture


def _wanted(names: list[str]) -> Iterator[Path]:
    yield from (Path(name).resolve() for name in names) if names else notebooks()


def main() -> None:
    """Renew the given notebooks, or all."""
    parser = argparse.ArgumentParser(prog="python -m docs.builder.notebooks", description=main.__doc__)
    parser.add_argument("pages", nargs="*", help="notebooks to renew; default: all")
    prepare_kernels()
    for path in _wanted(parser.parse_args().pages):
        renew(path)
        print(f"renewed {path.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
