"""A virtual environment for each peer, over the packages that run this. Knows pip; not what the peers do."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

SHARED = ("torch", "numpy", "onnxruntime")  # the same for every arm: what is compared is what is around them


@dataclass(frozen=True)
class Peer:
    """A package to be compared with, and what it needs besides what it asks for itself."""

    name: str
    requirements: tuple[str, ...]


PYTHAE = Peer("pythae", ("pythae==0.1.2",))
PYOD = Peer("pyod", ("pyod==3.6.7", "tqdm"))  # PyOD's deep models import tqdm, and its package does not ask for it
LITSERVE = Peer("litserve", ("litserve==0.2.19",))
MLSERVER = Peer("mlserver", ("mlserver==1.7.1",))
BENTOML = Peer("bentoml", ("bentoml==1.4.39",))
RAY = Peer("ray", ("ray[serve]==2.60.0",))


def make(peer: Peer, folder: Path) -> Path:
    """The python of the peer's environment below `folder`, made if it is not there.

    It sees this interpreter's packages, so that torch, numpy and ONNX Runtime are the same files, and holds the peer
    and what those lack.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    place = folder / peer.name
    python = place / "bin" / "python"
    wanted = [*peer.requirements, *_constraints()]
    mark = place / "made-of.json"
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return python
    venv.create(place, with_pip=True, clear=True)
    (site := _site_packages(place)).mkdir(parents=True, exist_ok=True)
    (site / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    constraints = place / "constraints.txt"
    constraints.write_text("\n".join(_constraints()) + "\n")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(constraints)]
    subprocess.run([*install, *peer.requirements], check=True)
    mark.write_text(json.dumps(wanted))
    return python


def installed(peer: Peer, folder: Path) -> list[str]:
    """What the peer's own environment holds, as name==version."""
    site = _site_packages(folder / peer.name)
    found = {f"{one.metadata['Name']}=={one.version}" for one in metadata.distributions(path=[str(site)])}
    return sorted(found, key=str.lower)


def _site_packages(place: Path) -> Path:
    return place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _constraints() -> list[str]:
    return [f"{name}=={metadata.version(name)}" for name in SHARED]
