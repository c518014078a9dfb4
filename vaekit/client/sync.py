"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import count
from types import TracebackType
from typing import Any

import httpx
from numpy.typing import ArrayLike

from vaekit.bundle import Manifest
from vaekit.bundle.input_spec import InputSpec
from vaekit.client import replies, requests
from vaekit.client.environment import checked_environment, key_or_environment, proxy_note
from vaekit.client.error_replies import check
from vaekit.client.errors import NOT_READY, ClientError, translated
from vaekit.client.replies import DecodeResult, ElboResult, EncodeResult, SampleResult
from vaekit.client.requests import TIMEOUT, HttpCall, check_url, checked_timeout, key_header
from vaekit.client.retries import LONGEST_WAIT, RETRIES, Retries
from vaekit.client.score_columns import score_columns
from vaekit.client.wire import ModelHealth, ModelList
from vaekit.tabular.appended import append_columns, as_table


class Client:
    """A client of a running service. Close it, or use it in a with statement.

    >>> with Client("http://127.0.0.1:8000") as client:
    ...     client.elbo(rows, alpha=0.05).is_anomaly
    array([False,  True])

    Arrays are sent as npy; tables of pyarrow, polars and pandas as Arrow (without pyarrow as JSON); lists of numbers,
    objects by column name and images (paths, or bytes of PNG or JPEG files) as JSON. Masked cells are missing. Columns
    that the model does not have are ignored and named in the result; with strict=True they are refused.

    Without `model`, the service uses its default model; without `version`, the latest version. Several threads may
    share a client.

    Args:
        url: address of the service, including a path prefix if there is one.
        timeout: seconds to wait for a connection, and then for each chunk of bytes; None: no limit.
        key: API key, sent as a bearer token; None: that of VAE_API_KEY, or no key.
        retries: how often a request is sent again if the service is busy (429), asks to come back (503 with
            Retry-After) or drops the connection. The pauses are random and never shorter than Retry-After.
        longest_wait: seconds; an error that asks for a longer pause is raised at once.
        transport: replaces the network in tests.

    Proxies and certificates come from the environment, as httpx reads them (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY,
    NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR). A variable that it refuses is a ConnectionFailed that names the variable.

    Every call raises:
        InputError: the rows or arguments are invalid, and nothing was sent.
        RequestRefused, ModelNotFound, TooBusy: the service refused the request; the message is the service's.
        ServiceFailed, ServiceUnavailable: the service failed, or is not ready.
        ConnectionFailed, DeadlineExceeded, ProtocolError: no reply, or an invalid one.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float | None = TIMEOUT,
        key: str | None = None,
        retries: int = RETRIES,
        longest_wait: float = LONGEST_WAIT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = check_url(url)
        self._retries = Retries(retries, longest_wait)
        self._answered = False
        self._inputs: dict[tuple[str, int], InputSpec] = {}  # by model and version
        headers, timeout = key_header(key_or_environment(key)), checked_timeout(timeout)
        with checked_environment():
            self._http = httpx.Client(base_url=url, timeout=timeout, headers=headers, transport=transport)
        self._note = proxy_note(url) if transport is None else ""

    def encode(
        self, inputs: Any, *, strict: bool = False, model: str | None = None, version: int | None = None
    ) -> EncodeResult:
        """q(z|x) of each row: mu and sigma, (N, Z), or (N, M, Z) for a model with M members."""
        call = requests.encode(inputs, model, version, strict=strict)
        return replies.encode(self._send(call), call.rows)

    def decode(
        self,
        latents: ArrayLike,
        *,
        members: int | ArrayLike | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> DecodeResult:
        """Mean and scale of p(x|z) in raw units, for latents z (N, Z).

        `members` is the member that decodes them: one number, or one for each latent vector. It is required if the
        model has members.
        """
        call = requests.decode(latents, model, version, members=members)
        return replies.decode(self._send(call), call.rows)

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        temperature: float = 1.0,
        observe: bool = False,
        model: str | None = None,
        version: int | None = None,
    ) -> SampleResult:
        """n draws of the model: E[x|z], or draws from p(x|z) if observe is true."""
        call = requests.sample(n, model, version, seed=seed, temperature=temperature, observe=observe)
        return replies.sample(self._send(call), call.rows)

    def elbo(
        self,
        inputs: Any,
        *,
        num_samples: int | None = None,
        seed: int | None = None,
        alpha: float | None = None,
        fdr: float | None = None,
        log_evidence: bool = True,
        features: bool = False,
        explain: int | None = None,
        similar: int = 0,
        ignore: Mapping[str, Any] | None = None,
        ids: Iterable[Any] | str | None = None,
        strict: bool = False,
        model: str | None = None,
        version: int | None = None,
    ) -> ElboResult:
        """ELBO of each row in nats, p-value, verdict at alpha, discoveries at fdr, and `explain` most anomalous cells.

        `cells` has the names of the columns and levels of an explanation. log_evidence=False makes a model with a prior
        of training rows faster. `ignore` has tolerance rules by column, {"pressure": {"above": 0.2}}, in place of
        the model's; `tolerated` says which of them removed an alarm. `similar` is the number of most similar training
        rows to show for each row, of a model with a kernel prior whose bundle holds them. `ids` are your ids of the
        rows, text or integers, or the name of the column that has them: the service writes them to its score log.
        """
        call = requests.elbo(
            inputs,
            model,
            version,
            num_samples=num_samples,
            seed=seed,
            alpha=alpha,
            fdr=fdr,
            log_evidence=log_evidence,
            features=features,
            explain=explain,
            similar=similar,
            ignore=ignore,
            ids=ids,
            strict=strict,
        )
        found = replies.elbo(self._send(call), call.rows)
        return found if found.explanation is None else replies.with_cells(found, self._input(found))

    def score(
        self,
        rows: Any,
        *,
        alpha: float | None = None,
        fdr: float | None = None,
        num_samples: int | None = None,
        explain: int | None = None,
        ignore: Mapping[str, Any] | None = None,
        ids: Iterable[Any] | str | None = None,
        strict: bool = False,
        model: str | None = None,
        version: int | None = None,
    ) -> Any:
        """The table with the columns that `vae score` appends: elbo, score, p_value, is_anomaly and others.

        >>> client.score(frame, alpha=0.01, explain=3).sort_values("score", ascending=False)

        `rows` is a frame of pandas or polars, a table of pyarrow, or a list of dicts, and the result is of the same
        type; a pandas frame keeps its index. Any other object with the Arrow stream interface gives a pyarrow.Table.
        A column whose name the table has already gets the prefix `vae_`. The options are those of `elbo`.

        Raises:
            InputError: not a table; nothing was sent.
        """
        table = as_table(rows)
        found = self.elbo(
            table,
            alpha=alpha,
            fdr=fdr,
            num_samples=num_samples,
            explain=explain,
            ignore=ignore,
            ids=ids,
            log_evidence=False,
            strict=strict,
            model=model,
            version=version,
        )
        return append_columns(table, score_columns(found))

    def models(self) -> ModelList:
        """The models that the service has loaded."""
        return replies.models(self._send(requests.models()))

    def model(self, name: str, version: int | None = None) -> Manifest:
        """The manifest of a version of a model; default: the version that the service uses."""
        return replies.manifest(self._send(requests.manifest(name, version)))

    def model_health(self, name: str, version: int | None = None) -> ModelHealth:
        """The last scored rows of a version of a model against its calibration; default: the version in use."""
        return replies.model_health(self._send(requests.model_health(name, version)))

    def health(self) -> bool:
        """Whether the service is running. Returns False, and raises nothing, if it does not answer."""
        return self._succeeds(requests.health())

    def ready(self) -> bool:
        """Whether the service is ready for requests. Returns False, and raises nothing, if it does not answer."""
        return self._succeeds(requests.ready())

    def close(self) -> None:
        """Close the connections to the service."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _input(self, found: ElboResult) -> InputSpec:
        """The input spec of the version that answered; asked for once."""
        key = found.model, found.version
        if key not in self._inputs:
            self._inputs[key] = replies.manifest(self._send(requests.manifest(*key))).input
        return self._inputs[key]

    def _send(self, call: HttpCall) -> httpx.Response:
        for tries in count(1):
            try:
                return self._try(call)
            except ClientError as exc:
                if (pause := self._retries.pause(exc, tries, answered=self._answered)) is None:
                    raise
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _try(self, call: HttpCall) -> httpx.Response:
        with translated(self.url, self._note):
            response = self._http.request(
                call.method, call.path, params=call.params, headers=call.headers, content=call.content
            )
        self._answered = True
        return check(response)

    def _succeeds(self, call: HttpCall) -> bool:
        try:
            self._try(call)
        except NOT_READY:
            return False
        return True
