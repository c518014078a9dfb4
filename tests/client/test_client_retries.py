"""What a client sends again, how often, and after which pause."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest

from vaekit import AsyncClient, Client
from vaekit.client import ClientError, ConnectionFailed, DeadlineExceeded, ServiceFailed, ServiceUnavailable, TooBusy
from vaekit.client.retries import FIRST_PAUSE, LONGEST_PAUSE, Retries
from vaekit.errors import InputError

MODELS = {"models": [], "default": None}
Answer = Callable[[], httpx.Response]


def busy(status: int = 429, retry_after: str | None = None) -> Answer:
    return lambda: httpx.Response(status, headers={} if retry_after is None else {"retry-after": retry_after})


def broken() -> httpx.Response:
    raise httpx.RemoteProtocolError("Server disconnected without sending a response.")


def fine() -> httpx.Response:
    return httpx.Response(200, json=MODELS)


class Script(httpx.MockTransport):
    """Gives the answers in their order, then `fine`, and counts the requests."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(self._handle)
        self.answers, self.requests = list(answers), 0

    def _handle(self, _: httpx.Request) -> httpx.Response:
        self.requests += 1
        return self.answers.pop(0)() if self.answers else fine()


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        ([busy(retry_after="0")], 2),
        ([busy(), busy(503, "0")], 3),
        ([fine, broken], 2),  # the first call makes the service known
    ],
    ids=["busy", "busy, then not ready", "a connection that breaks"],
)
def test_a_request_is_sent_again_until_it_is_answered(answers, requests):
    script = Script(*answers)
    with Client("http://host", transport=script) as client:
        client.models()
        if answers[0] is fine:
            requests += 1
            client.models()
    assert script.requests == requests


@pytest.mark.anyio
async def test_the_asynchronous_client_sends_again_too():
    script = Script(busy(), busy(503, "0"))
    async with AsyncClient("http://host", transport=script) as client:
        await client.models()
    assert script.requests == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (busy(500), ServiceFailed),
        (busy(503), ServiceUnavailable),  # without Retry-After it would fail again
        (busy(504), DeadlineExceeded),
        (busy(429, "61"), TooBusy),  # longer than longest_wait
        (busy(422), ClientError),
        (broken, ConnectionFailed),  # a service that never answered: the address may be wrong
    ],
)
def test_an_error_that_a_retry_does_not_mend_is_raised_at_once(answer, error):
    script = Script(answer)
    with Client("http://host", transport=script) as client, pytest.raises(error):
        client.models()
    assert script.requests == 1


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_request_is_sent_again_at_most_so_often(retries):
    script = Script(*[busy(retry_after="0")] * 9)
    with Client("http://host", transport=script, retries=retries) as client, pytest.raises(TooBusy):
        client.models()
    assert script.requests == retries + 1


def test_the_client_waits_at_least_as_long_as_retry_after_asks():
    script = Script(busy(retry_after="1"))
    with Client("http://host", transport=script) as client:
        begin = time.monotonic()
        client.models()
    assert time.monotonic() - begin >= 1.0


@pytest.mark.parametrize("call", [Client.ready, Client.health])
def test_a_probe_is_answered_at_once(call):
    script = Script(busy(503, "1"))
    with Client("http://host", transport=script) as client:
        assert not call(client)
    assert script.requests == 1


def test_pauses_are_uniform_up_to_a_bound_that_doubles():
    retries = Retries(100, 60.0, random.Random(0))
    error = TooBusy("full", status=429)
    for tries in (1, 2, 3, 6, 50):
        bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1))
        pauses = np.array([retries.pause(error, tries) for _ in range(2000)])
        assert pauses.min() >= 0
        assert pauses.max() <= bound
        assert pauses.mean() == pytest.approx(bound / 2, rel=0.05)


def test_a_negative_number_of_retries_is_refused():
    with pytest.raises(InputError, match="retries: -1 times"):
        Client("http://host", retries=-1)
