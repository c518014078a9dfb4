"""The pages of the Python interface, made from docstrings."""

from __future__ import annotations

FOLDER = "reference/api"


PAGES: dict[str, tuple[str, str, str]] = {  # page: title, what it is for, what autodoc shows
    "detector": (
        "Detector",
        "[Detector](../detector.md) describes the rows that it takes, and its rules.",
        ".. autoclass:: vaekit.Detector\n   :members:\n   :inherited-members:\n",
    ),
    "model": (
        "Model",
        "Scores rows in this process, without a service.",
        ".. autoclass:: vaekit.Model\n   :members:\n   :inherited-members:\n",
    ),
    "results": (
        "Results of Model",
        "What the methods of `Model` return.",
        "".join(
            f".. autoclass:: vaekit.runtime.{name}\n   :members:\n   :no-index:\n\n"
            for name in ("Posterior", "Elbo", "Bound", "Explained", "Similar", "Decoded", "Samples")
        )
        + ".. autofunction:: vaekit.runtime.heatmap\n",
    ),
    "client": (
        "Client",
        "Sends requests to a service and waits. [Client](../client.md) describes its errors and retries.",
        ".. autoclass:: vaekit.Client\n   :members:\n",
    ),
    "async-client": (
        "AsyncClient",
        "The same client for asyncio.",
        ".. autoclass:: vaekit.AsyncClient\n   :members:\n",
    ),
    "scoring": (
        "Scoring of frames",
        "Scores of tables that are in memory. [Score from SQL and frames](../../how-to/score-from-sql-and-frames.md) "
        "shows it in use.",
        ".. autofunction:: vaekit.scoring.score_frame\n",
    ),
    "losses": (
        "Losses",
        "Settings that equal a loss of another project. [Losses](../losses.md) lists the conventions.",
        ".. automodule:: vaekit.losses\n   :members:\n   :imported-members:\n",
    ),
    "metrics": (
        "Metrics",
        "Scorers for scikit-learn's model selection.",
        ".. automodule:: vaekit.metrics\n   :members:\n",
    ),
    "mlflow": (
        "MLflow",
        "Bundles in MLflow. [Use MLflow](../../how-to/mlflow.md) shows them in use.",
        ".. automodule:: vaekit.mlflow\n   :members:\n",
    ),
    "client-results": (
        "Results of Client",
        "What the methods of `Client` and `AsyncClient` return.",
        "".join(
            f".. autoclass:: vaekit.client.{name}\n   :members:\n\n"
            for name in ("EncodeResult", "DecodeResult", "SampleResult", "ElboResult")
        ),
    ),
    "errors": (
        "Errors",
        "Every error that vaekit raises on purpose.",
        ".. automodule:: vaekit.errors\n   :members:\n   :show-inheritance:\n\n"
        ".. automodule:: vaekit.client.errors\n   :members:\n   :show-inheritance:\n",
    ),
}


def pages() -> dict[str, str]:
    """One page per part of the interface, and their index."""
    made = {f"{FOLDER}/{name}.md": _page(*page) for name, page in PAGES.items()}
    lines = "\n".join(f"- [{title}]({name}.md): {said}" for name, (title, said, _) in PAGES.items())
    names = "\n".join(PAGES)
    made[f"{FOLDER}/index.md"] = (
        f"# Python interface\n\nThe names that programs may use, from their docstrings.\n\n{lines}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    )
    return made


def _page(title: str, said: str, shown: str) -> str:
    return f"# {title}\n\n{said}\n\n```{{eval-rst}}\n{shown}```\n"
