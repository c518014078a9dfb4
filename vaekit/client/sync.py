"""The synchronous client."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx
from numpy.typing import ArrayLike

from vaekit.bundle import Manifest
from vaekit.client import replies, requests
from vaekit.client.environment import checked_environment, proxy_note
from vaekit.client.errors import NOT_UP, translated
from vaekit.client.refusals import check
from vaekit.client.replies import DecodeResult, ElboResult, EncodeResult, SampleResult
from vaekit.client.requests import TIMEOUT, HttpCall, check_url, key_header
from vaekit.client.wire import ModelList


class Client:
    """A client of a running service. Close it, or use it in a with statement.

    >>> with Client("http://127.0.0.1:8000") as client:
    ...     client.elbo(rows, alpha=0.05).is_anomaly
    array([False,  True])

    Arrays are sent as npy; tables of pyarrow, polars and pandas as Arrow; lists of numbers, objects by column name and
    images (paths, or bytes of PNG or JPEG files) as JSON. The default is the service's default model, and the latest
    version of a model. Calls from several threads are safe.

    Args:
        url: address of the service, including a path prefix if there is one.
        timeout: seconds to connect, and to wait for each chunk of bytes.
        key: API key, sent as a bearer token.
        transport: replaces the network in tests.

    Proxies and certificates come from the environment, as httpx reads them (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY,
    NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR). A variable that it refuses is a ConnectionFailed that names the variable.

    Every call raises:
        InputError: rows that cannot be sent.
        RequestRefused, ModelNotFound, TooBusy: the service refused the request; the message is the service's.
        ServiceFailed, ServiceUnavailable: the service failed, or is not ready.
        ConnectionFailed, DeadlineExceeded, ProtocolError: no reply, or an invalid one.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = TIMEOUT,
        key: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = check_url(url)
        headers = key_header(key)
        with checked_environment():
            self._http = httpx.Client(base_url=url, timeout=timeout, headers=headers, transport=transport)
        self._note = proxy_note(url) if transport is None else ""

    def encode(self, inputs: Any, *, model: str | None = None, version: int | None = None) -> EncodeResult:
        """q(z|x) of each row: mu and sigma, (N, Z)."""
        call = requests.encode(inputs, model, version)
        return replies.encode(self._ask(call), call.rows)

    def decode(
        self,
        latents: ArrayLike,
        *,
        members: int | ArrayLike | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> DecodeResult:
        """Mean and scale of p(x|z), raw units, for latents z (N, Z); `members` selects the member that decodes them."""
        call = requests.decode(latents, model, version, members=members)
        return replies.decode(self._ask(call), call.rows)

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
        return replies.sample(self._ask(call), call.rows)

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
        model: str | None = None,
        version: int | None = None,
    ) -> ElboResult:
        """ELBO of each row in nats, p-value, verdict at alpha, discoveries at fdr, and `explain` most anomalous cells.

        With log_evidence=False a model with an aggregate prior is much faster.
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
        )
        return replies.elbo(self._ask(call), call.rows)

    def models(self) -> ModelList:
        """The models that the service has loaded."""
        return replies.models(self._ask(requests.models()))

    def model(self, name: str, version: int | None = None) -> Manifest:
        """The manifest of a model's version, by default of the version in use."""
        return replies.manifest(self._ask(requests.manifest(name, version)))

    def health(self) -> bool:
        """Whether the service is up; False, not an error, if nothing answers."""
        return self._says_yes(requests.health())

    def ready(self) -> bool:
        """Whether the service is ready for requests; False, not an error, if nothing answers."""
        return self._says_yes(requests.ready())

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _ask(self, call: HttpCall) -> httpx.Response:
        with translated(self.url, self._note):
            response = self._http.request(
                call.method, call.path, params=call.params, headers=call.headers, content=call.content
            )
        return check(response)

    def _says_yes(self, call: HttpCall) -> bool:
        try:
            self._ask(call)
        except NOT_UP:
            return False
        return True
