"""Measures what an install of vaekit downloads, takes on disk and needs in time, for the base and each extra.

python -m benchmarks.install_size --wheel dist/*.whl                     every set
python -m benchmarks.install_size --wheel dist/*.whl --only cpu,service  one set

Each set is downloaded into an empty folder, then installed from there into a new virtual environment. The seconds are
the CPU time of that install, without the network; on an idle machine it takes about as long. Sizes on disk are without
pip and the interpreter. 1 MB = 10^6 bytes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETS = (
    "",
    "cpu",
    "cpu,service",
    "cpu,service,arrow",
    "cpu,service,traces",
    "cpu,scoring",
    "cpu,hub",
    "cpu,ray",
    "cpu,training",
    "cpu,service,training,scoring",
)


@dataclass(frozen=True)
class Install:
    """What one set of extras costs."""

    extras: str
    distributions: int
    download_mb: float
    disk_mb: float
    seconds: float
    largest: str  # the three largest downloads, with MB


def measure(wheel: Path, extras: str, python: str) -> Install:
    """Download and install a set of extras."""
    what = f"{wheel.absolute()}[{extras}]" if extras else str(wheel.absolute())
    with tempfile.TemporaryDirectory() as folder:
        files, venv = Path(folder) / "files", Path(folder) / "venv"
        subprocess.run([python, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        pins = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, "download", "--quiet", "--dest", str(files), *pins, what], check=True)
        before, started = bytes_below(venv), cpu_seconds()
        local = ["--no-index", "--find-links", str(files), "--no-cache-dir"]
        subprocess.run([*pip, "install", "--quiet", *local, *pins, what], check=True)
        seconds = cpu_seconds() - started
        sizes = sorted(((path.stat().st_size, path.name.split("-")[0]) for path in files.iterdir()), reverse=True)
        return Install(
            extras or "none",
            len(sizes),
            sum(size for size, _ in sizes) / 1e6,
            (bytes_below(venv) - before) / 1e6,
            seconds,
            ", ".join(f"{name} {size / 1e6:.0f}" for size, name in sizes[:3]),
        )


def cpu_seconds() -> float:
    """The CPU time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bytes_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def table(installs: Sequence[Install]) -> str:
    """A Markdown table."""
    lines = ["| extras | distributions | download | on disk | install, CPU time | largest downloads, MB |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for one in installs:
        extras = f"`{one.extras}`" if one.extras != "none" else "none"
        sizes = f"{one.download_mb:.0f} MB | {one.disk_mb:.0f} MB | {one.seconds:.0f} s"
        lines.append(f"| {extras} | {one.distributions} | {sizes} | {one.largest} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True, help="the wheel of vaekit, from `make dist`")
    parser.add_argument("--only", action="append", help="a set of extras, separated by commas; repeatable")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the virtual environments")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    installs = []
    for extras in options.only or SETS:
        installs.append(measure(options.wheel, extras, options.python))
        print(table(installs[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(installs))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(one) for one in installs], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
