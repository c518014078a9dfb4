"""The command that builds the docs site. Warnings of Sphinx are errors."""

from __future__ import annotations

import argparse
import logging
import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from docs.builder import notebooks
from docs.builder.stage import ROOT, stage


def external(html: Path) -> list[str]:
    """The addresses of other sites that the pages link to. Nothing of them is loaded."""
    texts = (path.read_text(encoding="utf-8") for path in html.rglob("*.html"))
    return sorted({link for text in texts for link in re.findall(r'<a [^>]*href="(https?://[^"]+)"', text)})


def main() -> int:
    """Build the site and return the exit code of Sphinx."""
    parser = argparse.ArgumentParser(prog="python -m docs.builder", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "docs", help="folder of the site and its caches")
    parser.add_argument("--fresh", action="store_true", help="run all notebooks and write all pages again")
    options = parser.parse_args()
    if options.fresh:
        shutil.rmtree(options.out, ignore_errors=True)
    logging.getLogger("traitlets").setLevel(logging.WARNING)  # of the notebooks' kernels
    notebooks.prepare_kernels()
    source, html = options.out / "source", options.out / "html"
    if stage(source):
        shutil.rmtree(html, ignore_errors=True)  # every page shows the sidebar, and Sphinx writes only changed pages
    settings = ["-b", "html", "-c", str(ROOT / "docs"), "-d", str(options.out / "doctrees"), "-j", "auto", "-q"]
    code = build_main([*settings, "--fail-on-warning", "--keep-going", "--nitpicky", str(source), str(html)])
    if code == 0:
        listed = options.out / "external-links.txt"
        listed.write_text("\n".join(external(html)) + "\n", encoding="utf-8")
        print(f"the site is {html / 'index.html'}; {listed} lists its links to other sites")
    return code


if __name__ == "__main__":
    sys.exit(main())
