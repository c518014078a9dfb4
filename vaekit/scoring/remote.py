"""Scores rows through a running service."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.calibration import check_alpha
from vaekit.bundle.tolerance import Tolerances
from vaekit.client import Client, RequestRefused
from vaekit.runtime.results import Array
from vaekit.scoring.output_columns import appended_for
from vaekit.scoring.scorers import EXPLAINING, Scores, ScoringOptions, facts_of
from vaekit.tabular.novelty import joined_names
from vaekit.tolerance_rules import ToleranceRule

REMOTE_CELLS = 2**18  # cells per request: 2 MiB, below the body limits of services and proxies
REMOTE_ROWS = 10_000  # rows per request
REMOTE_RETRIES = 9  # of a request while the service is busy or restarting
REMOTE_WAIT = 600.0  # seconds that the service may ask for, such as one with a rate per key
TOO_LARGE = 413


class RemoteScorer:
    """Scores through a running service.

    The client repeats requests to a busy service. If the service refuses a request as too large, its rows are sent in
    two requests.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        version: int | None = None,
        *,
        num_samples: int | None = None,
        alpha: float = 0.05,
        explain: int | None = None,
        ignore: dict[str, ToleranceRule] | None = None,
    ) -> None:
        """
        Args:
            client: the client; the caller closes it.
            name: a model of the service.
            version: its version; None: the service's current version, which is then used for the whole run.
            num_samples: K; None: the model's default.
            alpha: false-alarm rate of the verdict.
            explain, ignore: as for LocalScorer.

        Raises:
            ClientError: the service does not answer or has no such model.
            InputError: alpha is out of range, or a rule does not fit the model.
        """
        check_alpha(alpha)
        manifest = client.model(name, version)
        self._client = client
        self._name, self._version = manifest.name, manifest.version
        self._options: ScoringOptions
        self._options = {"num_samples": num_samples, "alpha": alpha, "explain": explain, "ignore": ignore}
        rules = Tolerances.of((manifest.ignore or {}) if ignore is None else ignore, manifest.input)
        self.reason: str | None = None
        self.alpha_reason: str | None = None
        self.model = f"{manifest.name}@{manifest.version}"
        self.spec: VectorSpec | ImageSpec = manifest.input
        self.most_missing, self.id_column = manifest.most_missing, manifest.id_column
        grouped = manifest.groups is not None
        self.appended = appended_for(self.spec, explain, rules=rules is not None, grouped=grouped)
        self.alpha = alpha
        self.held_out: Array | None = None
        self.held_out_p_values: Array | None = None
        self.facts = facts_of(manifest, self._options, by="service")
        most = min(REMOTE_ROWS, REMOTE_CELLS // self.spec.dim) // (1 if explain is None else EXPLAINING)
        self.batch_rows = self._most = max(1, most)

    def score(self, x: NDArray[Any]) -> Scores:
        if len(x) > (most := self._most):
            return Scores.concatenate([self.score(x[at : at + most]) for at in range(0, len(x), most)])
        try:
            return self._request(x)
        except RequestRefused as exc:
            if exc.status != TOO_LARGE or len(x) == 1:
                raise
        self._most = (len(x) + 1) // 2  # for all further requests too
        return self.score(x)

    def _request(self, x: NDArray[Any]) -> Scores:
        got = self._client.elbo(x, log_evidence=False, model=self._name, version=self._version, **self._options)
        if got.is_anomaly is None:
            self.reason = got.p_value_reason
        else:
            self.alpha_reason = got.p_value_reason
        found = {field.name: getattr(got, field.name) for field in fields(Scores) if field.name != "rules"}
        novel = None if got.novel is None else joined_names(got.novel)
        return Scores(**{**found, "novel": novel, "rules": None if got.tolerated is None else _lists(got.tolerated)})


def _lists(names: list[list[str]]) -> NDArray[np.object_]:
    found = np.empty(len(names), dtype=object)
    found[:] = names
    return found
