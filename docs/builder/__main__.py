"""The command that builds the docs site. Warnings of Sphinx are errors."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from docs.builder.stage import ROOT, stage


def main() -> int:
    """Build the site and return the exit code of Sphinx."""
    parser = argparse.ArgumentParser(prog="python -m docs.builder", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "docs", help="folder of the site and its caches")
    parser.add_argument("--fresh", action="store_true", help="run all notebooks and write all pages again")
    options = parser.parse_args()
    if options.fresh:
        shutil.rmtree(options.out, ignore_errors=True)
    source, html = options.out / "source", options.out / "html"
    if stage(source):
        shutil.rmtree(html, ignore_errors=True)  # every page shows the sidebar, and Sphinx writes only changed pages
    settings = ["-b", "html", "-c", str(ROOT / "docs"), "-d", str(options.out / "doctrees"), "-j", "auto", "-q"]
    code = build_main([*settings, "--fail-on-warning", "--keep-going", "--nitpicky", str(source), str(html)])
    if code == 0:
        print(f"the site is {html / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
