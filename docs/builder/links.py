"""Links of the pages: those that leave docs/ lead to pages of the site as well."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby
from pathlib import Path

LINK = re.compile(r"(\]\()([^)\s#]*)(#[^)\s]*)?(\))")
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
PICTURE = re.compile(r"<picture>.*?</picture>", re.DOTALL)
LIGHT = re.compile(r"^!\[([^\]]*)\]\((\S+-light\.\w+)\)$", re.MULTILINE)
LARGEST = 200_000  # bytes of a file that gets a page
LEXERS = {".py": "python", ".js": "js", ".java": "java", ".json": "json", ".toml": "toml", ".yml": "yaml", ".sh": "sh"}


class Outside:
    """Files of the repository that pages link to; each gets a page with its text."""

    def __init__(self, root: Path, project: Mapping[str, str]) -> None:
        self._root = root
        self._project = project
        self._linked: set[str] = set()

    def page_of(self, path: str) -> str:
        """The page of the site for a path of the repository.

        Raises:
            ValueError: there is no such file or folder.
        """
        if path in self._project:
            return self._project[path]
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        if not (self._root / path).exists():
            raise ValueError(f"{path}: no such file")
        self._linked.add(path)
        return f"files/{path}.md"

    def pages(self) -> dict[str, str]:
        """The pages of the linked files, and their index."""
        if not self._linked:
            return {}
        made = {f"files/{path}.md": self._page(path) for path in sorted(self._linked)}
        names = "\n".join(name.removeprefix("files/").removesuffix(".md") for name in made)
        made["files/index.md"] = f"# Files\n\nFiles that pages link to.\n\n```{{toctree}}\n{names}\n```\n"
        return made

    def _page(self, path: str) -> str:
        file = self._root / path
        if file.is_dir():
            return f"# {path}/\n\nFiles of this folder of the repository:\n\n{_listing(self._root, path)}\n"
        try:
            text = file.read_text(encoding="utf-8") if file.stat().st_size <= LARGEST else None
        except UnicodeDecodeError:
            text = None
        if text is None:
            return f"# {path}\n\n`{path}` of the repository has {file.stat().st_size:,} bytes and is not shown here.\n"
        fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
        return f"# {path}\n\n{fence}{LEXERS.get(file.suffix, 'text')}\n{text.rstrip()}\n{fence}\n"


def _listing(root: Path, path: str) -> str:
    done = subprocess.run(["git", "ls-files", path], cwd=root, capture_output=True, text=True, check=False)
    names = done.stdout.split() or sorted(str(p.relative_to(root)) for p in (root / path).rglob("*") if p.is_file())
    return "\n".join(f"- `{name.removeprefix(path).strip('/')}`" for name in names[:200])


def with_dark(text: str, names: Collection[str] = ()) -> str:
    """A page whose pictures with a dark version are one for the light theme and one for the dark.

    Args:
        text: the page, with `<picture>` elements, or with pictures NAME-light that have a paragraph of their own.
        names: the file names of all pictures.
    """

    def pair(found: re.Match[str]) -> str:
        dark = re.search(r'srcset="([^"]+)"', found[0])
        light = re.search(r'<img[^>]*\ssrc="([^"]+)"', found[0])
        alt = re.search(r'alt="([^"]*)"', found[0])
        if not (dark and light and alt):
            return found[0]
        return _pair(light[1], dark[1], alt[1])

    def sibling(found: re.Match[str]) -> str:
        dark = found[2].replace("-light.", "-dark.")
        return _pair(found[2], dark, found[1]) if dark.rsplit("/", 1)[-1] in names else found[0]

    return LIGHT.sub(sibling, PICTURE.sub(pair, text))


def _pair(light: str, dark: str, alt: str) -> str:
    both = ((light, "only-light"), (dark, "only-dark"))
    return "\n\n".join(f"```{{image}} {path}\n:alt: {alt}\n:class: {name}\n```" for path, name in both)


def prose(text: str, change: Callable[[str], str]) -> str:
    """The text with the runs of lines outside code blocks changed."""
    runs = groupby(lines(text), key=lambda line: line[1])
    parts = [(is_code, "\n".join(line for line, _ in run)) for is_code, run in runs]
    return "\n".join(part if is_code else change(part) for is_code, part in parts)


def lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is part of a fenced code block."""
    fence = ""
    for line in text.split("\n"):
        found = FENCE.match(line)
        if not fence:
            fence = found[1] if found else ""
            yield line, bool(found)
        else:
            if found and found[1].startswith(fence) and line.strip() == found[1]:
                fence = ""
            yield line, True


def rewritten(text: str, origin: str, name: str, outside: Outside) -> str:
    """A page whose links lead to pages of the site.

    Args:
        text: the page as it is in the repository.
        origin: its path in the repository.
        name: its path in the site's sources.
        outside: collects the files that the page links to.
    """

    def link(found: re.Match[str]) -> str:
        start, path, anchor, end = found[1], found[2], found[3] or "", found[4]
        if not path or re.match(r"[a-z][a-z+.-]*:", path):
            return found[0]
        target = os.path.normpath(os.path.join(os.path.dirname(origin), path))  # noqa: PTH118, PTH120 - not on this disk
        try:
            page = outside.page_of(target)
        except ValueError:
            return found[0]  # Sphinx warns of it
        return f"{start}{os.path.relpath(page, os.path.dirname(name) or '.')}{anchor}{end}"  # noqa: PTH120

    return prose(text, lambda run: LINK.sub(link, run))
