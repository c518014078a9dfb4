"""Error replies and lost connections as errors of the client, and the async client beside the sync one."""

from __future__ import annotations

import inspect
import math

import httpx
import pytest

from tests.client.test_client_replies import ELBO, ROWS, equal
from vaekit import AsyncClient, Client
from vaekit.client import (
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    ModelNotFound,
    ProtocolError,
    RequestRefused,
    ServiceFailed,
    ServiceUnavailable,
    TooBusy,
    Unauthorized,
    errors,
)
from vaekit.errors import InputError, UnknownModel, VaeError

SENT, LATER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:50:07 GMT"


def problem(status: int, **headers: str) -> httpx.Response:
    body = {"type": "about:blank", "title": "t", "status": status, "detail": "row 17 is odd", "instance": "id-1"}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json", **headers})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefused),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, ModelNotFound),
        (413, RequestRefused),
        (422, RequestRefused),
        (429, TooBusy),
        (500, ServiceFailed),
        (503, ServiceUnavailable),
    ],
)
def test_a_problem_document_raises_the_error_of_its_status_with_its_detail(client, transport, status, kind):
    transport.answer = problem(status, **{"retry-after": "3", "x-request-id": "abc"})
    with pytest.raises(kind, match=r"^row 17 is odd$") as caught:
        client.elbo(ROWS)
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.request_id, caught.value.retry_after) == (status, "abc", 3.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (LATER, 30.0), (SENT, 0.0), ("soon", None), ("1.5", None), ("", None)],
)
def test_retry_after_is_whole_seconds_or_a_date_by_the_clock_of_the_service(transport, text, seconds):
    transport.answer = problem(503, **{"retry-after": text, "date": SENT})
    with Client("http://host", transport=transport, retries=0) as client, pytest.raises(ServiceUnavailable) as caught:
        client.models()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("timeout", [math.inf, 1e12, None])
def test_a_timeout_longer_than_sockets_can_count_is_no_limit(url, timeout):
    with Client(url, timeout=timeout) as client:
        assert client.ready()


@pytest.mark.parametrize("timeout", [-1.0, math.nan])
def test_a_negative_timeout_is_refused(timeout):
    with pytest.raises(InputError, match="timeout: "):
        Client("http://host", timeout=timeout)


def test_status_504_raises_deadline_exceeded(client, transport):
    transport.answer = problem(504)
    with pytest.raises(DeadlineExceeded, match="row 17 is odd"):
        client.elbo(ROWS)


def test_without_a_header_the_request_id_is_the_instance_of_the_problem_document(client, transport):
    transport.answer = problem(422)
    with pytest.raises(RequestRefused) as caught:
        client.elbo(ROWS)
    assert (caught.value.request_id, caught.value.retry_after) == ("id-1", None)


def test_a_404_without_a_problem_document_is_not_model_not_found(client, transport):
    transport.answer = httpx.Response(404, text="nginx")
    with pytest.raises(RequestRefused, match="http://host/elbo: status 404") as caught:
        client.elbo(ROWS)
    assert not isinstance(caught.value, UnknownModel)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), ConnectionFailed),
        (httpx.RemoteProtocolError("broke off"), ConnectionFailed),
        (httpx.ReadTimeout("slow"), DeadlineExceeded),
        (httpx.ConnectTimeout("slow"), DeadlineExceeded),
        (httpx.PoolTimeout("slow"), DeadlineExceeded),
        (httpx.DecodingError("not gzip"), ProtocolError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_httpx_errors_become_client_errors_that_name_the_address(client, transport, error, kind):
    transport.answer = error
    with pytest.raises(kind, match=r"^http://host: ") as caught:
        client.elbo(ROWS)
    assert caught.value.__cause__ is error


def test_a_refused_connection_asks_whether_a_service_runs_there() -> None:
    said = r"^http://127.0.0.1:9/?: connection failed: .*refused; does vae serve run there\?$"
    with Client("http://127.0.0.1:9") as client, pytest.raises(ConnectionFailed, match=said):
        client.models()


@pytest.mark.parametrize("answer", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), problem(503)])
def test_health_and_ready_are_false_if_the_service_is_not_available(client, transport, answer):
    transport.answer = answer
    assert client.health() is client.ready() is False


def test_every_client_error_is_a_vae_error():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
    assert len(kinds) > 8
    assert all(issubclass(kind, ClientError) and issubclass(kind, VaeError) for kind in kinds)


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [problem(429), httpx.ConnectError("refused"), httpx.Response(200, json=ELBO)])
async def test_the_async_client_returns_and_raises_the_same_as_the_sync_client(client, transport, answer):
    transport.answer = answer
    async with AsyncClient("http://host", transport=transport) as asynchronous:
        if isinstance(answer, httpx.Response) and answer.status_code == 200:
            assert equal(await asynchronous.elbo(ROWS), client.elbo(ROWS))
            return
        with pytest.raises(ClientError) as sync_error:
            client.elbo(ROWS)
        with pytest.raises(type(sync_error.value)):
            await asynchronous.elbo(ROWS)


def test_both_clients_have_the_same_methods_with_the_same_parameters():
    own = {"close": "aclose"}
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name.startswith("_") and name != "__init__":
            continue
        other = getattr(AsyncClient, own.get(name, name))
        ours, theirs = inspect.signature(method).parameters, inspect.signature(other).parameters
        assert list(ours) == list(theirs), name
        defaults = [(p.name, p.default) for p in theirs.values()]
        assert [(p.name, p.default) for p in ours.values()] == defaults, name
