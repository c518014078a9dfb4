"""The model card that the Hugging Face hub shows: the bundle's own, with the hub's metadata and how to use it."""

from __future__ import annotations

from pathlib import Path

from vaekit.bundle.manifest import Manifest

_CARD = "report/model-card.md"
_METADATA = """---
library_name: vaekit
tags:
- vae
- anomaly-detection
- density-estimation
- onnx
---
"""


def model_card(folder: Path, manifest: Manifest, url: str) -> bytes:
    """README.md of a repository.

    Args:
        folder: the bundle. One without a model card gets a short one.
        url: of the repository, without a revision.
    """
    path = folder / _CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else f"# {manifest.name}, version {manifest.version}\n"
    text = text.replace("](report.html)", "](report/report.html)")
    use = f"""
## Use

```sh
vae pull {url}@v{manifest.version}
vae serve
```
"""
    return (_METADATA + text.rstrip("\n") + "\n" + use).encode()
