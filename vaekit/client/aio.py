"""The asynchronous client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from types import TracebackType
from typing import Any

import httpx
from anyio import sleep
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


class AsyncClient:
    """Client for asyncio; see Client for arguments and errors.

    >>> async with AsyncClient("http://127.0.0.1:8000") as client:
    ...     (await client.elbo(rows, alpha=0.05)).is_anomaly
    array([False,  True])
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float | None = TIMEOUT,
        key: str | None = None,
        retries: int = RETRIES,
        longest_wait: float = LONGEST_WAIT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = check_url(url)
        self._retries = Retries(retries, longest_wait)
        self._answered = False
        self._inputs: dict[tuple[str, int], InputSpec] = {}  # by model and version
        headers, timeout = key_header(key_or_environment(key)), checked_timeout(timeout)
        with checked_environment():
            self._http = httpx.AsyncClient(base_url=url, timeout=timeout, headers=headers, transport=transport)
        self._note = proxy_note(url) if transport is None else ""

    async def encode(
        self, inputs: Any, *, strict: bool = False, model: str | None = None, version: int | None = None
    ) -> EncodeResult:
        """q(z|x) of each row: mu and sigma, (N, Z), or (N, M, Z) for a model with M members."""
        call = requests.encode(inputs, model, version, strict=strict)
        return replies.encode(await self._send(call), call.rows)

    async def decode(
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
        return replies.decode(await self._send(call), call.rows)

    async def sample(
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
        return replies.sample(await self._send(call), call.rows)

    async def elbo(
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

        log_evidence=False makes a model with a prior of training rows faster. `ignore` has tolerance rules by column.
        `similar` is the number of most similar training rows to show for each row, if the bundle holds them.
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
        found = replies.elbo(await self._send(call), call.rows)
        return found if found.explanation is None else replies.with_cells(found, await self._input(found))

    async def score(
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
        """The table with the columns that `vae score` appends, of the same type; see Client.score."""
        table = as_table(rows)
        found = await self.elbo(
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

    async def models(self) -> ModelList:
        """The models that the service has loaded."""
        return replies.models(await self._send(requests.models()))

    async def model(self, name: str, version: int | None = None) -> Manifest:
        """The manifest of a version of a model; default: the version that the service uses."""
        return replies.manifest(await self._send(requests.manifest(name, version)))

    async def model_health(self, name: str, version: int | None = None) -> ModelHealth:
        """The last scored rows of a version of a model against its calibration; default: the version in use."""
        return replies.model_health(await self._send(requests.model_health(name, version)))

    async def health(self) -> bool:
        """Whether the service is running. Returns False, and raises nothing, if it does not answer."""
        return await self._succeeds(requests.health())

    async def ready(self) -> bool:
        """Whether the service is ready for requests. Returns False, and raises nothing, if it does not answer."""
        return await self._succeeds(requests.ready())

    async def aclose(self) -> None:
        """Close the connections to the service."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _input(self, found: ElboResult) -> InputSpec:
        """The input spec of the version that answered; asked for once."""
        key = found.model, found.version
        if key not in self._inputs:
            self._inputs[key] = replies.manifest(await self._send(requests.manifest(*key))).input
        return self._inputs[key]

    async def _send(self, call: HttpCall) -> httpx.Response:
        for tries in count(1):
            try:
                return await self._try(call)
            except ClientError as exc:
                if (pause := self._retries.pause(exc, tries, answered=self._answered)) is None:
                    raise
            await sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _try(self, call: HttpCall) -> httpx.Response:
        with translated(self.url, self._note):
            response = await self._http.request(
                call.method, call.path, params=call.params, headers=call.headers, content=call.content
            )
        self._answered = True
        return check(response)

    async def _succeeds(self, call: HttpCall) -> bool:
        try:
            await self._try(call)
        except NOT_READY:
            return False
        return True
