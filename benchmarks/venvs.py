"""Creates a virtual environment for each peer, on top of the packages of this one."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

SHARED = ("torch", "numpy", "onnxruntime")  # the same versions in every arm, so that arms differ only in the peer


@dataclass(frozen=True)
class Peer:
    """A package to compare with, and its pip requirements, including those that it does not declare itself."""

    name: str
    requirements: tuple[str, ...]


PYTHAE = Peer("pythae", ("pythae==0.1.2",))
PYOD = Peer("pyod", ("pyod==3.6.7", "tqdm"))  # PyOD's deep models import tqdm, but PyOD does not require it
LITSERVE = Peer("litserve", ("litserve==0.2.19",))
MLSERVER = Peer("mlserver", ("mlserver==1.7.1",))
BENTOML = Peer("bentoml", ("bentoml==1.4.39",))
RAY = Peer("ray", ("ray[serve]==2.60.0",))


def make(peer: Peer, folder: Path) -> Path:
    """Create the peer's environment below `folder` if it does not exist, and return the path of its python.

    The environment includes this interpreter's packages, so that torch, numpy and ONNX Runtime are the same files. Only
    the peer and its missing dependencies are installed.

    Raises:
        subprocess.CalledProcessError: pip failed and printed the reason.
    """
    home = folder / peer.name
    python = home / "bin" / "python"
    wanted = [*peer.requirements, *_constraints()]
    mark = home / "made-of.json"
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return python
    venv.create(home, with_pip=True, clear=True)
    (site := _site_packages(home)).mkdir(parents=True, exist_ok=True)
    (site / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    constraints = home / "constraints.txt"
    constraints.write_text("\n".join(_constraints()) + "\n")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(constraints)]
    subprocess.run([*install, *peer.requirements], check=True)
    mark.write_text(json.dumps(wanted))
    return python


def installed(peer: Peer, folder: Path) -> list[str]:
    """The packages in the peer's environment, as name==version."""
    site = _site_packages(folder / peer.name)
    found = {f"{one.metadata['Name']}=={one.version}" for one in metadata.distributions(path=[str(site)])}
    return sorted(found, key=str.lower)


def _site_packages(home: Path) -> Path:
    return home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _constraints() -> list[str]:
    return [f"{name}=={metadata.version(name)}" for name in SHARED]
